//! The second pass of a cleaning: the policy is asked about everything up to where the first pass
//! ended, expired tombstones go too, and what stays goes to the writer.

use broker_model::Offset;
use broker_record::{BatchError, StoredBatch};

use super::cleaned_writer::{CleanedWriter, Gap};
use super::cleaning::{CleaningPlan, Passed, SegmentSource};
use super::first_pass::{FirstPass, count, with_records};
use super::{CleaningFailed, CleaningOutcome, CompactionPolicy, ObserveScope, Pace, RemovedRecord};
use crate::corruption::{Corruption, Damage};
use crate::policy_failed::PolicyFailed;

/// The second pass under way.
pub(super) struct SecondPass<'a, 'v> {
    plan: &'a CleaningPlan,
    first: &'a FirstPass,
    writer: CleanedWriter<'a>,
    visit: Option<&'v mut dyn FnMut(RemovedRecord<'_>)>,
    outcome: CleaningOutcome,
    keep: Vec<u8>,
}

impl<'a, 'v> SecondPass<'a, 'v> {
    pub(super) fn new(
        plan: &'a CleaningPlan,
        first: &'a FirstPass,
        writer: CleanedWriter<'a>,
        visit: Option<&'v mut dyn FnMut(RemovedRecord<'_>)>,
    ) -> Self {
        Self {
            plan,
            first,
            writer,
            visit,
            outcome: CleaningOutcome {
                cleaned_to: first.cleaned_to,
                ..CleaningOutcome::default()
            },
            keep: Vec::new(),
        }
    }

    pub(super) fn run(
        mut self,
        policy: &mut dyn CompactionPolicy,
        pace: &Pace,
    ) -> Result<Passed, CleaningFailed> {
        let plan = self.plan;
        for (number, source) in plan.covered(self.first.cleaned_to).iter().enumerate() {
            self.outcome.segments_before += 1;
            self.outcome.bytes_before += u64::from(source.len);
            self.segment(number, source, policy, pace)?;
        }
        plan.go_on(pace, 0)?;
        let (segments, files) = self.writer.finish()?;
        let mut outcome = self.outcome;
        outcome.segments_after = segments.len() as u64;
        let lens = segments
            .iter()
            .map(|segment| u64::from(segment.summary.len));
        outcome.bytes_after = lens.sum();
        Ok(Passed {
            outcome,
            segments,
            files,
        })
    }

    fn segment(
        &mut self,
        number: usize,
        source: &SegmentSource,
        policy: &mut dyn CompactionPolicy,
        pace: &Pace,
    ) -> Result<(), CleaningFailed> {
        let plan = self.plan;
        let seen = self.first.seen.get(number).copied().flatten();
        let Some(mut reader) = plan.open(source, source.beginning())? else {
            if seen.is_some() && self.first.scope == ObserveScope::WholeLog {
                // Deleted between the passes. The policy may have counted its records.
                return Err(CleaningFailed::Cancelled);
            }
            return self.writer.gap(Gap {
                base: source.data.base(),
                next: source.next,
                epoch: None,
            });
        };
        let (first, from) = self.first.from;
        let observed_from = if number == first {
            from.offset
        } else {
            Offset::ZERO
        };
        let mut headers = crc32fast::Hasher::new();
        loop {
            let (run, bytes) = reader.next_run()?;
            if run.is_empty() {
                break;
            }
            plan.go_on(pace, bytes)?;
            let covered =
                run.partition_point(|batch| batch.header.base_offset < self.first.cleaned_to);
            let (covered, rest) = run.split_at(covered);
            for batch in covered {
                if batch.header.base_offset >= observed_from {
                    headers.update(&batch.header.encode());
                }
            }
            let begins_at = reader.position() - bytes;
            self.run_of((source, begins_at), covered, policy)?;
            for batch in rest {
                self.outcome.records_before += count(batch);
                self.writer.put(batch.clone())?;
            }
        }
        match seen.is_none_or(|seen| seen == headers.finalize()) {
            true => Ok(()),
            false => Err(CleaningFailed::Changed {
                file: source.data.path().to_owned(),
            }),
        }
    }

    /// Asks about a run, and passes on what stays of it.
    fn run_of(
        &mut self,
        (source, begins_at): (&SegmentSource, u64),
        run: &[StoredBatch],
        policy: &mut dyn CompactionPolicy,
    ) -> Result<(), CleaningFailed> {
        let asked: Vec<StoredBatch> = with_records(run).cloned().collect();
        let records: u64 = asked.iter().map(count).sum();
        self.keep.clear();
        if records > 0 {
            policy.retain(&asked, &mut self.keep)?;
            if (self.keep.len() as u64) < records.div_ceil(8) {
                let bytes = self.keep.len();
                let reason = format!("it answered {bytes} bytes of bits for {records} records");
                return Err(PolicyFailed::new(reason).into());
            }
        }
        let mut first_bit = 0;
        let mut position = begins_at;
        for batch in run {
            let stays = self.what_stays(batch, first_bit);
            let stays = stays.map_err(|error| undecodable((source, position), batch, &error))?;
            position += batch.header.batch_len() as u64;
            first_bit += batch.header.record_count as usize;
            match stays {
                Some(batch) => self.writer.put(batch)?,
                None => self.writer.gap(Gap {
                    base: batch.header.base_offset,
                    next: batch.header.next_offset(),
                    epoch: Some(batch.header.leader_epoch),
                })?,
            }
        }
        Ok(())
    }

    /// What stays of a batch whose bits begin at `first_bit`; nothing of one without records.
    fn what_stays(
        &mut self,
        batch: &StoredBatch,
        first_bit: usize,
    ) -> Result<Option<StoredBatch>, BatchError> {
        let records = batch.header.record_count as usize;
        self.outcome.records_before += count(batch);
        let bits = &self.keep;
        let chosen = |index: usize| {
            let bit = first_bit + index;
            bits.get(bit / 8)
                .is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
        };
        let kept = (0..records).filter(|index| chosen(*index)).count();
        let may_expire = batch.header.base_offset < self.plan.expired_below;
        if kept == records && !may_expire {
            return Ok(Some(batch.clone()).filter(|_| records > 0));
        }
        if kept == 0 && self.visit.is_none() {
            self.outcome.records_removed += count(batch);
            return Ok(None);
        }
        let mut stays = Vec::with_capacity(records);
        for (index, record) in batch.records()?.iter().enumerate() {
            let record = record?;
            let is_tombstone = record.key.is_some() && record.value.is_none();
            let expired = is_tombstone && chosen(index) && record.offset < self.plan.expired_below;
            let keeps = chosen(index) && !expired;
            stays.push(keeps);
            if keeps {
                continue;
            }
            self.outcome.records_removed += 1;
            self.outcome.tombstones_removed += u64::from(expired);
            if let Some(visit) = &mut self.visit {
                visit(RemovedRecord { record, expired });
            }
        }
        if records == 0 {
            return Ok(None);
        }
        batch.retain(|index| stays.get(index).copied().unwrap_or(true))
    }
}

fn undecodable(
    (source, position): (&SegmentSource, u64),
    batch: &StoredBatch,
    error: &BatchError,
) -> CleaningFailed {
    CleaningFailed::Corrupt(Corruption {
        file: source.data.path().to_owned(),
        position,
        offset: batch.header.base_offset,
        next_good: Some(batch.header.next_offset()),
        damage: Damage::Records {
            reason: error.to_string(),
        },
    })
}
