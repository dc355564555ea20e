//! The grammar of the command line: global options, the commands, and what `broker --help` says.
//! Parses, dispatches, reports. Never asks anything back.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::time::Duration;

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::commands::{
    bench, cluster, completions, config, consume, log, ping, plugin, produce, serve, topic,
};
use crate::exit_status::ExitStatus;
use crate::failure::Failure;
use crate::output::{JsonLog, Output, Shape};
use crate::session::Session;

/// A durable, partitioned log whose policies are WebAssembly plugins
///
/// One binary: the server, its administration, clients for shells and scripts, tools that look
/// into data directories, and benchmarks. It never asks anything; results go to standard output,
/// warnings, progress and errors to standard error.
#[derive(Debug, Parser)]
#[command(
    name = "broker",
    version,
    disable_help_subcommand = true,
    after_help = EXAMPLES,
    after_long_help = after_long_help()
)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  broker serve --data-dir ./broker-data        run a broker on 127.0.0.1:7420
  broker topic create orders --partitions 4    create a topic
  echo hello | broker produce orders           write a record
  broker consume orders                        read from the beginning";

fn after_long_help() -> String {
    format!(
        "{EXAMPLES}\n\n\
         Units:\n  \
         Sizes take B, KB, MB, GB (1000) and KiB, MiB, GiB (1024); bare numbers are bytes.\n  \
         Durations take ms, s, min, h, d; bare numbers are milliseconds. Times are UTC.\n\n\
         Exit codes:\n{}\n\
         With --json a result is one JSON document on one line of standard output (streams: one\n\
         document per record); an error is {{\"error\": …}}, a warning {{\"warning\": …}} and a log line\n\
         {{\"log\": …}} on one line of standard error.\n\
         BROKER_LOG sets the log filter, such as BROKER_LOG=broker_client=debug.",
        ExitStatus::table()
    )
}

/// Options that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// Brokers to start from; the first that answers tells about all others
    #[arg(
        long,
        global = true,
        env = "BROKER_SERVER",
        value_name = "HOST:PORT,…",
        default_value = "127.0.0.1:7420"
    )]
    server: String,

    /// How long to wait for an answer, and to try again what the broker cannot do at the moment
    #[arg(long, global = true, value_name = "DURATION", default_value = "10s", value_parser = positive_duration)]
    timeout: Duration,

    /// Print results as JSON on standard output, errors as JSON on standard error
    #[arg(long, global = true)]
    json: bool,

    /// Say more: log lines of level info, twice debug, three times trace
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,

    /// Say less: no notes, warnings and progress; errors are still reported
    #[arg(short, long, global = true, action = ArgAction::Count)]
    quiet: u8,

    /// Draw no progress bars (they are only drawn on a terminal anyway)
    #[arg(long, global = true)]
    no_progress: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Topic(topic::TopicArgs),
    Produce(produce::ProduceArgs),
    Consume(consume::ConsumeArgs),
    Plugin(plugin::PluginArgs),
    Cluster(cluster::ClusterArgs),
    Config(config::ConfigArgs),
    Log(log::LogArgs),
    Bench(bench::BenchArgs),
    Ping(ping::PingArgs),
    Completions(completions::CompletionsArgs),
}

impl Command {
    fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Serve(args) => args.run(session),
            Self::Topic(args) => args.run(session),
            Self::Produce(args) => args.run(session),
            Self::Consume(args) => args.run(session),
            Self::Plugin(args) => args.run(session),
            Self::Cluster(args) => args.run(session),
            Self::Config(args) => args.run(session),
            Self::Log(args) => args.run(session),
            Self::Bench(args) => args.run(session),
            Self::Ping(args) => args.run(session),
            Self::Completions(args) => args.run(session),
        }
    }
}

/// The whole grammar, for completions and tests.
pub(crate) fn grammar() -> clap::Command {
    Cli::command()
}

/// Parses the arguments, runs the command and reports its failure.
pub(crate) fn run(args: impl Iterator<Item = OsString>) -> ExitStatus {
    let args: Vec<OsString> = args.collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return not_parsed(&error, &args),
    };
    let session = cli.global.into_session();
    if !matches!(cli.command, Command::Serve(_)) {
        log_to_stderr(session.verbosity, session.output.shape);
    }
    match cli.command.run(&session) {
        Ok(()) => ExitStatus::Ok,
        Err(failure) => {
            session.output.failure(&failure);
            failure.status()
        }
    }
}

/// Help, the version, or a wrong command line.
fn not_parsed(error: &clap::Error, args: &[OsString]) -> ExitStatus {
    let asked_for = !error.use_stderr();
    let json = args.iter().any(|arg| arg == "--json");
    if json && !asked_for {
        let rendered = error.to_string();
        let message = rendered.trim().trim_start_matches("error: ");
        let output = Output {
            shape: Shape::Json,
            quiet: false,
            progress: false,
        };
        output.failure(&Failure::usage(message));
        return ExitStatus::Usage;
    }
    // When the help cannot be printed there is nobody to tell.
    let _ = error.print();
    if asked_for {
        ExitStatus::Ok
    } else {
        ExitStatus::Usage
    }
}

impl Global {
    fn into_session(self) -> Session {
        let shape = if self.json { Shape::Json } else { Shape::Text };
        Session {
            server: self.server,
            timeout: self.timeout,
            output: Output {
                shape,
                quiet: self.quiet > 0,
                progress: !self.no_progress,
            },
            verbosity: i16::from(self.verbose) - i16::from(self.quiet),
        }
    }
}

/// Log lines of a command that is not the server: of the client library, mostly.
fn log_to_stderr(verbosity: i16, shape: Shape) {
    let level = match verbosity {
        ..0 => "error",
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("BROKER_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let is_colour_unwanted = std::env::var_os("NO_COLOR").is_some_and(|said| !said.is_empty());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal() && !is_colour_unwanted)
        .with_writer(std::io::stderr);
    // Fails only when there is a subscriber already, which then does the job.
    let _ = match shape {
        Shape::Text => log.try_init(),
        Shape::Json => log.event_format(JsonLog::default()).try_init(),
    };
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    match broker_client::model::parse_duration(text) {
        Ok(Duration::ZERO) => Err("it has to be longer than nothing".to_owned()),
        parsed => parsed.map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command and subcommand with its full name.
    fn all_commands() -> Vec<(String, clap::Command)> {
        let mut root = grammar();
        root.build();
        let mut open = vec![("broker".to_owned(), root)];
        let mut all = Vec::new();
        while let Some((name, command)) = open.pop() {
            for sub in command.get_subcommands() {
                open.push((format!("{name} {}", sub.get_name()), sub.clone()));
            }
            all.push((name, command));
        }
        all
    }

    #[test]
    fn the_grammar_is_sound() {
        grammar().debug_assert();
    }

    #[test]
    fn every_command_teaches_with_examples_of_itself() {
        for (name, command) in all_commands() {
            assert!(command.get_about().is_some(), "{name} says nothing");
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(help.contains("Examples:"), "{name} has no examples");
            let examples = help
                .lines()
                .filter(|line| line.contains(name.as_str()))
                .count();
            assert!(examples >= 2, "{name} has {examples} examples of itself");
        }
    }

    #[test]
    fn every_example_is_a_command_line_that_parses() {
        for (name, command) in all_commands() {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            for line in help.lines().filter(|line| line.contains("broker ")) {
                let words = words_of(line);
                let parsed = Cli::try_parse_from(&words);
                assert!(parsed.is_ok(), "{name}: {words:?}: {}", parsed.unwrap_err());
            }
        }
    }

    /// The words of the first `broker …` command in an example line, up to a pipe, a redirection,
    /// or the remark behind two blanks.
    fn words_of(line: &str) -> Vec<String> {
        let start = line.find("broker ").expect("the line was chosen for it");
        let command = line[start..].split("  ").next().unwrap_or_default();
        let mut words = Vec::new();
        let mut word = String::new();
        let mut quote = None;
        for c in command.chars() {
            match quote {
                Some(end) if c == end => quote = None,
                Some(_) => word.push(c),
                None if c == '\'' || c == '"' => quote = Some(c),
                None if c == ' ' => words.extend(Some(std::mem::take(&mut word))),
                None => word.push(c),
            }
        }
        words.push(word);
        let end = words
            .iter()
            .position(|word| matches!(word.as_str(), "|" | ">" | ">>" | "<" | "&&"));
        words.truncate(end.unwrap_or(words.len()));
        words.retain(|word| !word.is_empty());
        words
    }

    #[test]
    fn the_help_lists_every_exit_code() {
        let help = after_long_help();
        for status in ExitStatus::ALL {
            assert!(help.contains(&format!("{:>3}  {}", status.code(), status.meaning())));
        }
    }
}
