//! `broker config`: what there is to configure, what it means, what a broker runs with.

mod check;
mod explain;
mod key_row;
mod list;
mod sample;
mod show;

use clap::{Args, Subcommand};

use crate::failure::Failure;
use crate::session::Session;

/// Explain, list, check and show configuration
///
/// The broker reads broker.toml, then the environment (BROKER__LOG__DIR is log.dir), then its
/// command line; each wins over the one before. Topics override some keys for themselves.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker config explain log.segment.bytes
  broker config sample > broker.toml
  broker config show")]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    Explain(explain::ExplainArgs),
    List(list::ListArgs),
    Sample(sample::SampleArgs),
    Check(check::CheckArgs),
    Show(show::ShowArgs),
}

impl ConfigArgs {
    pub(crate) fn run(self, session: &Session) -> Result<(), Failure> {
        match self.command {
            ConfigCommand::Explain(args) => args.run(session),
            ConfigCommand::List(args) => args.run(session),
            ConfigCommand::Sample(args) => args.run(session),
            ConfigCommand::Check(args) => args.run(session),
            ConfigCommand::Show(args) => args.run(session),
        }
    }
}
