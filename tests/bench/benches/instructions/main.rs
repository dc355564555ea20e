//! Instructions of the hot path, counted by callgrind: unlike times they come out the same twice, on any
//! load, so that a few per cent more show. `cargo bench -p broker-compare --bench instructions`;
//! tests/bench/instructions.sh compares two versions. What the kernel does is not counted.

mod cases;
mod counting;
mod counts;
mod plugin_cases;
mod record_cases;
mod storage_cases;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;

use self::counts::Counts;

/// Counts the instructions of the hot path
#[derive(Debug, Parser)]
struct Arguments {
    /// Only cases whose name contains this
    filter: Option<String>,

    /// Write the counts into this file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,

    /// Compare with the counts in this file, and fail when a case has grown too much
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,

    /// By how much a case may grow
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    growth_max: f64,

    /// Run one case here, without counting
    #[arg(long, value_name = "CASE", hide = true)]
    run: Option<String>,

    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The result of this program. Whoever has closed the pipe has seen enough of it.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

#[expect(clippy::print_stderr, reason = "why there is no result")]
fn complain(text: &str) {
    eprintln!("{text}");
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    if let Some(name) = &arguments.run {
        let case = cases::all().into_iter().find(|case| case.name == *name);
        cases::carry_out(&case.with_context(|| format!("there is no case {name}"))?);
        return Ok(ExitCode::SUCCESS);
    }
    counting::check_for_valgrind()?;
    let old = arguments.against.as_deref().map(Counts::load).transpose()?;
    let filter = arguments.filter.as_deref().unwrap_or_default();
    let mut counts = Counts::default();
    for case in cases::all() {
        if case.name.contains(filter) {
            let count = counting::count(&case.name)?;
            print(&counts::line(&case.name, count, old.as_ref()));
            counts.add(case.name, count);
        }
    }
    ensure!(!counts.is_empty(), "no case has {filter:?} in its name");
    if let Some(file) = &arguments.save {
        counts.save(file)?;
    }
    let Some(old) = old else {
        return Ok(ExitCode::SUCCESS);
    };
    let grown = counts.grown_since(&old, arguments.growth_max);
    if grown.is_empty() {
        print(&format!(
            "no case has grown by more than {} %",
            arguments.growth_max
        ));
        return Ok(ExitCode::SUCCESS);
    }
    complain(&format!(
        "more than {} % more: {}",
        arguments.growth_max,
        grown.join(", ")
    ));
    Ok(ExitCode::FAILURE)
}
