//! `broker plugin`: the plugins of a broker, and files that may become some.

mod bench;
mod build;
mod cargo_build;
mod inspect;
mod list;
mod module_file;
mod new;
mod test;

use clap::{Args, Subcommand};

use crate::failure::Failure;
use crate::session::Session;

/// Write, test, deploy and watch plugins
///
/// A plugin is a WebAssembly module that decides for the broker in a sandbox: which partition each
/// record goes to (partitioner), how values are stored (serializer), which segments go (retention),
/// which records a cleaning keeps (compaction). new, build, test, bench and inspect need no broker.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker plugin new by-region --kind partitioner
  broker plugin test ./by-region
  broker plugin list")]
pub(crate) struct PluginArgs {
    #[command(subcommand)]
    command: PluginCommand,
}

#[derive(Debug, Subcommand)]
enum PluginCommand {
    New(new::NewArgs),
    Build(build::BuildArgs),
    Test(test::TestArgs),
    Bench(bench::BenchArgs),
    Inspect(inspect::InspectArgs),
    List(list::ListArgs),
}

impl PluginArgs {
    pub(crate) fn run(self, session: &Session) -> Result<(), Failure> {
        match self.command {
            PluginCommand::New(args) => args.run(session),
            PluginCommand::Build(args) => args.run(session),
            PluginCommand::Test(args) => args.run(session),
            PluginCommand::Bench(args) => args.run(session),
            PluginCommand::Inspect(args) => args.run(session),
            PluginCommand::List(args) => args.run(session),
        }
    }
}

/// `NAME=VALUE` of an option.
fn name_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}
