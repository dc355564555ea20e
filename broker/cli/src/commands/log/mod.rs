//! `broker log`: looks into data directories without a broker. Reads only.

mod dump;
mod known_topics;
mod target;
mod verify;

use clap::{Args, Subcommand};

use crate::failure::Failure;
use crate::session::Session;

/// Dump and verify data directories, without a broker
///
/// Works on a data directory or on the directory of one partition in it, such as
/// broker-data/orders-0; dump takes one segment, a .log file, as well. Reads only: beside a running
/// broker the last batch may be seen half written.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker log verify ./broker-data
  broker log dump ./broker-data/orders-0 --records --from 500")]
pub(crate) struct LogArgs {
    #[command(subcommand)]
    command: LogCommand,
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    Dump(dump::DumpArgs),
    Verify(verify::VerifyArgs),
}

impl LogArgs {
    pub(crate) fn run(self, session: &Session) -> Result<(), Failure> {
        match self.command {
            LogCommand::Dump(args) => args.run(session),
            LogCommand::Verify(args) => args.run(session),
        }
    }
}
