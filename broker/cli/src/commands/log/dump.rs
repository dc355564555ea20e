//! `broker log dump`: segments, batches and records as they lie in the files, in their order. Damage
//! is shown where it is met, and reading goes on behind it.

use std::path::PathBuf;

use broker_client::model::Offset;
use broker_record::{BatchError, BatchHeader, RecordView};
use broker_storage::Corruption;
use broker_storage::inspect::{Found, SegmentFile, SegmentReader};
use clap::Args;
use serde_json::{Value, json};

use super::target::{PartitionFiles, Target};
use crate::exit_status::ExitStatus;
use crate::failure::Failure;
use crate::output::{Destination, JsonData, Output, Stream, bytes, hex, is_text, json, time};
use crate::session::Session;

/// Dump segments and batches, and with --records what is in them
///
/// A batch is shown with its offsets, byte position, size, codec, timestamps, epoch and producer;
/// its checksums have been verified. Damaged places are shown where they are met, and the exit code
/// is 5 then. --json prints one object per line: segment, batch, record or damage.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker log dump ./broker-data/orders-0
  broker log dump ./broker-data/orders-0 --records --from 500 --batches 3
  broker log dump ./broker-data/orders-0/00000000000000000000.log --records --json")]
pub(super) struct DumpArgs {
    /// A data directory, the directory of one partition, or a segment
    #[arg(value_name = "DIR")]
    path: PathBuf,

    /// Show the records of each batch
    #[arg(long)]
    records: bool,

    /// Begin with the batch that has this offset
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    from: u64,

    /// Stop after so many batches of each partition
    #[arg(short = 'n', long, value_name = "COUNT")]
    batches: Option<u64>,
}

/// A dump under way.
struct Dump<'a> {
    args: &'a DumpArgs,
    output: Output,
    stream: Stream,
    damages: u64,
}

impl DumpArgs {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let target = Target::find(&self.path)?;
        let output = session.output;
        let mut dump = Dump {
            args: &self,
            output,
            stream: output.stream(),
            damages: 0,
        };
        for partition in &target.partitions {
            dump.partition(&target, partition)?;
        }
        dump.stream.flush()?;
        match dump.damages {
            0 => Ok(()),
            count => Err(Failure::new(
                ExitStatus::Damaged,
                format!("{count} damage(s) found"),
            )),
        }
    }
}

impl Dump<'_> {
    fn partition(&mut self, target: &Target, partition: &PartitionFiles) -> Result<(), Failure> {
        let mut left = self.args.batches.unwrap_or(u64::MAX);
        for (number, segment) in partition.segments.iter().enumerate() {
            // Everything in a segment lies below the base of the next one.
            let next = partition.segments.get(number + 1);
            if next.is_some_and(|next| next.base.get() <= self.args.from) {
                continue;
            }
            if left == 0 {
                break;
            }
            self.segment_line(partition, segment)?;
            let failed = |error: std::io::Error| Failure::from(error).after(segment.path.display());
            let below = next.map(|next| next.base);
            let reader = SegmentReader::open(&*target.io, segment, below);
            let mut reader = reader.map_err(failed)?;
            while left > 0 {
                let Some(found) = reader.next_found().map_err(failed)? else {
                    break;
                };
                left -= self.found(found, &reader, segment)?;
            }
        }
        Ok(())
    }

    /// Shows what was found; answers how many batches that were, one or none.
    fn found(
        &mut self,
        found: Found,
        reader: &SegmentReader,
        segment: &SegmentFile,
    ) -> Result<u64, Failure> {
        let (position, header) = match found {
            Found::Batch { position, header } => (position, header),
            Found::Damage(damage) => {
                self.damages += 1;
                self.damage_line(&damage)?;
                return Ok(0);
            }
        };
        if header.last_offset().get() < self.args.from {
            return Ok(0);
        }
        self.batch_line(position, &header)?;
        if self.args.records {
            let place = format!("{} at byte {position}", segment.path.display());
            let batch = reader.batch(position, &header);
            let batch = batch.map_err(|error| Failure::from(error).after(&place))?;
            let records = batch.records().map_err(|error| damaged(&error, &place))?;
            for record in &records {
                self.record_line(&record.map_err(|error| damaged(&error, &place))?)?;
            }
        }
        Ok(1)
    }

    fn damage_line(&mut self, damage: &Corruption) -> Result<(), Failure> {
        let object = json!({
            "damage": {
                "file": damage.file.display().to_string(),
                "position": damage.position,
                "offset": damage.offset.get(),
                "next_good_offset": damage.next_good.map(Offset::get),
                "what": damage.damage.to_string(),
            }
        });
        self.line(&object, || format!("  DAMAGED {damage}"))
    }

    fn segment_line(
        &mut self,
        partition: &PartitionFiles,
        segment: &SegmentFile,
    ) -> Result<(), Failure> {
        let object = json!({
            "segment": {
                "partition": partition.name,
                "file": segment.path.display().to_string(),
                "base_offset": segment.base.get(),
                "bytes": segment.bytes,
            }
        });
        self.line(&object, || {
            format!(
                "{} segment {} from offset {}, {}",
                partition.name,
                segment.path.display(),
                segment.base,
                bytes(segment.bytes)
            )
        })
    }

    fn batch_line(&mut self, position: u64, header: &BatchHeader) -> Result<(), Failure> {
        let producer = header.producer.map(|producer| {
            json!({ "id": producer.id, "epoch": producer.epoch, "base_sequence": producer.base_sequence })
        });
        let object = json!({
            "batch": {
                "base_offset": header.base_offset.get(),
                "last_offset": header.last_offset().get(),
                "position": position,
                "bytes": header.batch_len(),
                "records": header.record_count,
                "codec": header.codec.name(),
                "timestamp_type": header.timestamp_type.name(),
                "base_timestamp_ms": header.base_timestamp.as_millis(),
                "max_timestamp_ms": header.max_timestamp.as_millis(),
                "leader_epoch": header.leader_epoch.get(),
                "producer": producer,
            }
        });
        self.line(&object, || {
            let by = header.producer.map_or(String::new(), |producer| {
                format!("  producer {}/{} from {}", producer.id, producer.epoch, producer.base_sequence)
            });
            format!(
                "  batch {}..{}  at byte {position}, {}  {} record(s)  codec {}  epoch {}  {} {}{by}",
                header.base_offset,
                header.last_offset(),
                bytes(header.batch_len() as u64),
                header.record_count,
                header.codec,
                header.leader_epoch,
                header.timestamp_type.name(),
                time(header.max_timestamp),
            )
        })
    }

    fn record_line(&mut self, record: &RecordView<'_>) -> Result<(), Failure> {
        let headers: Vec<Value> = record
            .headers()
            .map(|(name, value)| json!({ "name": name, "value": JsonData(value) }))
            .collect();
        let object = json!({
            "record": {
                "offset": record.offset.get(),
                "timestamp_ms": record.timestamp.as_millis(),
                "key": JsonData(record.key),
                "value": JsonData(record.value),
                "headers": headers,
            }
        });
        let to = self.output.destination();
        self.line(&object, || {
            let headers: String = record
                .headers()
                .map(|(name, value)| format!("  {name}={}", shown(value, to)))
                .collect();
            format!(
                "    {}  {}  key {}  value {}{headers}",
                record.offset,
                time(record.timestamp),
                shown(record.key, to),
                shown(record.value, to),
            )
        })
    }

    fn line(&mut self, object: &Value, text: impl FnOnce() -> String) -> Result<(), Failure> {
        let line = if self.output.is_json() {
            json(object)?
        } else {
            text()
        };
        self.stream.write(line.as_bytes())?;
        self.stream.write(b"\n")
    }
}

/// A batch with good checksums that is no batch: it was stored unchecked.
fn damaged(error: &BatchError, place: &str) -> Failure {
    Failure::new(ExitStatus::Damaged, format!("{place}: {error}"))
}

/// Bytes on one line: null, text, or hexadecimal digits.
fn shown(data: Option<&[u8]>, to: Destination) -> String {
    match data {
        None => "<null>".to_owned(),
        Some(bytes) if is_text(bytes, to) && !bytes.contains(&b'\n') => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        Some(bytes) => format!("0x{}", hex(bytes)),
    }
}
