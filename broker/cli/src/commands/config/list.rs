//! `broker config list`.

use broker_server::config::BROKER_KEYS;
use clap::Args;

use super::key_row::KeyRow;
use crate::failure::Failure;
use crate::output::{Align, Table};
use crate::session::Session;

/// List the configuration keys of the broker, or those of topics
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker config list
  broker config list --topic
  broker config list --json")]
pub(super) struct ListArgs {
    /// The keys that a topic can override
    #[arg(long)]
    topic: bool,
}

impl ListArgs {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let rows = BROKER_KEYS.iter().filter_map(|row| match self.topic {
            true => KeyRow::of_topics(row),
            false => Some(KeyRow::of_broker(row)),
        });
        let rows: Vec<KeyRow> = rows.collect();
        session.output.show(&rows, |rows| {
            let mut table = Table::new(&[
                ("KEY", Align::Left),
                ("KIND", Align::Left),
                ("DEFAULT", Align::Left),
                ("WHAT IT DOES", Align::Left),
            ]);
            for row in rows {
                let first = row
                    .documentation
                    .split_once(". ")
                    .map_or(row.documentation, |(first, _)| first);
                table.row([
                    row.key.to_owned(),
                    row.kind.to_owned(),
                    row.default.to_owned(),
                    first.trim_end_matches('.').to_owned(),
                ]);
            }
            table.to_string()
        })
    }
}
