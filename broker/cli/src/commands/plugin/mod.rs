//! `broker plugin`: the plugins of a broker, and files that may become some.

mod inspect;
mod list;

use clap::{Args, Subcommand};

use crate::failure::Failure;
use crate::session::Session;

/// List the plugins of a broker, inspect plugin files
///
/// A plugin is a WebAssembly module that decides for the broker in a sandbox, such as a
/// partitioner: which partition each record goes to. The broker loads the shipped ones and those
/// of the manifest given to `broker serve --plugins`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker plugin list
  broker plugin inspect my_partitioner.wasm")]
pub(crate) struct PluginArgs {
    #[command(subcommand)]
    command: PluginCommand,
}

#[derive(Debug, Subcommand)]
enum PluginCommand {
    List(list::ListArgs),
    Inspect(inspect::InspectArgs),
}

impl PluginArgs {
    pub(crate) fn run(self, session: &Session) -> Result<(), Failure> {
        match self.command {
            PluginCommand::List(args) => args.run(session),
            PluginCommand::Inspect(args) => args.run(session),
        }
    }
}
