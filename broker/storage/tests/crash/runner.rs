//! Runs a script on a recorded disk and keeps the ledger.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_model::{Clock, ManualClock};
use broker_record::{BatchBuilder, Codec, ProducedBatch, Validation};
use broker_storage::io::Io;
use broker_storage::io::recording::{Operation, RecordingIo};
use broker_storage::{Log, LogConfig, LogDir, PlantedBugs, SyncDone, SyncOutcome, SyncRequest};

use super::ledger::{Entry, Expect, Phase, Presence, World};
use super::recovered::recovered;
use super::script::{Break, Do, PARTS, Part, Script, epoch, partition, topic_id};
use super::{Checked, check};
use crate::support::{AgeOrSize, at, offset, open_dir_at};

/// Segments of a few batches.
pub(crate) fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 1_500,
        roll_after: Duration::from_secs(8),
        index_interval_bytes: 200,
        ..LogConfig::default()
    }
}

/// A script under way.
pub(crate) struct Runner {
    io: Arc<RecordingIo>,
    clock: Arc<ManualClock>,
    bugs: PlantedBugs,
    dir: Option<LogDir>,
    logs: BTreeMap<Part, Log>,
    world: World,
    timeline: Vec<(usize, World)>,
    phases: Vec<Phase>,
    recorded_late: bool,
    epoch: u32,
    count: u64,
}

impl Runner {
    /// Runs a script; answers the lives of the disk.
    pub(crate) fn run(script: &Script, bugs: PlantedBugs) -> Checked<Vec<Phase>> {
        let mut runner = Self {
            io: RecordingIo::new(),
            clock: Arc::new(ManualClock::at(at(1_000_000))),
            bugs,
            dir: None,
            logs: BTreeMap::new(),
            world: vec![Expect::default(); PARTS],
            timeline: Vec::new(),
            phases: Vec::new(),
            recorded_late: false,
            epoch: 1,
            count: 0,
        };
        runner.io.keep_moments();
        runner.note();
        runner.open_dir()?;
        for (number, step) in script.steps.iter().enumerate() {
            let done = runner.step(step);
            done.map_err(|error| format!("step {number} {step:?}: {error}"))?;
        }
        runner.end_phase();
        Ok(runner.phases)
    }

    fn note(&mut self) {
        let changes = self.io.operation_count() as usize;
        self.timeline.push((changes, self.world.clone()));
    }

    fn end_phase(&mut self) {
        self.phases.push(Phase {
            moments: self.io.moments(),
            timeline: std::mem::take(&mut self.timeline),
            recorded_late: self.recorded_late,
        });
    }

    fn step(&mut self, step: &Do) -> Checked {
        match step {
            Do::Create(part) => {
                self.world[*part].presence = Presence::Maybe;
                self.note();
                self.open_log(*part)?;
                self.world[*part].presence = Presence::Yes;
                self.note();
            }
            Do::Append {
                to,
                batches,
                records,
                bytes,
                codec,
            } => self.append(*to, *batches, (*records, *bytes), *codec)?,
            Do::NewEpoch => self.epoch += 1,
            Do::Sync(parts) => self.sync(parts)?,
            Do::SyncInline(part) => self.sync_inline(*part)?,
            Do::RollByAge(part) => {
                self.clock.advance(Duration::from_secs(9));
                let rolled = self.log(*part).roll_if_due();
                check!(
                    rolled.map_err(|error| error.to_string())?,
                    "it was not rolled"
                );
            }
            Do::Truncate(part, to) => self.truncate(*part, *to)?,
            Do::DeleteRecords(part, to) => self.delete_records(*part, *to)?,
            Do::Retention(part, keep) => self.retention(*part, *keep)?,
            Do::Checkpoint => self.checkpoint()?,
            Do::Delete(part) => self.delete(*part)?,
            Do::ReleaseIdle(part) => {
                self.log(*part).release_idle_files();
                self.log(*part).release_idle_files();
            }
            Do::CloseAndReopen => {
                self.close()?;
                self.reopen()?;
            }
            Do::BreakIndexes(extension, how) => {
                self.close()?;
                self.break_indexes(extension, *how)
                    .map_err(|error| error.to_string())?;
                self.reopen()?;
            }
            Do::Reboot => {
                self.close()?;
                self.stop(
                    self.io
                        .after_power_loss(broker_storage::io::recording::Survival::Synced),
                )?;
            }
            Do::Kill => self.stop(self.io.after_kill())?,
            Do::PowerLoss(survival) => {
                for expect in &mut self.world {
                    expect.written = expect.durable;
                }
                self.stop(self.io.after_power_loss(*survival))?;
            }
        }
        Ok(())
    }

    fn log(&mut self, part: Part) -> &mut Log {
        self.logs.get_mut(&part).unwrap()
    }

    fn dir(&self) -> LogDir {
        self.dir.clone().unwrap()
    }

    fn append(
        &mut self,
        part: Part,
        batches: usize,
        (records, bytes): (usize, usize),
        codec: Codec,
    ) -> Checked {
        let mut produced = Vec::new();
        let first = self.world[part].end();
        for _ in 0..batches {
            let entries: Vec<Entry> = (0..records)
                .map(|_| self.next_entry(part, bytes / records))
                .collect();
            produced.push(batch(&entries, codec));
            let expect = &mut self.world[part];
            Arc::make_mut(&mut expect.content).extend(entries.into_iter().map(Some));
            let end = expect.end();
            Arc::make_mut(&mut expect.boundaries).push(end);
        }
        self.note();
        let (epoch, now) = (epoch(self.epoch), self.clock.now());
        let run = self.log(part).append(&mut produced, epoch, now);
        let run = run.map_err(|error| error.to_string())?;
        check!(
            run.first.get() == first,
            "appended at {}, not {first}",
            run.first
        );
        let expect = &mut self.world[part];
        check!(run.end.get() == expect.end(), "the end is {}", run.end);
        expect.written = expect.end();
        self.note();
        Ok(())
    }

    fn next_entry(&mut self, part: Part, bytes: usize) -> Entry {
        self.count += 1;
        // Some of it can be compressed, and no two are alike.
        let mut value = format!("{part}/{}/", self.count).into_bytes();
        let mut noise = self.count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        while value.len() < bytes {
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            value.push((noise >> 60) as u8 + b'a');
        }
        let jitter = [0, 25, -25][(self.count % 3) as usize];
        Entry {
            value,
            timestamp: 1_000_000 + 10 * self.count as i64 + jitter,
            epoch: self.epoch,
        }
    }

    fn sync(&mut self, parts: &[Part]) -> Checked {
        let answers: Arc<Mutex<Vec<(Part, usize, SyncOutcome)>>> = Arc::default();
        let mut work: Vec<(SyncRequest, SyncDone)> = Vec::new();
        for part in parts {
            let Some(request) = self.log(*part).sync_request() else {
                self.check_all_is_durable(*part)?;
                continue;
            };
            let (io, answers, part) = (Arc::clone(&self.io), Arc::clone(&answers), *part);
            let done = move |outcome| {
                let changes = io.operation_count() as usize;
                answers.lock().unwrap().push((part, changes, outcome));
            };
            work.push((request, Box::new(done)));
        }
        self.dir().sync_together(work);
        for (part, changes, outcome) in answers.lock().unwrap().drain(..) {
            let durable = self.logs.get_mut(&part).unwrap().on_synced(&outcome);
            let durable = durable.map_err(|error| error.to_string())?;
            self.world[part].durable = durable.get();
            self.check_all_is_durable(part)?;
            self.timeline.push((changes, self.world.clone()));
        }
        Ok(())
    }

    /// Nothing was written since the last sync, so all of it is acknowledged: what a log does not take for durable
    /// is never answered, and promises nothing that a stop could break.
    fn check_all_is_durable(&mut self, part: Part) -> Checked {
        let durable = self.log(part).durable_end().get();
        let end = self.world[part].end();
        check!(durable == end, "durable below {durable}, not {end}");
        Ok(())
    }

    fn sync_inline(&mut self, part: Part) -> Checked {
        let request = self.log(part).sync_request().unwrap();
        let outcome = self.dir().sync_inline(request);
        let durable = self.log(part).on_synced(&outcome);
        self.world[part].durable = durable.map_err(|error| error.to_string())?.get();
        self.check_all_is_durable(part)?;
        self.note();
        self.recorded_late = true;
        // Until the recorder's thread has recorded it: what follows is then the same in every run.
        let is_recorded = |operation: &Operation| {
            let Operation::SyncData { path } = operation else {
                return false;
            };
            path.ends_with("durable-positions")
        };
        while !self.io.operations().last().is_some_and(is_recorded) {
            std::thread::yield_now();
        }
        Ok(())
    }

    fn truncate(&mut self, part: Part, to: u64) -> Checked {
        let expect = &mut self.world[part];
        let cut = expect.boundary_below(to).max(expect.start.0);
        expect.durable = expect.durable.min(cut);
        expect.written = cut;
        expect.high_watermark = expect.high_watermark.min(cut);
        self.note();
        let end = self.log(part).truncate_to(offset(to));
        let end = end.map_err(|error| error.to_string())?;
        check!(end.get() == cut, "truncated to {end}, not {cut}");
        self.world[part].cut(cut);
        let (found, durable) = (self.log(part).durable_end(), self.world[part].durable);
        check!(
            found == offset(durable),
            "durable below {found}, not {durable}"
        );
        self.note();
        Ok(())
    }

    fn delete_records(&mut self, part: Part, to: u64) -> Checked {
        self.world[part].start.1 = to;
        self.note();
        let start = self.log(part).advance_start(offset(to));
        let start = start.map_err(|error| error.to_string())?;
        check!(start.get() == to, "the start is {start}");
        self.world[part].start.0 = to;
        self.note();
        Ok(())
    }

    fn retention(&mut self, part: Part, keep: u64) -> Checked {
        let high_watermark = self.world[part].durable;
        self.world[part].start.1 = high_watermark.max(self.world[part].start.1);
        self.note();
        let mut policy = AgeOrSize {
            age_max: None,
            bytes_min: Some(keep),
        };
        let now = self.clock.now();
        let kept = self
            .log(part)
            .apply_retention(&mut policy, offset(high_watermark), now);
        let kept = kept.map_err(|error| error.to_string())?;
        check!(kept.segments > 0, "nothing was deleted");
        self.world[part].start = (kept.start.get(), kept.start.get());
        self.note();
        Ok(())
    }

    fn checkpoint(&mut self) -> Checked {
        let dir = self.dir();
        let parts: Vec<Part> = self.logs.keys().copied().collect();
        for part in &parts {
            let durable = self.world[*part].durable;
            dir.record_high_watermark(&partition(*part), offset(durable));
        }
        dir.write_checkpoints().map_err(|error| error.to_string())?;
        for part in parts {
            self.world[part].high_watermark = self.world[part].durable;
        }
        self.note();
        Ok(())
    }

    fn delete(&mut self, part: Part) -> Checked {
        self.world[part].presence = Presence::Maybe;
        self.note();
        self.logs.remove(&part);
        let deleted = self.dir().delete_log(&partition(part), topic_id(part));
        deleted.map_err(|error| error.to_string())?;
        self.world[part].presence = Presence::No;
        self.note();
        Ok(())
    }

    fn close(&mut self) -> Checked {
        for (part, log) in std::mem::take(&mut self.logs) {
            log.close().map_err(|error| error.to_string())?;
            let end = self.world[part].end();
            self.world[part].durable = end;
            self.note();
        }
        let closed = self.dir().close_clean();
        closed.map_err(|error| error.to_string())?;
        self.dir = None;
        Ok(())
    }

    fn break_indexes(&self, extension: &str, how: Break) -> std::io::Result<()> {
        let dir = std::path::Path::new(crate::support::DIR).join("orders-0");
        for entry in self.io.list(&dir)? {
            let path = dir.join(&entry.name);
            if path.extension().is_none_or(|found| found != extension) {
                continue;
            }
            let open = || self.io.open(&path, broker_storage::io::OpenMode::Write);
            match how {
                Break::Remove => self.io.remove_file(&path)?,
                Break::Cut => open()?.set_len(entry.len * 2 / 3)?,
                Break::Flip => open()?.write_all_at(&[0xa5; 3], entry.len / 2)?,
            }
        }
        Ok(())
    }

    /// The process ends without a word, and another one starts on what it has left.
    fn stop(&mut self, left: Arc<RecordingIo>) -> Checked {
        self.end_phase();
        self.logs.clear();
        self.dir = None;
        let is_restart = left.boot_id().unwrap() != self.io.boot_id().unwrap();
        self.io = left;
        self.clock = Arc::new(ManualClock::at(self.clock.now()));
        // What a recovery finds is what every other one has to find.
        let found = recovered(&self.io.after_kill(), &self.world, is_restart, self.bugs)?;
        for (expect, found) in self.world.iter_mut().zip(&found) {
            expect.presence = match found {
                Some(_) => Presence::Yes,
                None => Presence::No,
            };
            if let Some((start, end)) = found.as_ref().map(|found| (found.start, found.end)) {
                expect.start = (start, start);
                expect.cut(end);
                expect.written = end;
                expect.high_watermark = expect.high_watermark.min(end);
                if is_restart {
                    expect.durable = end;
                }
            }
        }
        self.io.keep_moments();
        self.note();
        self.reopen()
    }

    fn open_dir(&mut self) -> Checked {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let dir = open_dir_at(&self.io, self.bugs, clock);
        self.dir = Some(dir.map_err(|error| error.to_string())?);
        Ok(())
    }

    fn reopen(&mut self) -> Checked {
        self.open_dir()?;
        let found = self.dir().partitions();
        found.map_err(|error| error.to_string())?;
        for part in 0..PARTS {
            if self.world[part].presence == Presence::Yes {
                self.open_log(part)?;
            }
        }
        Ok(())
    }

    fn open_log(&mut self, part: Part) -> Checked {
        let dir = self.dir();
        let opened = dir.open_or_create_log(&partition(part), topic_id(part), config());
        let (log, _) = opened.map_err(|error| error.to_string())?;
        let expect = &mut self.world[part];
        let (found, end) = (log.end().get(), expect.end());
        check!(found == end, "{part} ends at {found}, not {end}");
        expect.durable = end;
        self.logs.insert(part, log);
        self.check_all_is_durable(part)?;
        self.note();
        Ok(())
    }
}

/// A batch of these records.
pub(crate) fn batch(entries: &[Entry], codec: Codec) -> ProducedBatch {
    let mut builder = BatchBuilder::new();
    for entry in entries {
        builder
            .push(None, Some(&entry.value), at(entry.timestamp), [])
            .unwrap();
    }
    let (body, claims) = builder.build(codec).unwrap();
    ProducedBatch::opaque(body, claims, Validation::Full).unwrap()
}
