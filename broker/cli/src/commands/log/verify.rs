//! `broker log verify`: reads everything and reports what is wrong. The rules are those of
//! `broker_storage::inspect`; here they become a table, JSON and an exit code.

use std::path::PathBuf;

use broker_client::model::Offset;
use broker_storage::inspect::{Finding, Summary, verify_partition};
use clap::Args;
use serde::Serialize;

use super::target::{PartitionFiles, Target};
use crate::exit_status::ExitStatus;
use crate::failure::Failure;
use crate::output::{Align, Table, bytes, number};
use crate::session::Session;

/// Verify data files: every checksum, every batch, every index
///
/// Reports each damage with file, byte position and offset. Ends with exit code 5 if there is one.
/// A batch that is incomplete at the very end of a partition is what a crash leaves of a write that
/// nobody was told about: the next start cuts it off. Indexes are made anew when they are missing
/// or wrong.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker log verify ./broker-data
  broker log verify ./broker-data/orders-0 --json")]
pub(super) struct VerifyArgs {
    /// A data directory, or the directory of one partition
    #[arg(value_name = "DIR")]
    path: PathBuf,
}

#[derive(Serialize)]
struct Verified {
    partitions: Vec<VerifiedPartition>,
    bytes: u64,
    records: u64,
    damages: usize,
}

#[derive(Serialize)]
struct VerifiedPartition {
    partition: String,
    path: String,
    segments: u64,
    batches: u64,
    records: u64,
    bytes: u64,
    first_offset: u64,
    next_offset: u64,
    damages: Vec<Damage>,
}

#[derive(Serialize)]
struct Damage {
    file: String,
    position: Option<u64>,
    offset: Option<u64>,
    what: String,
    #[serde(skip)]
    line: String,
}

impl VerifyArgs {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        if self.path.is_file() {
            return Err(
                Failure::usage("a segment is verified together with its partition")
                    .with_hint("name the directory that it is in"),
            );
        }
        let target = Target::find(&self.path)?;
        let progress = session.output.progress(Some(target.bytes()));
        let mut verified = Verified {
            partitions: Vec::new(),
            bytes: 0,
            records: 0,
            damages: 0,
        };
        for partition in &target.partitions {
            let one = verify(&target, partition)?;
            verified.bytes += one.bytes;
            verified.records += one.records;
            verified.damages += one.damages.len();
            verified.partitions.push(one);
            progress.at(verified.bytes, verified.records);
        }
        progress.clear();
        session.output.show(&verified, text)?;
        match verified.damages {
            0 => Ok(()),
            count => Err(
                Failure::new(ExitStatus::Damaged, format!("{count} damage(s) found"))
                    .with_hint("`broker log dump` shows what is around them"),
            ),
        }
    }
}

fn verify(target: &Target, partition: &PartitionFiles) -> Result<VerifiedPartition, Failure> {
    let mut damages = Vec::new();
    let mut report = |finding: Finding| {
        damages.push(Damage {
            line: finding.to_string(),
            file: finding.file.display().to_string(),
            position: finding.position,
            offset: finding.offset.map(Offset::get),
            what: finding.what,
        });
    };
    let summary: Summary = verify_partition(&*target.io, &partition.path, &mut report)
        .map_err(|error| Failure::from(error).after(partition.path.display()))?;
    Ok(VerifiedPartition {
        partition: partition.name.clone(),
        path: partition.path.display().to_string(),
        segments: summary.segments,
        batches: summary.batches,
        records: summary.records,
        bytes: summary.bytes,
        first_offset: summary.first.get(),
        next_offset: summary.next.get(),
        damages,
    })
}

fn text(verified: &Verified) -> String {
    let mut table = Table::new(&[
        ("PARTITION", Align::Left),
        ("SEGMENTS", Align::Right),
        ("BATCHES", Align::Right),
        ("RECORDS", Align::Right),
        ("SIZE", Align::Right),
        ("FIRST", Align::Right),
        ("NEXT", Align::Right),
        ("STATE", Align::Left),
    ]);
    for partition in &verified.partitions {
        let state = match partition.damages.len() {
            0 => "ok".to_owned(),
            count => format!("{count} damage(s)"),
        };
        table.row([
            partition.partition.clone(),
            number(partition.segments),
            number(partition.batches),
            number(partition.records),
            bytes(partition.bytes),
            partition.first_offset.to_string(),
            partition.next_offset.to_string(),
            state,
        ]);
    }
    let damages = verified
        .partitions
        .iter()
        .flat_map(|partition| &partition.damages);
    let lines: String = damages.map(|damage| format!("{}\n", damage.line)).collect();
    format!("{table}{lines}")
}
