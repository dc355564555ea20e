//! The steps of a script, each tried on the log and on the model.

use std::sync::Arc;
use std::time::Duration;

use broker_model::{Clock, LeaderEpoch, ManualClock};
use broker_record::ProducedBatch;
use broker_storage::io::recording::{Fault, Operation, RecordingIo};
use broker_storage::{FlushMode, Log, PlantedBugs, ReadLimit};

use super::{Bounds, Checked, Model, Runner, Step, check};
use crate::support::{self, Record, at, offset};

impl Runner {
    pub(crate) fn new(bugs: PlantedBugs) -> Self {
        Self {
            io: RecordingIo::new(),
            clock: Arc::new(ManualClock::at(at(1_000_000))),
            bugs,
            dir: None,
            log: None,
            model: Model {
                boundaries: vec![0],
                ..Model::default()
            },
            requests: Vec::new(),
            epoch: 1,
            stamp: 1_000_000,
            count: 0,
            power: None,
            flush: FlushMode::Sync,
            flush_after_start: None,
            high_watermark: 0,
            noted: 0,
            written_at: None,
            own_from: None,
        }
    }

    /// Runs a script to its end; an error says where the log and the model part.
    pub(crate) fn run(mut self, steps: &[Step]) -> Checked {
        self.open(None)?;
        for (number, step) in steps.iter().enumerate() {
            // The last step may have come to its end although the process died on the way.
            if self.io.is_killed() {
                let bounds = self.exact();
                self.crash(self.power, bounds)?;
            }
            self.step(step)
                .map_err(|error| format!("step {number} {step:?}: {error}"))?;
        }
        self.check_content()
    }

    pub(super) fn log(&mut self) -> &mut Log {
        self.log.as_mut().unwrap()
    }

    pub(super) fn step(&mut self, step: &Step) -> Checked {
        match step {
            Step::Append {
                batches,
                new_epoch,
                codec,
            } => {
                self.epoch += u32::from(*new_epoch);
                self.append(batches, *codec)
            }
            Step::FlushEvery { millis } => {
                self.flush = flush_mode(*millis);
                let config = super::config(self.flush);
                self.log().set_config(config);
                Ok(())
            }
            Step::FlushAfterStart { millis } => {
                self.flush_after_start = Some(flush_mode(*millis));
                Ok(())
            }
            Step::LookAtDamage { at, byte } => self.look_at_damage(*at, *byte),
            Step::Sync => {
                self.take_request()?;
                self.run_requests()
            }
            Step::TakeRequest => self.take_request(),
            Step::RunRequest => self.run_requests(),
            Step::Read { from, below, limit } => self.read(*from, *below, *limit),
            Step::ReadTime { time, below } => self.read_time(*time, *below),
            Step::Truncate { to } => self.truncate(*to),
            Step::DeleteRecords { to } => self.delete_records(*to),
            Step::Retention { keep, age } => self.retention(*keep, *age),
            Step::Checkpoint => self.checkpoint(),
            Step::ReleaseIdle => {
                self.log().release_idle_files();
                Ok(())
            }
            Step::Wait { millis } => {
                self.clock.advance(Duration::from_millis(*millis));
                let due = match (self.flush, self.log().unsynced_since()) {
                    (FlushMode::Async { every }, Some(since)) => Some(since + every),
                    _ => None,
                };
                if due.is_some_and(|due| due <= self.clock.monotonic()) {
                    self.take_request()?;
                    self.run_requests()?;
                }
                let done = self.log().roll_if_due().map(|_| ());
                self.unless_killed(done.map_err(|error| error.to_string()))
            }
            Step::CloseAndReopen => self.close_and_reopen(),
            Step::Kill => self.crash(None, self.exact()),
            Step::PowerLoss { seed } => self.crash(Some(*seed), self.exact()),
            Step::KillAt { after, torn, power } => {
                self.power = *power;
                let number = self.io.operation_count() + u64::from(*after);
                self.io.fail_at(number, Fault::Killed(usize::from(*torn)));
                Ok(())
            }
            Step::DiskFullAt { after, short } => {
                self.fill_disk_at(*after, usize::from(*short));
                Ok(())
            }
        }
    }

    fn checkpoint(&mut self) -> Checked {
        let dir = self.dir.as_ref().unwrap();
        dir.record_high_watermark(&support::partition(), offset(self.high_watermark));
        let done = dir.write_checkpoints();
        if done.is_ok() {
            self.noted = self.high_watermark;
        }
        self.unless_killed(done.map_err(|error| error.to_string()))
    }

    /// A write to a data file, after some others, finds the disk full after some bytes.
    fn fill_disk_at(&mut self, after: u8, short: usize) {
        self.power = None;
        let mut left = after;
        let mut full = false;
        self.io.set_faults(move |_, operation| {
            let Operation::Write { path, .. } = operation else {
                return None;
            };
            if path.extension().is_none_or(|extension| extension != "log") {
                return None;
            }
            if full {
                full = false;
                left = u8::MAX;
                return Some(Fault::ENOSPC);
            }
            if left == u8::MAX {
                return None;
            }
            left = left.saturating_sub(1);
            full = left == 0 && short > 0;
            (left == 0).then_some(match short {
                0 => Fault::ENOSPC,
                _ => Fault::Short(short),
            })
        });
    }

    /// An error is fine only if the process was killed, and then everything must still be there.
    pub(super) fn unless_killed(&mut self, done: Checked) -> Checked {
        match done {
            Ok(()) => Ok(()),
            Err(_) if self.io.is_killed() => {
                let bounds = self.exact();
                self.crash(self.power, bounds)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn exact(&self) -> Bounds {
        Bounds {
            end_min: self.model.end(),
            start_max: self.model.start,
            most: self.model.clone(),
        }
    }

    pub(super) fn append(&mut self, sizes: &[(u8, u16, i8)], codec: u8) -> Checked {
        let mut most = self.model.clone();
        let mut batches: Vec<ProducedBatch> = Vec::new();
        for (records, len, jitter) in sizes {
            let mut content = Vec::new();
            for _ in 0..*records {
                self.count += 1;
                self.stamp += 10;
                let mut value = format!("{}-", self.count).into_bytes();
                value.resize(value.len().max(usize::from(*len)), b'x');
                content.push(Record {
                    value,
                    timestamp: self.stamp + i64::from(*jitter),
                });
            }
            batches.push(support::batch_in(&content, codec));
            most.records.extend(content.into_iter().map(Some));
            most.boundaries.push(most.records.len() as u64);
        }
        let (epoch, now) = (LeaderEpoch::new(self.epoch), self.clock.now());
        let first = self.model.end();
        match self.log().append(&mut batches, epoch, now) {
            Ok(run) => {
                check!(
                    run.first.get() == first,
                    "appended at {}, not {first}",
                    run.first
                );
                check!(
                    run.end.get() == most.end(),
                    "the end is {}, not {}",
                    run.end,
                    most.end()
                );
                self.model = most;
                if self.log().flush() != FlushMode::Sync {
                    self.high_watermark = self.model.end();
                }
                self.check_own_writing(first)?;
                self.check_deadline()
            }
            Err(_) if self.io.is_killed() => {
                let bounds = Bounds {
                    most,
                    ..self.exact()
                };
                self.crash(self.power, bounds)
            }
            Err(error) => {
                check!(error.is_definite(), "a full disk is definite: {error}");
                self.io.clear_faults();
                // What was written of it was cut off again. Where nothing was, earlier requests stay as they are.
                if self.log().unsynced_since().is_some() {
                    self.void_requests();
                }
                self.check_content()
            }
        }
    }

    /// What was appended in a row needs no verification: nobody else has written it.
    fn check_own_writing(&mut self, first: u64) -> Checked {
        let (from, end) = (*self.own_from.get_or_insert(first), self.model.end());
        let own = self
            .log()
            .read(offset(from), offset(end), ReadLimit::OneBatchOr(1 << 20));
        check!(
            own.is_err() || own.is_ok_and(|slice| !slice.needs_verification()),
            "what was just written from {from} to {end} is to be verified"
        );
        Ok(())
    }

    /// The log knows since when something waits for a sync: under `flush.mode = async` one is due by it.
    fn check_deadline(&mut self) -> Checked {
        let written_at = *self.written_at.get_or_insert(self.clock.monotonic());
        let since = self.log().unsynced_since();
        check!(
            since.is_some_and(|since| since <= written_at),
            "something waits for a sync since {since:?}, not since {written_at:?}"
        );
        Ok(())
    }

    pub(super) fn part(&self, percent: u8) -> u64 {
        let extent = self.model.end() - self.model.start;
        self.model.start + extent * u64::from(percent) / 100
    }

    pub(super) fn read(&mut self, from: u8, below: u8, limit: u16) -> Checked {
        let (from, below) = (self.part(from), self.part(below));
        let limit = u64::from(limit);
        let slice = match self
            .log()
            .read(offset(from), offset(below), ReadLimit::OneBatchOr(limit))
        {
            Ok(slice) => slice,
            Err(error) => return self.unless_killed(Err(error.to_string())),
        };
        let slice = slice.verified().map_err(|error| error.to_string())?;
        let boundaries = &self.model.boundaries;
        let first = boundaries
            .iter()
            .rfind(|boundary| **boundary <= from)
            .unwrap();
        let whole: Vec<u64> = boundaries
            .iter()
            .copied()
            .filter(|boundary| boundary > first && *boundary <= below)
            .collect();
        if whole.is_empty() || from >= below {
            check!(
                slice.is_empty(),
                "a read below {below} goes to {}",
                slice.next_offset()
            );
            return Ok(());
        }
        check!(
            !slice.is_empty(),
            "a read from {from} below {below} is empty"
        );
        check!(
            slice.first_offset().get() == *first,
            "a read from {from} begins at {}",
            slice.first_offset()
        );
        let next = slice.next_offset().get();
        check!(
            whole.contains(&next),
            "a read from {from} below {below} ends at {next}"
        );
        check!(
            slice.len() <= limit || next == whole[0],
            "a read of {limit} bytes has {}",
            slice.len()
        );
        self.check_bytes(
            slice.read().map_err(|error| error.to_string())?,
            *first,
            next,
        )
    }

    pub(super) fn check_bytes(&self, bytes: bytes::Bytes, first: u64, next: u64) -> Checked {
        let mut expected = first;
        for batch in broker_record::Batches::new(bytes) {
            let records = batch
                .and_then(|batch| batch.records())
                .map_err(|error| error.to_string())?;
            for record in &records {
                let record = record.map_err(|error| error.to_string())?;
                check!(
                    record.offset.get() == expected,
                    "offset {}, not {expected}",
                    record.offset
                );
                let found = Record {
                    value: record.value.unwrap_or_default().to_vec(),
                    timestamp: record.timestamp.as_millis(),
                };
                let wanted = self.model.records[expected as usize].as_ref();
                check!(
                    wanted == Some(&found),
                    "another record at offset {expected}"
                );
                expected += 1;
            }
        }
        check!(expected == next, "the slice ends at {expected}, not {next}");
        Ok(())
    }

    pub(super) fn read_time(&mut self, time: u8, below: u8) -> Checked {
        let below = self.part(below);
        let timestamp = 1_000_000 + (self.stamp - 1_000_000) * i64::from(time) / 100;
        let range = self.model.start as usize..below as usize;
        let wanted = range.clone().find_map(|offset| {
            let record = self.model.records[offset].as_ref()?;
            (record.timestamp >= timestamp).then_some((offset as u64, record.timestamp))
        });
        match self
            .log()
            .offset_for_timestamp(at(timestamp), offset(below))
        {
            Ok(found) => {
                let found = found.map(|(offset, time)| (offset.get(), time.as_millis()));
                check!(
                    found == wanted,
                    "time {timestamp} is at {found:?}, not {wanted:?}"
                );
                Ok(())
            }
            Err(error) => self.unless_killed(Err(error.to_string())),
        }
    }

    pub(super) fn truncate(&mut self, to: u8) -> Checked {
        self.own_from = None;
        let to = self.part(to);
        let boundaries = &self.model.boundaries;
        let boundary = *boundaries
            .iter()
            .rfind(|boundary| **boundary <= to)
            .unwrap();
        let cut = boundary.max(self.model.start);
        if to < self.model.end() {
            self.void_requests();
        }
        self.high_watermark = self.high_watermark.min(cut);
        self.noted = self.noted.min(cut);
        let before = self.model.clone();
        match self.log().truncate_to(offset(to)) {
            Ok(end) => {
                check!(end.get() == cut, "truncated to {end}, not {cut}");
                self.model.cut(cut);
                self.model.durable = self.model.durable.min(cut);
                let durable = self.log().durable_end().get();
                check!(durable == self.model.durable, "durable {durable}");
                Ok(())
            }
            Err(_) if self.io.is_killed() => {
                self.model.cut(cut);
                self.model.durable = self.model.durable.min(cut);
                let bounds = Bounds {
                    end_min: cut,
                    start_max: self.model.start,
                    most: before,
                };
                self.crash(self.power, bounds)
            }
            Err(error) => Err(error.to_string()),
        }
    }

    pub(super) fn delete_records(&mut self, to: u8) -> Checked {
        self.own_from = None;
        let to = self.part(to);
        match self.log().advance_start(offset(to)) {
            Ok(start) => {
                check!(start.get() == to, "the start is {start}, not {to}");
                self.model.start = to;
                Ok(())
            }
            Err(_) if self.io.is_killed() => {
                let bounds = Bounds {
                    start_max: to,
                    ..self.exact()
                };
                self.crash(self.power, bounds)
            }
            Err(error) => Err(error.to_string()),
        }
    }

    pub(super) fn retention(&mut self, keep: u16, age: Option<u16>) -> Checked {
        let mut policy = support::AgeOrSize {
            age_max: age.map(|millis| Duration::from_millis(u64::from(millis))),
            bytes_min: Some(u64::from(keep)),
        };
        let high_watermark = offset(self.model.durable.max(self.model.start));
        let segments = self.log().segments();
        let now = self.clock.now();
        match self.log().apply_retention(&mut policy, high_watermark, now) {
            Ok(outcome) => {
                let start = outcome.start.get();
                check!(
                    start >= self.model.start && start <= high_watermark.get(),
                    "the start is {start}"
                );
                check!(outcome.segments < segments.len(), "the active segment went");
                self.model.start = start;
                Ok(())
            }
            Err(_) if self.io.is_killed() => {
                let bounds = Bounds {
                    start_max: high_watermark.get(),
                    ..self.exact()
                };
                self.crash(self.power, bounds)
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

fn flush_mode(millis: u16) -> FlushMode {
    let every = Duration::from_millis(u64::from(millis));
    match millis {
        0 => FlushMode::Sync,
        _ => FlushMode::Async { every },
    }
}
