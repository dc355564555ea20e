//! The steps of a history, each tried on the log and on the model.

use std::sync::Arc;
use std::time::Duration;

use broker_model::{Clock, ManualClock};
use broker_record::Codec;
use broker_storage::io::recording::{Fault, Operation, RecordingIo, Survival};
use broker_storage::{Cleaned, Cleaning, CleaningFailed, Log, Pace, PlantedBugs};

use super::{Checked, Model, Runner, Step, Which, chance, check, config, settings};
use crate::cleaning::{KeepIf, Keyed, LastN, LatestByKey, append_batch, keyed_batch};
use crate::support::{self, at, offset};

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
            stamp: 5_000,
            count: 0,
        }
    }

    /// Runs a history to its end; an error says where the log and the model part.
    pub(crate) fn run(mut self, steps: &[Step]) -> Checked {
        self.open(&self.exactly())?;
        for (number, step) in steps.iter().enumerate() {
            self.step(step)
                .and_then(|()| self.check_content())
                .map_err(|error| format!("step {number} {step:?}: {error}"))?;
        }
        self.check_every_offset()?;
        self.check_files()
    }

    /// What the log holds, with nothing in doubt.
    fn exactly(&self) -> Vec<Model> {
        vec![self.model.clone()]
    }

    fn log(&mut self) -> &mut Log {
        self.log.as_mut().unwrap()
    }

    fn part(&self, percent: u8) -> u64 {
        let extent = self.model.end() - self.model.start;
        self.model.start + extent * u64::from(percent) / 100
    }

    fn step(&mut self, step: &Step) -> Checked {
        match step {
            Step::Append { batches, codec } => self.append(batches, *codec),
            Step::Sync => self.sync(),
            Step::Wait { seconds } => {
                self.clock.advance(Duration::from_secs(*seconds));
                Ok(())
            }
            Step::Clean {
                policy,
                high_watermark,
            } => {
                let below = self.part(*high_watermark);
                self.clean(*policy, below)
            }
            Step::DeleteRecords { to } => self.delete_records(*to),
            Step::CleanBesideDeletion { to } => self.clean_beside_deletion(*to),
            Step::Reopen => {
                let log = self.log.take().unwrap();
                log.close().map_err(|error| error.to_string())?;
                let dir = self.dir.take().unwrap();
                dir.close_clean().map_err(|error| error.to_string())?;
                drop(dir);
                self.model.durable = self.model.end();
                self.open(&self.exactly())
            }
            Step::Kill => self.crash(None, &self.exactly()),
            Step::PowerLoss { seed } => self.crash(Some(*seed), &self.exactly()),
            Step::CleanKilledAt { after, torn, power } => {
                self.clean_killed_at(*after, *torn, *power)
            }
            Step::CleanOnFullDisk { after } => self.clean_on_full_disk(*after),
        }
    }

    fn append(&mut self, batches: &[Vec<(u8, u8)>], codec: u8) -> Checked {
        let codec = Codec::ALL[usize::from(codec) % Codec::ALL.len()];
        for records in batches {
            let texts: Vec<(Option<String>, Option<String>)> = records
                .iter()
                .map(|(key, len)| {
                    self.count += 1;
                    let key = (*key > 0).then(|| format!("key-{key}"));
                    let value = (*len > 0).then(|| {
                        let width = usize::from(*len);
                        format!("{:.<width$}", self.count)
                    });
                    (key, value)
                })
                .collect();
            let pairs: Vec<_> = texts
                .iter()
                .map(|(key, value)| (key.as_deref(), value.as_deref()))
                .collect();
            let batch = keyed_batch(&pairs, self.stamp, codec);
            append_batch(self.log(), batch);
            for (index, (key, value)) in (0..).zip(texts) {
                let record = Keyed {
                    offset: self.model.end(),
                    timestamp: self.stamp + index,
                    key: key.map(String::into_bytes),
                    value: value.map(String::into_bytes),
                };
                self.model.records.push(Some(record));
            }
            self.stamp += 20;
            let end = self.model.end();
            self.model.boundaries.push(end);
        }
        Ok(())
    }

    fn sync(&mut self) -> Checked {
        let log = self.log.as_mut().unwrap();
        support::sync(self.dir.as_ref().unwrap(), log);
        self.model.durable = self.model.end();
        Ok(())
    }

    /// Begins a cleaning, whether one is due or not; checks what it says it would cover.
    fn begin(&mut self, high_watermark: u64) -> Checked<Option<Cleaning>> {
        let now = self.clock.now();
        let state = self
            .log()
            .cleaning_state(&settings(), offset(high_watermark), now);
        let first_dirty = self.model.cleaned_to.max(self.model.start);
        check!(
            state.first_dirty.get() == first_dirty,
            "clean up to {}, not {first_dirty}",
            state.first_dirty
        );
        check!(
            state.cleanings == self.model.cleanings,
            "{} cleanings",
            state.cleanings
        );
        check!(!state.under_way, "a cleaning is still under way");
        Ok(self
            .log()
            .force_cleaning(&settings(), offset(high_watermark), now))
    }

    fn clean(&mut self, which: Which, high_watermark: u64) -> Checked {
        let began = self.clock.now().as_millis();
        let high_watermark = high_watermark.min(self.model.durable.max(self.model.start));
        let Some(cleaning) = self.begin(high_watermark)? else {
            return Ok(());
        };
        let (ran, which) = run_policy(cleaning, which);
        let cleaned = match (ran, which) {
            (Ok(cleaned), _) => cleaned,
            (Err(CleaningFailed::TookTooLittle { .. }), Which::Bounded(_)) => return Ok(()),
            (
                Err(CleaningFailed::TookTooLittle { .. } | CleaningFailed::FullInCleanPart { .. }),
                Which::LastN { bound, .. },
            ) => return self.check_nothing_new_below(bound),
            (Err(error), _) => return Err(error.to_string()),
        };
        let active = self.log().segments().pop().unwrap();
        let outcome = self
            .log()
            .finish_cleaning(cleaned)
            .map_err(|error| error.to_string())?;
        let to = outcome.cleaned_to.get();
        check!(
            to <= high_watermark,
            "cleaned up to {to}, above {high_watermark}"
        );
        check!(to <= active.base.get(), "the active segment was cleaned");
        check!(
            self.log().segments().last() == Some(&active),
            "the active segment changed"
        );
        let before = self.model.survivors().len();
        self.model
            .clean(which, to, began, self.clock.now().as_millis());
        let gone = before - self.model.survivors().len();
        check!(
            outcome.records_removed >= gone as u64,
            "{} records removed, not {gone}",
            outcome.records_removed
        );
        Ok(())
    }

    /// A whole batch of what was not cleaned yet would have been a cleaning.
    fn check_nothing_new_below(&self, observed_below: u64) -> Checked {
        let first_dirty = self.model.cleaned_to.max(self.model.start);
        let mut boundaries = self.model.boundaries.iter();
        let new = boundaries.find(|boundary| **boundary > first_dirty);
        check!(
            new.is_none_or(|new| observed_below < *new),
            "it took in a new batch, up to {observed_below}"
        );
        Ok(())
    }

    fn delete_records(&mut self, to: u8) -> Checked {
        let to = self.part(to);
        let start = self
            .log()
            .advance_start(offset(to))
            .map_err(|error| error.to_string())?;
        check!(start.get() == to, "the start is {start}, not {to}");
        self.model.start = to;
        Ok(())
    }

    fn clean_beside_deletion(&mut self, to: u8) -> Checked {
        let began = self.clock.now().as_millis();
        let durable = self.model.durable.max(self.model.start);
        let Some(cleaning) = self.begin(durable)? else {
            return Ok(());
        };
        let mut policy = LatestByKey::default();
        let first_dirty = self.model.cleaned_to.max(self.model.start);
        let early = to.is_multiple_of(2);
        if early {
            self.delete_records(to)?;
        }
        let cleaned = cleaning
            .run(&mut policy, &Pace::unthrottled())
            .map_err(|error| error.to_string())?;
        if !early {
            self.delete_records(to)?;
        }
        self.append(&[vec![(1, 200), (2, 200)], vec![(3, 200), (0, 200)]], 0)?;
        let outcome = self
            .log()
            .finish_cleaning(cleaned)
            .map_err(|error| error.to_string())?;
        let mut cleaned = self.model.clone();
        // What it has seen is from before the deletion.
        cleaned.start = first_dirty.min(cleaned.start);
        cleaned.clean(
            Which::LatestByKey,
            outcome.cleaned_to.get(),
            began,
            self.clock.now().as_millis(),
        );
        cleaned.start = self.model.start;
        self.model = cleaned;
        Ok(())
    }

    fn clean_killed_at(&mut self, after: u8, torn: u16, power: Option<u64>) -> Checked {
        self.sync()?;
        let began = self.clock.now().as_millis();
        let high_watermark = self.model.end();
        let Some(cleaning) = self.begin(high_watermark)? else {
            return Ok(());
        };
        let number = self.io.operation_count() + u64::from(after);
        self.io.fail_at(number, Fault::Killed(usize::from(torn)));
        let mut new = self.model.clone();
        let end = self.log().segments().pop().unwrap().base.get();
        new.clean(Which::LatestByKey, end, began, began);
        let cleaned = cleaning.run(&mut LatestByKey::default(), &Pace::unthrottled());
        let finished = cleaned.is_ok_and(|cleaned| self.log().finish_cleaning(cleaned).is_ok());
        let possible = match finished {
            true => vec![new],
            false => vec![self.model.clone(), new],
        };
        self.io.clear_faults();
        self.crash(power, &possible)
    }

    fn clean_on_full_disk(&mut self, after: u8) -> Checked {
        self.sync()?;
        let began = self.clock.now().as_millis();
        let Some(cleaning) = self.begin(self.model.end())? else {
            return Ok(());
        };
        let mut left = u64::from(after);
        self.io.set_faults(move |_, operation| {
            let grows = matches!(
                operation,
                Operation::Write { .. } | Operation::CreateFile { .. }
            );
            let full = grows && left == 0;
            left = left.saturating_sub(u64::from(grows));
            full.then_some(Fault::ENOSPC)
        });
        let cleaned = cleaning.run(&mut LatestByKey::default(), &Pace::unthrottled());
        let outcome = cleaned
            .ok()
            .and_then(|cleaned| self.log().finish_cleaning(cleaned).ok());
        self.io.clear_faults();
        let failed = self.dir.as_ref().unwrap().is_failed();
        check!(
            failed.is_none(),
            "a full disk took the directory out of service: {failed:?}"
        );
        if let Some(outcome) = outcome {
            self.model
                .clean(Which::LatestByKey, outcome.cleaned_to.get(), began, began);
        }
        self.check_files()
    }

    fn crash(&mut self, power: Option<u64>, possible: &[Model]) -> Checked {
        self.log = None;
        self.dir = None;
        self.io = match power {
            None => self.io.after_kill(),
            Some(seed) => self.io.after_power_loss(match seed % 4 {
                0 => Survival::Synced,
                1 => Survival::Everything,
                _ => Survival::Random(seed),
            }),
        };
        self.clock = Arc::new(ManualClock::at(self.clock.now()));
        self.open(possible)
    }

    /// Opens the log; it must be as one of the models says, but for what was not durable.
    fn open(&mut self, possible: &[Model]) -> Checked {
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
        let dir =
            support::open_dir_at(&self.io, self.bugs, clock).map_err(|error| error.to_string())?;
        let opened = dir.open_or_create_log(&support::partition(), support::TOPIC_ID, config());
        let (log, report) = opened.map_err(|error| error.to_string())?;
        check!(
            report.corruption.is_empty(),
            "nothing is damaged: {:?}",
            report.corruption
        );
        let state = log.cleaning_state(&settings(), log.end(), self.clock.now());
        let found = possible
            .iter()
            .find(|model| model.cleanings == state.cleanings);
        let Some(found) = found else {
            return Err(format!("{} cleanings are remembered", state.cleanings));
        };
        self.model = found.clone();
        let end = log.end().get();
        check!(
            end >= self.model.durable,
            "the end is {end}, below {}",
            self.model.durable
        );
        check!(
            self.model.boundaries.contains(&end) || end == self.model.start,
            "the end {end}"
        );
        self.model.records.truncate(end as usize);
        self.model.boundaries.retain(|boundary| *boundary <= end);
        while self.model.end() < end {
            self.model.records.push(None);
        }
        self.model.durable = end;
        self.log = Some(log);
        self.dir = Some(dir);
        self.check_files()
    }
}

/// Runs a cleaning; answers as well what decided, with the records that it took in.
fn run_policy(cleaning: Cleaning, which: Which) -> (Result<Cleaned, CleaningFailed>, Which) {
    let pace = Pace::unthrottled();
    match which {
        Which::LatestByKey => (cleaning.run(&mut LatestByKey::default(), &pace), which),
        Which::Bounded(room) => {
            let mut policy = LatestByKey::with_room_for(u64::from(room));
            let ran = cleaning.run(&mut policy, &pace);
            (ran, Which::Bounded(u8::try_from(policy.observed).unwrap()))
        }
        Which::LastN { n, bound } => {
            let mut policy = LastN::with_room_for(bound, u64::from(n));
            let ran = cleaning.run(&mut policy, &pace);
            let bound = policy.observed_below;
            (ran, Which::LastN { n, bound })
        }
        Which::Random(seed) => {
            let mut random = KeepIf(move |record: &Keyed| chance(record.offset, seed));
            (cleaning.run(&mut random, &pace), which)
        }
    }
}
