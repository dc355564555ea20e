//! `broker bench`: how fast this broker is on this machine. Batches are encoded beforehand and sent
//! as they are, so that the client's own cost is small; every report says what was measured.

mod arguments;
mod batch;
mod consume;
mod e2e;
mod latency;
mod own_broker;
mod produce;
mod quick;
mod reference;
mod report;
mod schedule;
mod topic;
mod worker;

use clap::{Args, Subcommand};

use crate::failure::Failure;
use crate::session::Session;

/// Measure throughput and latency of a broker
///
/// Each benchmark makes a topic of its own, bench-…, and deletes it afterwards. Closed loop: each
/// connection sends the next batch when one was answered. Open loop (--rate): batches are sent by
/// the clock, and latency counts from when a batch should have been sent, so that a stall is not
/// hidden (no coordinated omission).
///
/// Broker and client share this machine's processors when both run here. Compare ratios of runs
/// taken right after each other, not figures of different days.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker bench quick --own
  broker bench produce --record-size 1KiB --batch 100 --producers 4 --partitions 4
  broker bench produce --values json -c value.serializer=json
  broker bench consume --size 1GiB
  broker bench e2e --rate 10000 --json")]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    Produce(produce::ProduceArgs),
    Consume(consume::ConsumeArgs),
    E2e(e2e::E2eArgs),
    Quick(quick::QuickArgs),
}

impl BenchArgs {
    pub(crate) fn run(self, session: &Session) -> Result<(), Failure> {
        match self.command {
            BenchCommand::Produce(args) => args.run(session),
            BenchCommand::Consume(args) => args.run(session),
            BenchCommand::E2e(args) => args.run(session),
            BenchCommand::Quick(args) => args.run(session),
        }
    }
}
