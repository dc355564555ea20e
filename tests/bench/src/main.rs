//! `compare`: the broker beside NATS JetStream and Redis Streams in one session, on the same work, with a
//! raw client that sends batches encoded beforehand; and beside what the machine itself can do. Starts
//! every server itself, on the loopback, on an empty folder, and stops it again. Not part of the tests:
//! tests/bench/peers.sh builds and runs it.

mod alone;
mod load;
mod machine;
mod outcome;
mod rows;
mod server;
mod socket;
mod systems;
mod work;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;

use self::outcome::{CaseOutcome, LOOPBACK, Line, OURS, Outcome};
use self::rows::{Case, Metric};
use self::systems::{Ours, System};
use self::work::{Figures, Pace};

/// Measures the broker beside NATS and Redis, and beside the machine
#[derive(Debug, Parser)]
struct Arguments {
    /// The broker's binary [default: beside this program]
    #[arg(long, value_name = "FILE")]
    broker: Option<PathBuf>,

    /// Where servers keep their data; has to be on a disk
    #[arg(long, value_name = "FOLDER", default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,

    /// One repetition of half the length, in about two minutes
    #[arg(long)]
    short: bool,

    /// Repetitions of each row; every system once in each [default: 3, 1 with --short]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=20))]
    repetitions: Option<u8>,

    /// Only the rows whose name contains one of these, separated by commas
    #[arg(long, value_name = "PATTERN,…")]
    rows: Option<String>,

    /// List the rows and exit
    #[arg(long)]
    list: bool,

    /// Print JSON instead of the table
    #[arg(long)]
    json: bool,

    /// Write the table as Markdown into this file too; into a file that is there, such as README.md,
    /// between its lines `<!-- comparison -->` and `<!-- end of the comparison -->`
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// Memory that is touched before each repetition.
const TOUCHED_MIB: usize = 1536;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = stop_on_signals() {
        say(&format!("signals cannot be caught: {error}"));
        return ExitCode::FAILURE;
    }
    let outcome = run(&arguments);
    server::tidy_up();
    match outcome {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The result of this program. Whoever has closed the pipe has seen enough.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

#[expect(clippy::print_stderr, reason = "what goes on meanwhile")]
fn say(text: &str) {
    eprintln!("{text}");
}

/// Stops what was started on Ctrl-C and on SIGTERM.
fn stop_on_signals() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        server::tidy_up();
        say("interrupted; every server was stopped");
        std::process::exit(130);
    });
    Ok(())
}

fn run(arguments: &Arguments) -> Result<String> {
    let cases = chosen(arguments.rows.as_deref())?;
    if let Some(file) = &arguments.markdown {
        check_page(file).with_context(|| file.display().to_string())?;
    }
    if arguments.list {
        let line = |case: &Case| {
            let labels = case.rows.iter().map(|row| row.label.as_str());
            format!("{:24}{}\n", case.id, labels.collect::<Vec<_>>().join("; "))
        };
        return Ok(cases.iter().map(line).collect());
    }
    let broker = broker_binary(arguments)?;
    let (systems, missing) = systems::installed(broker.clone());
    if !missing.is_empty() {
        say(&format!(
            "not installed, left out: {0} (apt-get install {0})",
            missing.join(" ")
        ));
    }
    let kind = machine::check_is_disk(&arguments.dir)?;
    let versions = systems
        .iter()
        .map(|system| Ok((system.name(), version(system.as_ref())?)));
    let mut outcome = Outcome {
        machine: format!(
            "{}, {kind}, load {}",
            machine::description(),
            machine::load()
        ),
        versions: versions.collect::<Result<_>>()?,
        peers: systems
            .iter()
            .map(|system| system.name())
            .filter(|name| *name != OURS)
            .collect(),
        repetitions: usize::from(arguments.repetitions.unwrap_or(if arguments.short {
            1
        } else {
            3
        })),
        lines: Vec::new(),
    };
    let session = Session {
        systems,
        ours: Ours(broker),
        folder: arguments.dir.clone(),
        repetitions: outcome.repetitions,
        pace: pace(arguments),
    };
    for (number, case) in cases.iter().enumerate() {
        say(&format!("{}/{} {}", number + 1, cases.len(), case.id));
        let measured = session
            .measure(case)
            .with_context(|| format!("row {}", case.id))?;
        outcome
            .lines
            .extend(Line::of(case, &measured, &outcome.peers));
    }
    told(arguments, &outcome)
}

/// The result as it is to be printed, which is in the page then too, if one was named.
fn told(arguments: &Arguments, outcome: &Outcome) -> Result<String> {
    let text = match arguments.json {
        true => serde_json::to_string_pretty(&outcome.json())?,
        false => outcome.text(),
    };
    if let Some(file) = &arguments.markdown
        && let Err(error) = write_markdown(file, &outcome.markdown())
    {
        // What took ten minutes is not lost with the file.
        print(&text);
        return Err(error.context(file.display().to_string()));
    }
    Ok(text)
}

/// Lines between which the table stands in a page.
const MARKS: [&str; 2] = ["<!-- comparison -->\n", "<!-- end of the comparison -->\n"];

/// Whether the table will have a place, which is found out before it is measured.
fn check_page(file: &Path) -> Result<()> {
    if file.exists() {
        with_table(&fs::read_to_string(file)?, "")?;
        return Ok(());
    }
    let parent = file
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    match parent.is_none_or(Path::is_dir) {
        true => Ok(()),
        false => bail!("there is no such folder"),
    }
}

fn write_markdown(file: &Path, table: &str) -> Result<()> {
    if !file.exists() {
        return Ok(fs::write(file, table)?);
    }
    let page = fs::read_to_string(file)?;
    Ok(fs::write(file, with_table(&page, table)?)?)
}

/// The page with another table between its marks.
fn with_table(page: &str, table: &str) -> Result<String> {
    let parts = page.split_once(MARKS[0]);
    let parts = parts.and_then(|(before, rest)| Some((before, rest.split_once(MARKS[1])?.1)));
    let (before, after) = parts.context("it is there already and has no marks for the table")?;
    Ok(format!("{before}{}{table}{}{after}", MARKS[0], MARKS[1]))
}

fn chosen(pattern: Option<&str>) -> Result<Vec<Case>> {
    let mut cases = rows::all();
    if let Some(pattern) = pattern {
        let parts: Vec<_> = pattern.split(',').map(str::trim).collect();
        cases.retain(|case| parts.iter().any(|part| case.id.contains(part)));
        ensure!(
            !cases.is_empty(),
            "no row is called {pattern:?}; --list shows them"
        );
    }
    Ok(cases)
}

fn pace(arguments: &Arguments) -> Pace {
    let (millis, fill_mib) = if arguments.short {
        (500, 96)
    } else {
        (1000, 192)
    };
    Pace {
        measured: Duration::from_millis(millis),
        fill_bytes: fill_mib * 1024 * 1024,
    }
}

fn broker_binary(arguments: &Arguments) -> Result<PathBuf> {
    let beside = || Some(std::env::current_exe().ok()?.parent()?.join("broker"));
    let path = arguments
        .broker
        .clone()
        .or_else(beside)
        .context("--broker is needed")?;
    if !path.is_file() {
        bail!(
            "{} is missing: cargo build --release --bin broker, or give --broker",
            path.display()
        );
    }
    Ok(path.canonicalize()?)
}

/// What a server says about its version.
fn version(system: &dyn System) -> Result<String> {
    let said = Command::new(system.program()).arg("--version").output()?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let is_number = |word: &&str| {
        let digits = word.trim_start_matches("v=").trim_start_matches('v');
        digits.starts_with(|c: char| c.is_ascii_digit()) && digits.contains('.')
    };
    let word = text
        .split_whitespace()
        .find(is_number)
        .unwrap_or("of unknown version");
    Ok(word
        .trim_start_matches("v=")
        .trim_start_matches('v')
        .to_owned())
}

struct Session {
    systems: Vec<Box<dyn System>>,
    ours: Ours,
    folder: PathBuf,
    repetitions: usize,
    pace: Pace,
}

impl Session {
    /// All repetitions of a case, the systems in turn.
    fn measure(&self, case: &Case) -> Result<CaseOutcome> {
        let mut outcome = CaseOutcome::default();
        for _ in 0..self.repetitions {
            if !case.work.is_for_peers() {
                machine::touch_memory(TOUCHED_MIB);
                outcome.add(OURS, alone::run(&self.ours, case, &self.folder, self.pace)?);
                continue;
            }
            let is_latency = case.rows.iter().any(|row| row.metric == Metric::P50);
            if is_latency {
                outcome.add(LOOPBACK, loopback()?);
            }
            for system in &self.systems {
                if system.offers(case.class) {
                    machine::touch_memory(TOUCHED_MIB);
                    let figures = work::run(system.as_ref(), case, &self.folder, self.pace);
                    outcome.add(system.name(), figures.context(system.name())?);
                }
            }
        }
        Ok(outcome)
    }
}

/// The round trip of the loopback at this moment.
fn loopback() -> Result<Figures> {
    let times = machine::ping_pong(Duration::from_millis(500))?;
    let measured = load::Measured {
        latencies: times,
        ..load::Measured::default()
    };
    let figures = [
        (Metric::P50, measured.percentile(50)),
        (Metric::P99, measured.percentile(99)),
    ];
    Ok(figures.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readme() -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn the_readme_has_a_place_for_the_table() {
        let page = with_table(&readme(), "| a table |\n").unwrap();
        assert!(
            page.contains("<!-- comparison -->\n| a table |\n<!-- end of the comparison -->\n")
        );
        assert_eq!(with_table(&page, "| a table |\n").unwrap(), page);
        assert!(with_table("a page", "a table").is_err());
    }

    #[test]
    fn a_page_that_cannot_take_the_table_is_refused_before_anything_is_measured() {
        let folder = tempfile::tempdir().unwrap();
        let (page, new) = (folder.path().join("page.md"), folder.path().join("new.md"));
        fs::write(&page, "a page without marks").unwrap();
        assert!(check_page(&page).is_err());
        assert!(check_page(&folder.path().join("nowhere/new.md")).is_err());
        assert!(check_page(&new).is_ok() && !new.exists());
        fs::write(&page, readme()).unwrap();
        assert!(check_page(&page).is_ok());
    }

    #[test]
    fn the_readme_names_options_that_there_are() {
        let page = readme();
        let commands = page
            .lines()
            .filter_map(|line| line.strip_prefix("tests/bench/peers.sh"));
        let commands: Vec<_> = commands.collect();
        assert!(
            !commands.is_empty(),
            "the README does not say how to compare"
        );
        for command in commands {
            let words = command
                .split('#')
                .next()
                .unwrap_or_default()
                .split_whitespace();
            let parsed = Arguments::try_parse_from(std::iter::once("compare").chain(words));
            let parsed = parsed.unwrap_or_else(|error| panic!("{command}: {error}"));
            assert!(chosen(parsed.rows.as_deref()).is_ok(), "{command}");
        }
    }
}
