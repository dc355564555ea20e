//! Compaction from the log's side: what can be cleaned and when, and putting a cleaning's result in
//! place. The cleaning itself runs elsewhere; see [`crate::compaction`].

use std::sync::Arc;
use std::time::Duration;

use broker_model::{Offset, Timestamp};

use super::{ChangeError, Log, ReadLimit};
use crate::compaction::{
    Cleaned, Cleaning, CleaningOutcome, CleaningPlan, CleaningState, CleaningToken,
    CompactionSettings, DueReason, OutputLimits, Place, SegmentSource, Surroundings,
};
use crate::index::OffsetEntry;
use crate::segment::{SealedSegment, Searchable as _, locate};
use crate::small_file::{CleanerCheckpoint, SmallFile};
use crate::sync::record;

impl Log {
    /// How the log stands with its cleanings. `now` is wall time.
    pub fn cleaning_state(
        &self,
        settings: &CompactionSettings,
        high_watermark: Offset,
        now: Timestamp,
    ) -> CleaningState {
        let first_dirty = self.cleaned().cleaned_to().max(self.start);
        let cleanable = self.cleanable(settings, high_watermark, now);
        let (mut clean_bytes, mut dirty_bytes) = (0, 0);
        for segment in &self.sealed {
            clean_bytes += u64::from(position_of(segment, first_dirty));
        }
        for segment in cleanable {
            dirty_bytes += u64::from(segment.len - position_of(segment, first_dirty));
        }
        let total = clean_bytes + dirty_bytes;
        let ratio = match total {
            0 => 0.0,
            _ => share(dirty_bytes, total),
        };
        let waited = || self.longest_wait(cleanable, first_dirty, now);
        let due = match settings.max_lag {
            _ if dirty_bytes == 0 => None,
            _ if ratio >= settings.min_dirty_ratio => Some(DueReason::DirtyRatio),
            Some(max) if waited() > max => Some(DueReason::MaxLag),
            _ => None,
        };
        CleaningState {
            first_dirty,
            clean_bytes,
            dirty_bytes,
            ratio,
            due,
            last_cleaned: self.cleaned().last_cleaned,
            cleanings: self.cleaned().cleanings,
            under_way: self.cleaning.is_some(),
        }
    }

    /// Begins a cleaning if one is due and none is under way. It covers sealed segments below the
    /// high watermark that are durable and old enough. To be run elsewhere, then handed to
    /// [`Log::finish_cleaning`]; meanwhile the log can be used in every way. It is over as soon as it,
    /// or what became of it, is dropped.
    pub fn begin_cleaning(
        &mut self,
        settings: &CompactionSettings,
        high_watermark: Offset,
        now: Timestamp,
    ) -> Option<Cleaning> {
        self.cleaning_state(settings, high_watermark, now).due?;
        self.force_cleaning(settings, high_watermark, now)
    }

    /// The same whether one is due or not: `None` when one is under way, or nothing can be cleaned.
    pub fn force_cleaning(
        &mut self,
        settings: &CompactionSettings,
        high_watermark: Offset,
        now: Timestamp,
    ) -> Option<Cleaning> {
        if self.cleaning.is_some()
            || self.trouble.broken().is_some()
            || self.shared.health.check().is_err()
        {
            return None;
        }
        let plan = self.plan(settings, high_watermark, now, self.cleaned())?;
        self.cleaning.begin(&plan.token);
        Some(Cleaning::new(plan))
    }

    /// What a cleaning would read now, for [`Cleaning::run_survey`]. The log does not know of it.
    /// `None` when nothing can be cleaned.
    pub fn survey(
        &self,
        settings: &CompactionSettings,
        high_watermark: Offset,
        now: Timestamp,
    ) -> Option<Cleaning> {
        let plan = self.plan(settings, high_watermark, now, self.cleaned());
        plan.map(Cleaning::new)
    }

    /// The same as if the log had never been cleaned: what another policy would find.
    pub fn survey_anew(
        &self,
        settings: &CompactionSettings,
        high_watermark: Offset,
        now: Timestamp,
    ) -> Option<Cleaning> {
        let never = CleanerCheckpoint::default();
        let plan = self.plan(settings, high_watermark, now, &never);
        plan.map(Cleaning::new)
    }

    /// When the last cleaning was finished.
    pub fn last_cleaned(&self) -> Option<Timestamp> {
        self.cleaned().last_cleaned
    }

    /// Since when the policy was in force by which the last cleaning chose. It may have ended when there was another
    /// already that nobody here had heard of.
    pub fn last_policy_since(&self) -> Option<Timestamp> {
        self.cleaned().policy_since
    }

    /// Makes everything dirty, and ends the cleaning under way: records are to be chosen by another policy
    /// from now on. Tombstones wait anew.
    ///
    /// # Errors
    /// When the checkpoint file cannot be written; nothing was forgotten.
    pub fn forget_cleanings(&mut self) -> Result<(), ChangeError> {
        self.abandon_cleaning();
        self.forget_cleaned_from(Offset::ZERO)
    }

    /// Puts a cleaning's result in place, in one step: after a stop at any point the log has either
    /// all of it or nothing. Slices of replaced segments go on working. Durable when this returns.
    ///
    /// # Errors
    /// [`ChangeError::CleaningOutdated`] when the log was truncated below its end or deleted, or the
    /// cleaning abandoned: nothing was changed. Otherwise when files cannot be written; nothing was changed
    /// unless the directory is out of service.
    pub fn finish_cleaning(
        &mut self,
        mut cleaned: Cleaned,
    ) -> Result<CleaningOutcome, ChangeError> {
        self.shared.health.check()?;
        let is_deleted = !self.shared.positions.is_current(self.ticket);
        if is_deleted || !self.cleaning.is(cleaned.token()) || self.trouble.broken().is_some() {
            return Err(ChangeError::CleaningOutdated);
        }
        // The recorded durable point lies behind the segments since before the cleaning began; what
        // was being written of it then is on the disk when this returns.
        record(&self.shared);
        self.shared.health.check()?;
        let now = self.shared.steady(self.shared.clock.now());
        let mut checkpoint = self.cleaned().clone();
        checkpoint.note(cleaned.outcome().cleaned_to, now);
        checkpoint.policy_since = cleaned.token().policy_since;
        if cleaned.is_unchanged() {
            let file = self.dir().join(CleanerCheckpoint::FILE);
            let stored = checkpoint.store(&*self.shared.io, &file);
            stored.inspect_err(|error| self.shared.observe_small(error))?;
        } else {
            self.swap(&mut cleaned, &checkpoint)?;
        }
        self.cleaned = Some(Box::new(checkpoint));
        let monotonic = self.shared.clock.monotonic();
        Ok(CleaningOutcome {
            took: monotonic.saturating_sub(cleaned.token().began),
            ..*cleaned.outcome()
        })
    }

    /// Forgets the cleaning under way, if there is one: it stops soon, and its result is refused.
    pub fn abandon_cleaning(&mut self) {
        self.cleaning.cancel();
    }

    /// A truncation to `end` is about to happen: what is appended behind it was never cleaned.
    pub(super) fn forget_cleaned_from(&mut self, end: Offset) -> Result<(), ChangeError> {
        self.cleaning.truncate_to(end);
        let mut checkpoint = self.cleaned().clone();
        if checkpoint.truncate_to(end) {
            let file = self.dir().join(CleanerCheckpoint::FILE);
            let stored = checkpoint.store(&*self.shared.io, &file);
            stored.inspect_err(|error| self.shared.observe_small(error))?;
            self.cleaned = Some(Box::new(checkpoint));
        }
        Ok(())
    }

    fn swap(
        &mut self,
        cleaned: &mut Cleaned,
        checkpoint: &CleanerCheckpoint,
    ) -> Result<(), ChangeError> {
        // Retention and deletions go on beside a cleaning, from the front.
        let first = self
            .sealed
            .first()
            .map_or(self.active.data.base(), |first| first.data.base());
        cleaned.advance_start(self.start, first);
        let place = Place {
            shared: &self.shared,
            dir: self.dir(),
            ticket: self.ticket,
        };
        let replaced = cleaned.replaced();
        for segment in &self.sealed {
            if replaced.contains(&segment.data.base()) {
                segment
                    .data
                    .keep_for_readers()
                    .map_err(|source| ChangeError::Io {
                        file: segment.data.path().to_owned(),
                        source,
                    })?;
            }
        }
        let done = cleaned.put_in_place(&place, checkpoint);
        done.inspect_err(|error| {
            // A directory out of service may be half-way: what is in memory is not what is on disk.
            if self.shared.health.check().is_err() {
                let reason = format!("a cleaning could not be put in place: {error}");
                self.trouble.set_broken(reason);
            }
        })?;
        let interval = self.config.index_interval_bytes;
        let new: Vec<SealedSegment> = cleaned
            .segments()
            .map(|(base, summary)| {
                let data = self.segment_data(base);
                // Written from batches that were verified, by this process. Where it cannot be opened now, it is
                // read once more.
                if let Ok((_file, identity)) = data.file_to_verify() {
                    data.mark_verified_in(0..u64::from(summary.len), identity);
                }
                SealedSegment::new(data, summary, interval)
            })
            .collect();
        let replaced = cleaned.replaced();
        let gone = |segment: &SealedSegment| replaced.contains(&segment.data.base());
        let from = self.sealed.iter().position(gone).unwrap_or(0);
        let to = self
            .sealed
            .iter()
            .rposition(gone)
            .map_or(from, |last| last + 1);
        self.sealed.splice(from..to, new);
        Ok(())
    }

    fn plan(
        &self,
        settings: &CompactionSettings,
        high_watermark: Offset,
        now: Timestamp,
        cleaned: &CleanerCheckpoint,
    ) -> Option<CleaningPlan> {
        let cleanable = self.cleanable(settings, high_watermark, now);
        let end = cleanable.last()?.next;
        let first_dirty = cleaned.cleaned_to().max(self.start).min(end);
        let steady = self.shared.steady(now);
        let covered_until = millis_before(steady, settings.delete_retention);
        Some(CleaningPlan {
            around: Surroundings::of(&self.shared, self.dir().to_owned(), self.owner()),
            token: CleaningToken::new(
                (self.start, end),
                self.shared.clock.monotonic(),
                settings.policy_since,
            ),
            sources: cleanable.iter().map(source_of).collect(),
            dirty_from: dirty_from(cleanable, first_dirty),
            limits: OutputLimits {
                segment_bytes: self.config.segment_bytes,
                index_bytes_max: self.config.index_bytes_max,
                index_interval: self.config.index_interval_bytes,
            },
            expired_below: cleaned.covered_at(covered_until),
        })
    }

    /// The sealed segments that a cleaning may cover, from the oldest on: below the high watermark,
    /// below the segment that the recovery point lies in, and without a record that is too young.
    fn cleanable(
        &self,
        settings: &CompactionSettings,
        high_watermark: Offset,
        now: Timestamp,
    ) -> &[SealedSegment] {
        // As it is recorded, not as it is known here: that is what recovery goes by.
        let recorded = self.shared.positions.known(&self.key());
        let recorded = recorded.map_or(Offset::ZERO, |point| point.segment);
        let steady = self.shared.steady(now);
        let young = |segment: &SealedSegment| {
            !settings.min_lag.is_zero() && steady.since(segment.max_timestamp) < settings.min_lag
        };
        let cleanable = self.sealed.iter().take_while(|segment| {
            segment.next <= high_watermark && segment.data.base() < recorded && !young(segment)
        });
        let count = cleanable.count();
        self.sealed.get(..count).unwrap_or_default()
    }

    /// For how long the oldest record has waited that can be cleaned and was not yet.
    fn longest_wait(
        &self,
        cleanable: &[SealedSegment],
        first_dirty: Offset,
        now: Timestamp,
    ) -> Duration {
        let now = self.shared.steady(now);
        let dirty = cleanable
            .iter()
            .filter(|segment| segment.next > first_dirty);
        let waits = dirty.map(|segment| {
            let first = segment.first_timestamp();
            now.since(first.unwrap_or(segment.max_timestamp))
        });
        waits.max().unwrap_or(Duration::ZERO)
    }
}

/// How many bytes of a segment lie below an offset, as far as its index says without reading data.
fn position_of(segment: &SealedSegment, offset: Offset) -> u32 {
    use crate::segment::Searchable;
    if segment.next <= offset {
        return segment.len;
    }
    if segment.data.base() >= offset {
        return 0;
    }
    let boundary = segment.at_or_below(offset);
    boundary.map_or(0, |boundary| boundary.position.min(segment.len))
}

/// The batch with an offset, and the number of its segment. Beyond the last one: its end.
fn dirty_from(segments: &[SealedSegment], offset: Offset) -> (usize, OffsetEntry) {
    let number = segments.partition_point(|segment| segment.next <= offset);
    let Some(segment) = segments.get(number) else {
        let end = OffsetEntry {
            offset,
            position: 0,
        };
        return (number, end);
    };
    let beginning = OffsetEntry {
        offset: segment.data.base(),
        position: 0,
    };
    if offset <= beginning.offset {
        return (number, beginning);
    }
    let found = locate(segment, offset, segment.next, ReadLimit::Strict(0)).ok();
    let batch = found.and_then(|extent| {
        Some(OffsetEntry {
            offset: extent.offsets.start,
            position: u32::try_from(extent.positions.start).ok()?,
        })
    });
    // What cannot be found is damaged, and the cleaning says so when it comes there.
    (number, batch.unwrap_or(beginning))
}

fn source_of(segment: &SealedSegment) -> SegmentSource {
    SegmentSource {
        data: Arc::clone(&segment.data),
        len: segment.len,
        next: segment.next,
    }
}

fn millis_before(at: Timestamp, by: Duration) -> Timestamp {
    let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(at.as_millis().saturating_sub(by))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a share of byte counts, which are far below 2^53"
)]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
