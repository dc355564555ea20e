//! `flood`: attacks a running broker and says how it fares. Prints for each attack how much memory the
//! broker took, what its well-behaved clients noticed, and what the attackers got.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use broker_tests::flood::attacks::{self, Attack};
use broker_tests::flood::cores::Cores;
use broker_tests::flood::neighbour::{Observed, Seen};
use broker_tests::flood::{Attackers, Plan, Report, carry_out, stage};
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How long the broker is left alone after an attack.
const REST: Duration = Duration::from_secs(2);

/// Attacks a broker. It makes topics called flood-… and takes them away again. Not for a broker in use.
#[derive(Parser, Debug)]
#[command(name = "flood")]
struct Arguments {
    /// Where the broker listens.
    #[arg(long, default_value = "127.0.0.1:7420")]
    server: String,
    /// The broker's process, to see its memory.
    #[arg(long)]
    pid: Option<u32>,
    /// Only these attacks; all when none is named, and busy-cpu, which keeps the cores busy and leaves the
    /// broker alone, to compare.
    #[arg(long = "attack", value_name = "NAME", value_delimiter = ',')]
    attacks: Vec<String>,
    /// All of them at the same time instead of one after another.
    #[arg(long)]
    together: bool,
    /// Size of each attack, as a share of its full size.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// How long each attack goes on.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// How long the clients are watched alone before each attack.
    #[arg(long, default_value_t = 3)]
    before: u64,
    /// So many times in a row each, alone and attacked in turn; told are the medians.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// The attackers get a core only when nobody else wants it: what is left of their effect is the broker's.
    #[arg(long, conflicts_with = "apart")]
    stand_back: bool,
    /// Clients and attackers run on cores of their own, of those that this may use and the broker may not.
    #[arg(long)]
    apart: bool,
    /// One JSON object per attack instead of a table.
    #[arg(long)]
    json: bool,
    /// Lists the attacks and does nothing.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        for attack in all_and_control() {
            say(&format!(
                "{:<16} {:>6}  {}",
                attack.name, attack.connections, attack.what
            ));
        }
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("flood: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    raise_open_files_limit();
    let chosen = match (arguments.attacks.as_slice(), arguments.together) {
        ([], true) => attacks::all(),
        ([], false) => all_and_control(),
        (names, _) => choose(names)?,
    };
    let plan = Plan {
        address: arguments.server.clone(),
        pid: arguments.pid,
        before: Duration::from_secs(arguments.before),
        during: Duration::from_secs(arguments.seconds),
        attackers: attackers(arguments)?,
    };
    let failed = |error: std::io::Error| format!("the broker at {}: {error}", plan.address);
    stage::set_up(&plan.address, stage::Size::Full).map_err(failed)?;
    if !arguments.json {
        say(HEAD);
    }
    let sized = chosen.into_iter().map(|attack| {
        let connections = scaled(attack.connections, arguments.scale);
        (attack, connections)
    });
    let sized: Vec<(Attack, usize)> = sized.collect();
    let at_once = if arguments.together { sized.len() } else { 1 };
    for attacks in sized.chunks(at_once) {
        let mut rounds = Vec::new();
        for _ in 0..arguments.rounds.max(1) {
            let report = carry_out(attacks, &plan).map_err(failed)?;
            if arguments.json {
                say(&json(&report));
            }
            rounds.push(report);
            // What an attack leaves behind is not the next one's.
            std::thread::sleep(REST);
        }
        if !arguments.json {
            say(&row(&rounds));
        }
    }
    stage::take_down(&plan.address).map_err(failed)
}

fn attackers(arguments: &Arguments) -> Result<Attackers, String> {
    if arguments.apart {
        let cores = Cores::divide(arguments.pid).map_err(|error| error.to_string())?;
        return Ok(Attackers::Apart(cores));
    }
    Ok(match arguments.stand_back {
        true => Attackers::StandBack,
        false => Attackers::Compete,
    })
}

fn all_and_control() -> Vec<Attack> {
    let mut all = attacks::all();
    all.push(attacks::CONTROL);
    all
}

fn choose(names: &[String]) -> Result<Vec<Attack>, String> {
    let find = |name: &String| {
        attacks::named(name).ok_or_else(|| format!("there is no attack {name:?}; see --list"))
    };
    names.iter().map(find).collect()
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of some thousand"
)]
fn scaled(connections: usize, scale: f64) -> usize {
    (connections as f64 * scale).ceil().max(1.0) as usize
}

const HEAD: &str = "attack            conns  peak+MiB  \
    p50/p99 ms before -> during (errors), times: small    1 MiB                             \
    decoded                           attackers";

/// What a kind of neighbour is found in.
type Of = fn(&Observed) -> &Seen;

/// Of several rounds the medians, the largest growth, and what became of the attackers in the last one.
fn row(rounds: &[Report]) -> String {
    let Some(last) = rounds.last() else {
        return String::new();
    };
    let fates: Vec<String> = last
        .fates
        .iter()
        .map(|(fate, count)| format!("{count} {fate}"))
        .collect();
    format!(
        "{:<16} {:>6} {:>9}  {:<40} {:<33} {:<33} {}",
        last.attack,
        last.connections,
        rounds.iter().map(Report::grown_mib).max().unwrap_or(0),
        times(rounds, |observed| &observed.small),
        times(rounds, |observed| &observed.large),
        times(rounds, |observed| &observed.reader),
        fates.join("; ")
    )
}

/// What a kind of neighbour saw, and how many times as long its p99 became.
fn times(rounds: &[Report], of: Of) -> String {
    let millis = |pick: fn(&Report) -> &Observed, hundredths| {
        let all = rounds
            .iter()
            .map(|one| of(pick(one)).percentile(hundredths));
        hundredths_of(median(all.collect()) / 10)
    };
    let before = |hundredths| millis(|one| &one.before, hundredths);
    let during = |hundredths| millis(|one| &one.during, hundredths);
    let count: usize = rounds.iter().map(|one| of(&one.during).errors).sum();
    let named = rounds
        .iter()
        .find_map(|one| of(&one.during).last_error.clone());
    let errors = match count {
        0 => String::new(),
        _ => format!(" ({count} {})", named.unwrap_or_default()),
    };
    let slowdowns = rounds.iter().map(|one| one.slowdown_percent(of));
    format!(
        "{}/{} -> {}/{}{errors}, {}",
        before(50),
        before(99),
        during(50),
        during(99),
        hundredths_of(median(slowdowns.collect())),
    )
}

/// A number of hundredths as people write it.
fn hundredths_of(count: u64) -> String {
    format!("{}.{:02}", count / 100, count % 100)
}

fn median(mut of: Vec<u64>) -> u64 {
    of.sort_unstable();
    of.get(of.len() / 2).copied().unwrap_or(0)
}

fn json(report: &Report) -> String {
    let seen = |seen: &Seen| {
        serde_json::json!({
            "served": seen.served(),
            "p50_us": seen.percentile(50),
            "p99_us": seen.percentile(99),
            "errors": seen.errors,
            "last_error": seen.last_error,
        })
    };
    let observed = |observed: &Observed| {
        serde_json::json!({
            "small": seen(&observed.small),
            "large": seen(&observed.large),
            "decoded": seen(&observed.reader),
        })
    };
    let fates: serde_json::Map<String, serde_json::Value> = report
        .fates
        .iter()
        .map(|(fate, count)| (fate.to_string(), (*count).into()))
        .collect();
    serde_json::json!({
        "attack": report.attack,
        "connections": report.connections,
        "base_kib": report.base_kib,
        "peak_kib": report.peak_kib,
        "before": observed(&report.before),
        "during": observed(&report.during),
        "attackers": fates,
    })
    .to_string()
}

fn raise_open_files_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let _ = setrlimit(Resource::Nofile, raised);
}

/// The report of this command. Whoever has closed the pipe has seen enough of it.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
