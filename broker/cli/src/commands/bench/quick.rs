//! `broker bench quick`: the rows that matter, about two seconds each, in one table. A row is a command
//! line of the other benchmarks, so that any of them can be run longer and looked at more closely.

use std::path::PathBuf;

use broker_client::Client;
use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use super::consume::ConsumeArgs;
use super::own_broker::OwnBroker;
use super::produce::ProduceArgs;
use super::report::Report;
use crate::failure::Failure;
use crate::output::{Align, Table};
use crate::runtime::block_on;
use crate::session::Session;

/// What is measured, as a command line behind `broker bench`.
const ROWS: [&str; 10] = [
    "produce --flush-mode async --record-size 100 --batch 1",
    "produce --flush-mode async --record-size 100 --batch 1000 --producers 4",
    "produce --flush-mode async --record-size 1KiB --batch 100",
    "produce --flush-mode async --record-size 1KiB --batch 100 --producers 4 --partitions 4",
    "produce --flush-mode async --record-size 100 --batch 100 --routed --keys 1000 --partitions 4",
    "produce --flush-mode sync --record-size 1KiB --batch 1",
    "produce --flush-mode sync --record-size 1KiB --batch 100",
    "produce --flush-mode sync --record-size 1KiB --batch 100 --producers 16",
    "consume --flush-mode async --record-size 1KiB --size 128MiB",
    "consume --flush-mode async --record-size 100 --size 64MiB --consumers 4 --partitions 4",
];

/// Behind every row. Each has these again behind what it says itself.
const LENGTH: [&str; 4] = ["--warm-up", "300ms", "--duration", "1s"];

/// Measure the rows that matter, in half a minute
///
/// Produces and consumes with small and large batches, async and sync, through the partitioner
/// plugin and to many producers at once. The figures are those of the benchmarks named in the
/// table, run for a second each; run one of them by itself for more.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker bench quick
  broker bench quick --own                  starts a broker for it, with data in this folder
  broker bench quick --only sync --json")]
pub(super) struct QuickArgs {
    /// Start a broker for this, with its data below DIR, and stop it afterwards
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = ".")]
    own: Option<PathBuf>,

    /// Only the rows in which this occurs
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    only: String,
}

#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
struct Line {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    Produce(ProduceArgs),
    Consume(ConsumeArgs),
}

/// A row with what came out.
#[derive(Debug, Serialize)]
struct Measured {
    /// The command line behind `broker bench` that measures it.
    command: &'static str,
    report: Report,
}

impl QuickArgs {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let rows = ROWS.into_iter().filter(|row| row.contains(&self.only));
        let rows: Vec<_> = rows.map(|row| (row, parsed(row))).collect();
        if rows.is_empty() {
            let only = &self.only;
            return Err(Failure::usage(format!(
                "{only:?} occurs in no row: {ROWS:#?}"
            )));
        }
        let own = self.own.as_deref().map(OwnBroker::start).transpose()?;
        let session = Session {
            server: own
                .as_ref()
                .map_or(&session.server, |own| &own.address)
                .clone(),
            ..*session
        };
        block_on(async {
            let client = session.connect().await?;
            let mut measured = Vec::new();
            for (command, bench) in rows {
                session.output.note(format!("bench {command}"));
                let report = bench?.report(&client, &session).await?;
                measured.push(Measured { command, report });
            }
            session.output.show(&measured, |measured| table(measured))
        })
    }
}

fn parsed(row: &str) -> Result<Bench, Failure> {
    let words = row.split(' ').chain(LENGTH);
    let line = Line::try_parse_from(words);
    line.map(|line| line.bench)
        .map_err(|error| Failure::failed(error.to_string()))
}

impl Bench {
    async fn report(self, client: &Client, session: &Session) -> Result<Report, Failure> {
        match self {
            Self::Produce(args) => args.report(client, args.prepared()?, session).await,
            Self::Consume(args) => args.report(client, args.prepared()?, session).await,
        }
    }
}

fn table(measured: &[Measured]) -> String {
    let columns = [
        ("RECORDS/S", Align::Right),
        ("MiB/S", Align::Right),
        ("P50 µs", Align::Right),
        ("P99 µs", Align::Right),
        ("LOOPBACK µs", Align::Right),
        ("BROKER BENCH …", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for Measured { command, report } in measured {
        table.row([
            format!("{:.0}", report.records_per_second),
            format!("{:.1}", report.mib_per_second),
            format!("{:.0}", report.latency_us.p50),
            format!("{:.0}", report.latency_us.p99),
            format!("{:.0}", report.reference.loopback_us.p50),
            (*command).to_owned(),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_a_command_line_of_the_benchmarks() {
        for row in ROWS {
            assert!(parsed(row).is_ok(), "{row}: {:?}", parsed(row));
        }
    }
}
