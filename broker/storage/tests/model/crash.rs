//! Stops of every kind, and what must be found after them.

use std::sync::Arc;

use broker_model::{Clock, ManualClock};
use broker_storage::RecoveryReport;
use broker_storage::io::recording::{RecordingIo, Survival};

use super::{Bounds, Checked, Runner, check, config};
use crate::support::inspected::damage;
use crate::support::{self, Record, offset};

impl Runner {
    pub(super) fn close_and_reopen(&mut self) -> Checked {
        self.requests.clear();
        let closed = self
            .log
            .take()
            .unwrap()
            .close()
            .map_err(|error| error.to_string());
        let closed = closed.and_then(|()| {
            let dir = self.dir.as_ref().unwrap();
            dir.close_clean().map_err(|error| error.to_string())
        });
        self.dir = None;
        if closed.is_err() || self.io.is_killed() {
            check!(self.io.is_killed(), "close: {closed:?}");
            let bounds = self.exact();
            return self.crash(self.power, bounds);
        }
        self.io.clear_faults();
        self.written_at = None;
        self.own_from = None;
        self.model.durable = self.model.end();
        let read =
            |io: &RecordingIo| io.bytes_read(|path| path.extension().is_some_and(|e| e == "log"));
        let before = read(&self.io);
        let report = self.open(None)?;
        check!(
            report.scanned_bytes == 0,
            "a clean stop was followed by a scan"
        );
        check!(report.torn.is_none(), "a clean stop left a torn tail");
        let after = read(&self.io);
        check!(
            before == after,
            "{} bytes read after a clean stop",
            after - before
        );
        self.check_content()
    }

    pub(super) fn crash(&mut self, power: Option<u64>, bounds: Bounds) -> Checked {
        self.requests.clear();
        self.written_at = None;
        self.own_from = None;
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
        self.power = None;
        self.clock = Arc::new(ManualClock::at(self.clock.now()));
        let end_min = match power {
            None => bounds.end_min,
            Some(_) => self.model.durable.min(bounds.end_min),
        };
        let damage = damage(&self.io, &|_| false).map_err(|error| error.to_string())?;
        check!(damage.is_none(), "an inspection names {damage:?}");
        let start_min = self.model.start;
        self.model = bounds.most;
        let noted = self.noted;
        let report = self.open(Some((end_min, start_min, bounds.start_max)))?;
        self.check_told(&report, noted)?;
        self.check_content()
    }

    /// What was acknowledged, as was noted, and is not there any more is told with its offsets.
    fn check_told(&self, report: &RecoveryReport, noted: u64) -> Checked {
        let end = self.model.end();
        if noted <= end {
            return Ok(());
        }
        let lost = report.power_loss.as_ref();
        let lost = lost.and_then(|loss| loss.known_lost.clone());
        check!(
            lost.as_ref()
                .is_some_and(|lost| lost.start.get() == end && lost.end.get() >= noted),
            "{lost:?} is told of {end}..{noted}"
        );
        Ok(())
    }

    pub(super) fn open(&mut self, bounds: Option<(u64, u64, u64)>) -> Checked<RecoveryReport> {
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
        self.flush = self.flush_after_start.take().unwrap_or(self.flush);
        let dir =
            support::open_dir_at(&self.io, self.bugs, clock).map_err(|error| error.to_string())?;
        let opened =
            dir.open_or_create_log(&support::partition(), support::TOPIC_ID, config(self.flush));
        let (log, report) = opened.map_err(|error| error.to_string())?;
        check!(
            report.corruption.is_empty(),
            "nothing is damaged: {:?}",
            report.corruption
        );
        let (start, end) = (log.start().get(), log.end().get());
        let exact = (self.model.end(), self.model.start, self.model.start);
        let (end_min, start_min, start_max) = bounds.unwrap_or(exact);
        check!(
            (start_min..=start_max).contains(&start),
            "the start is {start}, not in {start_min}..={start_max}"
        );
        check!(
            end >= end_min.max(start),
            "the end is {end}, below {end_min}"
        );
        check!(
            end <= self.model.end().max(start),
            "the end is {end}, above {}",
            self.model.end()
        );
        check!(
            self.model.boundaries.contains(&end) || end == start,
            "the end {end} is inside a batch"
        );
        self.model.cut(end);
        self.model.start = start;
        let durable = log.durable_end().get();
        check!(
            durable == end,
            "after recovery all {end} are durable, not {durable}"
        );
        self.model.durable = end;
        self.high_watermark = end;
        self.noted = self.noted.min(end);
        self.log = Some(log);
        self.dir = Some(dir);
        Ok(report)
    }

    pub(super) fn check_content(&mut self) -> Checked {
        if self.io.is_killed() {
            let bounds = self.exact();
            return self.crash(self.power, bounds);
        }
        let log = self.log.as_ref().unwrap();
        check!(
            log.start() == offset(self.model.start),
            "the start is {}",
            log.start()
        );
        check!(
            log.end() == offset(self.model.end()),
            "the end is {}, not {}",
            log.end(),
            self.model.end()
        );
        let found = support::try_read_from(log, log.start()).map_err(|error| error.to_string())?;
        let wanted: Vec<(u64, Record)> = (self.model.start..self.model.end())
            .filter_map(|offset| Some((offset, self.model.records[offset as usize].clone()?)))
            .collect();
        check!(
            found.len() == wanted.len(),
            "{} records, not {}",
            found.len(),
            wanted.len()
        );
        for (found, wanted) in found.iter().zip(&wanted) {
            check!(found == wanted, "another record at offset {}", wanted.0);
        }
        let size: u64 = log.segments().iter().map(|segment| segment.bytes).sum();
        check!(size == log.size_bytes(), "the sizes differ");
        check!(
            log.durable_end() == offset(self.model.durable),
            "durable below {}, not {}",
            log.durable_end(),
            self.model.durable
        );
        Ok(())
    }
}
