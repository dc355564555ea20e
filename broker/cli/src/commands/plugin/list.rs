//! `broker plugin list`.

use broker_client::protocol::api::list_plugins::PluginEntry;
use clap::Args;

use super::describe::time_in_calls;
use crate::failure::Failure;
use crate::output::{Align, Table, number};
use crate::runtime::block_on;
use crate::session::Session;

/// List the plugins of a broker: shipped, of the manifest and deployed ones, with what they cost
///
/// CALLS, ERRORS, TRAPS and TIME count since the broker was started; a call handles a whole batch.
/// A suspended plugin is not asked until `broker plugin resume`. --json shows every counter
/// and topic, options, limits and the whole digest; `broker plugin describe` shows them for one.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker plugin list
  broker plugin list --kind serializer
  broker plugin list --json")]
pub(super) struct ListArgs {
    /// Only plugins of this kind
    #[arg(long, value_enum)]
    kind: Option<super::kind::Kind>,
}

impl ListArgs {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let mut plugins = block_on(async {
            let client = session.connect().await?;
            Ok(client.admin().list_plugins().await?)
        })?;
        plugins.retain(|plugin| self.kind.is_none_or(|kind| plugin.kind == kind.name()));
        session
            .output
            .show(&plugins, |plugins| table(plugins).to_string())
    }
}

/// How many topics a line shows.
const TOPICS_SHOWN: usize = 3;

fn table(plugins: &[PluginEntry]) -> Table {
    let mut table = Table::new(&[
        ("PLUGIN", Align::Left),
        ("KIND", Align::Left),
        ("VERSION", Align::Left),
        ("SOURCE", Align::Left),
        ("REVISION", Align::Right),
        ("STATE", Align::Left),
        ("CALLS", Align::Right),
        ("RECORDS", Align::Right),
        ("ERRORS", Align::Right),
        ("TRAPS", Align::Right),
        ("TIME", Align::Right),
        ("TOPICS", Align::Left),
    ]);
    for plugin in plugins {
        let revision = plugin.revision.map(|revision| revision.to_string());
        table.row([
            plugin.name.clone(),
            plugin.kind.clone(),
            plugin.version.clone(),
            plugin.source.clone(),
            revision.unwrap_or_else(|| "-".to_owned()),
            plugin.state.clone(),
            number(plugin.calls),
            number(plugin.records),
            number(plugin.errors),
            number(plugin.traps),
            time_in_calls(plugin),
            topics(&plugin.topics),
        ]);
    }
    table
}

/// The first topics, and how many more there are.
fn topics(topics: &[String]) -> String {
    match topics.split_at_checked(TOPICS_SHOWN) {
        Some((first, more)) if !more.is_empty() => {
            format!("{} +{} more", first.join(","), number(more.len() as u64))
        }
        _ => topics.join(","),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_three_topics_and_counts_the_others() {
        let names = |count: usize| -> Vec<String> { (0..count).map(|n| format!("t{n}")).collect() };
        assert_eq!(topics(&names(0)), "");
        assert_eq!(topics(&names(3)), "t0,t1,t2");
        assert_eq!(topics(&names(80)), "t0,t1,t2 +77 more");
    }
}
