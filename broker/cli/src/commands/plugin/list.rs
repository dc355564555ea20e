//! `broker plugin list`.

use std::time::Duration;

use clap::Args;

use crate::failure::Failure;
use crate::output::{Align, Table, bytes, duration, number};
use crate::runtime::block_on;
use crate::session::Session;

/// List the plugins of a broker, with what they have cost so far
///
/// CALLS, ERRORS and TIME count since the broker was started; a call handles a whole batch.
/// --json shows options, limits and the whole digest too.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker plugin list
  broker plugin list --json")]
pub(super) struct ListArgs {}

impl ListArgs {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let plugins = block_on(async {
            let client = session.connect().await?;
            Ok(client.admin().list_plugins().await?)
        })?;
        session.output.show(&plugins, |plugins| {
            let mut table = Table::new(&[
                ("PLUGIN", Align::Left),
                ("VERSION", Align::Left),
                ("KIND", Align::Left),
                ("SOURCE", Align::Left),
                ("STATE", Align::Left),
                ("SHA256", Align::Left),
                ("CALLS", Align::Right),
                ("RECORDS", Align::Right),
                ("ERRORS", Align::Right),
                ("TIME", Align::Right),
                ("MEMORY", Align::Right),
                ("TOPICS", Align::Left),
            ]);
            for plugin in plugins {
                table.row([
                    plugin.name.clone(),
                    plugin.version.clone(),
                    plugin.kind.clone(),
                    plugin.source.clone(),
                    plugin.state.clone(),
                    plugin.digest.chars().take(12).collect(),
                    number(plugin.calls),
                    number(plugin.records),
                    number(plugin.errors),
                    duration(Duration::from_micros(plugin.time_us)),
                    bytes(plugin.memory_bytes),
                    plugin.topics.join(","),
                ]);
            }
            table.to_string()
        })
    }
}
