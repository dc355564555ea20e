//! `broker plugin`: the plugins of a broker, and files that may become some.

mod bench;
mod build;
mod cargo_build;
mod deploy;
mod deployed;
mod describe;
mod dry_run;
mod history;
mod inspect;
mod kind;
mod list;
mod logs;
mod module_file;
mod new;
mod remove;
mod resume;
mod rollback;
mod test;

use std::collections::BTreeMap;

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
  broker plugin dry-run by_region.wasm --topic orders
  broker plugin deploy by-region=by_region.wasm
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
    DryRun(dry_run::DryRunArgs),
    Deploy(deploy::DeployArgs),
    List(list::ListArgs),
    Describe(describe::DescribeArgs),
    History(history::HistoryArgs),
    Rollback(rollback::RollbackArgs),
    Remove(remove::RemoveArgs),
    Resume(resume::ResumeArgs),
    Logs(logs::LogsArgs),
}

impl PluginArgs {
    pub(crate) fn run(self, session: &Session) -> Result<(), Failure> {
        match self.command {
            PluginCommand::New(args) => args.run(session),
            PluginCommand::Build(args) => args.run(session),
            PluginCommand::Test(args) => args.run(session),
            PluginCommand::Bench(args) => args.run(session),
            PluginCommand::Inspect(args) => args.run(session),
            PluginCommand::DryRun(args) => args.run(session),
            PluginCommand::Deploy(args) => args.run(session),
            PluginCommand::List(args) => args.run(session),
            PluginCommand::Describe(args) => args.run(session),
            PluginCommand::History(args) => args.run(session),
            PluginCommand::Rollback(args) => args.run(session),
            PluginCommand::Remove(args) => args.run(session),
            PluginCommand::Resume(args) => args.run(session),
            PluginCommand::Logs(args) => args.run(session),
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

/// Options by name; none twice.
fn options(given: Vec<(String, String)>) -> Result<BTreeMap<String, String>, Failure> {
    let mut options = BTreeMap::new();
    for (name, value) in given {
        if options.insert(name.clone(), value).is_some() {
            return Err(Failure::usage(format!("--option {name} is given twice")));
        }
    }
    Ok(options)
}
