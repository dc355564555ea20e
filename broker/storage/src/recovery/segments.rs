//! The segments of a log that is being opened: those below its recovery point, the one it lies in,
//! and those above.

use std::sync::Arc;

use broker_model::Offset;

use super::tail::{Tail, TailEnd, TailRange, TailRule, behind_unnoted, read_tail};
use super::{LastStop, Recovery, TornTail, restore_active};
use crate::corruption::{Corruption, Damage};
use crate::index::{ActiveIndex, SealedSummary};
use crate::log::{LogPurpose, remove_segment};
use crate::log_dir::OpenLogError;
use crate::segment::{ActiveSegment, DataFile, SealedSegment};

/// Of no system's page cache a page is larger.
const PAGE_MAX: u64 = 64 << 10;

impl Recovery<'_> {
    /// The segments below the recovery point: complete, durable, and not read.
    pub(super) fn open_below(&mut self) -> Result<(), OpenLogError> {
        let below = self
            .files
            .partition_point(|(base, _)| *base < self.point.segment);
        let files: Vec<_> = self.files.drain(..below).collect();
        for (number, (base, len)) in files.iter().copied().enumerate() {
            self.note_hole_before(base);
            let next = files.get(number + 1).map(|(base, _)| *base);
            let below = next.unwrap_or(self.point.segment);
            if let Some(indexed) = self.open_sealed(base, len, Some(below))? {
                self.note_cut(base, len, &indexed);
            }
        }
        Ok(())
    }

    /// The index of a segment that was durable speaks of more bytes than there are.
    fn note_cut(&mut self, base: Offset, len: u32, indexed: &SealedSummary) {
        if indexed.len <= len {
            return;
        }
        let file = self.data(base).path().to_owned();
        // The end of the file is inside a batch: that says nothing more.
        let known = &mut self.report.corruption;
        known.retain(|known| known.file != file || known.damage != Damage::Incomplete);
        known.push(Corruption {
            file,
            position: u64::from(len),
            offset: self.sealed.last().map_or(base, |segment| segment.next),
            next_good: Some(indexed.next),
            damage: Damage::Missing {
                bytes: u64::from(indexed.len - len),
            },
        });
    }

    /// The segment with the recovery point, and those above it.
    pub(super) fn open_above(&mut self) -> Result<(), OpenLogError> {
        self.check_nothing_missing()?;
        // The offset that the next segment has to begin with.
        let mut expected = self.point.end;
        while !self.files.is_empty() {
            let (base, len) = self.files.remove(0);
            let is_above = base > self.point.segment;
            let is_gap = is_above && base != expected;
            if is_gap && self.is_set_back(expected, (base, len)) {
                self.take_for_other_boot();
            }
            if is_gap && self.report.last_stop == LastStop::OtherBoot {
                // Whatever was in between is lost, and what follows was never acknowledged.
                self.files.insert(0, (base, len));
                return self.cut_at_gap(expected);
            }
            self.note_hole_before(base);
            let shared = &self.request.shared;
            let is_buggy = shared.planted.cut_corrupt_middle && !shared.was_clean;
            let from_start = is_above || is_buggy;
            let range = TailRange {
                from: if from_start {
                    0
                } else {
                    u64::from(self.point.position)
                },
                expected: if from_start { base } else { self.point.end },
                len: u64::from(len),
                below: self.next_base(),
                is_cleaned: base < self.cleaned.cleaned_to(),
                is_behind_clean_end: self.is_noted_to_its_end()
                    && self.known.is_some_and(|known| known.segment == base),
            };
            match self.open_tail(base, &range)? {
                Some(next) => expected = next,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// The segment that is written on. Where none is fit for it, a new one behind everything.
    pub(super) fn take_active(&mut self) -> Result<ActiveSegment, OpenLogError> {
        let found = self.active.take();
        let end = found.as_ref().map_or(Offset::ZERO, |active| active.next);
        let end_is_lost = self.end_is_lost && end > self.start;
        match found {
            // A power loss under `flush.mode = async` may take records that were deleted anyway.
            Some(active) if end < self.start => {
                self.remove(&active.data)?;
                while let Some(segment) = self.sealed.pop() {
                    self.remove(&segment.data)?;
                }
                self.new_active(self.start)
            }
            // Complete, it ends with its last good batch, so that whoever searches it knows of the gap behind that.
            Some(active) if end_is_lost => {
                self.open_sealed(active.data.base(), active.len, Some(end))?;
                self.new_active(end)
            }
            Some(active) => Ok(active),
            None => {
                let behind = self.sealed.last().map_or(Offset::ZERO, |last| last.next);
                let lowest = self.point.end.max(self.goes_on_at).max(self.start);
                self.go_on_at(behind.max(lowest))
            }
        }
    }

    /// A new segment in place of one that is not there: what was durable right before it may be gone, too.
    fn go_on_at(&mut self, base: Offset) -> Result<ActiveSegment, OpenLogError> {
        if base > self.start {
            self.note_hole_before(base);
        }
        self.new_active(base)
    }

    /// Where a log goes on whose end is lost to damage, when that is known to have come this far: a clean stop
    /// has noted its very end, and nothing else has.
    pub(super) fn behind_acknowledged(&self, noted: Offset) -> Offset {
        match self.is_noted_to_its_end() {
            true => noted,
            false => behind_unnoted(noted),
        }
    }

    /// Durable bytes that are not there any more.
    fn check_nothing_missing(&mut self) -> Result<(), OpenLogError> {
        let found = self
            .files
            .first()
            .filter(|(base, _)| *base == self.point.segment)
            .copied();
        let (base, len) = found.unwrap_or((self.point.segment, 0));
        if len >= self.point.position {
            return Ok(());
        }
        let before = self.sealed.last().map_or(base, |segment| segment.next);
        // The segments right before it may be gone with it.
        let mut offset = before.max(self.start).min(base);
        if found.is_some() {
            self.files.remove(0);
            self.note_hole_before(base);
            let below = self.next_base().unwrap_or(self.point.end);
            self.open_sealed(base, len, Some(below))?;
            offset = self.sealed.last().map_or(base, |segment| segment.next);
            // The end of the file is inside a batch: that says nothing more.
            self.report
                .corruption
                .retain(|damage| damage.damage != Damage::Incomplete);
        }
        if self.files.is_empty() {
            self.goes_on_at = self.behind_acknowledged(self.point.end);
        }
        let data = self.data(base);
        self.report.corruption.push(Corruption {
            file: data.path().to_owned(),
            position: u64::from(len),
            offset,
            next_good: Some(self.point.end.max(self.goes_on_at)),
            damage: Damage::Missing {
                bytes: u64::from(self.point.position - len),
            },
        });
        Ok(())
    }

    /// Reads a segment above the recovery point. Answers the offset after it, or nothing when the
    /// log ends in it.
    fn open_tail(
        &mut self,
        base: Offset,
        range: &TailRange,
    ) -> Result<Option<Offset>, OpenLogError> {
        let data = self.data(base);
        let len = u32::try_from(range.len).unwrap_or(u32::MAX);
        if range.from == range.len && !range.is_last() {
            self.open_sealed(base, len, range.below)?;
            return Ok(Some(range.expected));
        }
        let rule = match self.request.shared.planted.cut_corrupt_middle {
            true => TailRule::CutAnything,
            false => TailRule::After(self.report.last_stop),
        };
        self.read_from_the_disk(&data, range)?;
        let mut tail =
            read_tail(&data, range, rule).map_err(|source| self.io_failed(data.path(), source))?;
        self.report.scanned_bytes += range.len - range.from;
        self.report.corruption.append(&mut tail.damage);
        self.refuse_damage()?;
        self.epochs.append(&mut tail.epochs);
        if tail.end == TailEnd::Lost {
            self.take_for_other_boot();
        }
        if range.is_last() {
            let end = match tail.end {
                TailEnd::Damaged { offsets_below } => offsets_below.max(self.point.end),
                TailEnd::Whole | TailEnd::Cut | TailEnd::Lost => tail.next,
            };
            self.keep_what_indexes_tell(end)?;
        }
        match tail.end {
            TailEnd::Cut | TailEnd::Lost => {
                self.cut_tail(&data, &tail, len)?;
                Ok(None)
            }
            TailEnd::Whole if range.is_last() => {
                self.activate(&data, &tail)?;
                Ok(None)
            }
            TailEnd::Whole => {
                self.open_sealed(base, len, range.below)?;
                Ok(Some(tail.next))
            }
            TailEnd::Damaged { offsets_below } => {
                let behind = offsets_below.max(self.point.end);
                let below = range.below.or(Some(behind).filter(|_| !range.is_cleaned));
                self.open_sealed(base, len, below)?;
                if range.is_last() {
                    self.active = Some(self.new_active(behind)?);
                    return Ok(None);
                }
                Ok(Some(tail.next))
            }
        }
    }

    /// Where nothing can be served without all of it, damage is all that is told, and a start that is refused for it
    /// changes nothing: what the next one finds, maybe after a restart of the machine, it judges by itself.
    pub(super) fn refuse_damage(&self) -> Result<(), OpenLogError> {
        match self.report.corruption.first() {
            Some(damage) if self.request.config.purpose == LogPurpose::Internal => {
                Err(OpenLogError::Damaged(damage.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Whether what follows a gap has no bytes at all, this segment nor any other: a process makes one only behind
    /// one that is complete, and then writes to it. But for the one with which a log goes on behind what is lost.
    fn is_set_back(&self, expected: Offset, (base, len): (Offset, u32)) -> bool {
        let is_empty = len == 0 && self.files.iter().all(|(_, len)| *len == 0);
        is_empty && base < behind_unnoted(expected) && self.may_have_lost_writes()
    }

    /// Whether all that is known so far fits a file system that has lost what was written while the machine was up.
    pub(super) fn may_have_lost_writes(&self) -> bool {
        self.report.last_stop == LastStop::SameBoot
            && !self.request.shared.was_clean
            && self.report.corruption.is_empty()
    }

    /// Writes were lost as they are with the power: what was not synced may be gone, and what indexes say of it counts
    /// for nothing.
    pub(super) fn take_for_other_boot(&mut self) {
        self.report.last_stop = LastStop::OtherBoot;
        self.indexed = None;
    }

    /// What is about to be read counts as durable once it is found good. After a failed sync the page cache has
    /// what the disk does not, for every process on the same boot, and no later sync tells.
    fn read_from_the_disk(
        &self,
        data: &Arc<DataFile>,
        range: &TailRange,
    ) -> Result<(), OpenLogError> {
        if self.request.shared.was_clean || self.request.is_reopened || range.from == range.len {
            return Ok(());
        }
        let file = data
            .file()
            .map_err(|source| self.io_failed(data.path(), source))?;
        // Only whole pages are dropped.
        let from = range.from - range.from % PAGE_MAX;
        file.drop_cached(from, range.len - from);
        Ok(())
    }

    /// Ends the log behind the good part of a segment: removes the segments that follow, newest
    /// first, then cuts the file.
    fn cut_tail(
        &mut self,
        data: &Arc<DataFile>,
        tail: &Tail,
        len: u32,
    ) -> Result<(), OpenLogError> {
        let bytes = self.remove_rest()?;
        self.activate(data, tail)?;
        if self.request.shared.planted.keep_torn_tail {
            if let Some(active) = &mut self.active {
                active.skip_to(len, tail.next);
            }
            return Ok(());
        }
        let cut = data.file_to_write().and_then(|file| {
            file.set_len(tail.position)?;
            data.note_own_change(&*file);
            Ok(())
        });
        cut.map_err(|source| self.io_failed(data.path(), source))?;
        self.changed = true;
        self.report.torn = Some(TornTail {
            file: data.path().to_owned(),
            position: tail.position,
            bytes: bytes + u64::from(len) - tail.position,
            offset: tail.next,
        });
        Ok(())
    }

    /// Ends the log where a segment is missing, at `end`.
    fn cut_at_gap(&mut self, end: Offset) -> Result<(), OpenLogError> {
        let bytes = self.remove_rest()?;
        let complete = self.sealed.pop_if(|last| last.next == end);
        match complete {
            Some(last) => {
                let tail = Tail::whole(u64::from(last.len), last.next);
                self.activate(&last.data, &tail)?;
            }
            None => self.active = Some(self.go_on_at(end)?),
        }
        if let Some(active) = self.active.as_ref().filter(|_| bytes > 0) {
            self.report.torn = Some(TornTail {
                file: active.data.path().to_owned(),
                position: u64::from(active.len),
                bytes,
                offset: end,
            });
        }
        Ok(())
    }

    /// Removes the segments that were not opened; answers how many bytes they had.
    fn remove_rest(&mut self) -> Result<u64, OpenLogError> {
        let mut bytes = 0;
        while let Some((base, len)) = self.files.pop() {
            let data = self.data(base);
            self.remove(&data)?;
            bytes += u64::from(len);
        }
        Ok(bytes)
    }

    fn activate(&mut self, data: &Arc<DataFile>, tail: &Tail) -> Result<(), OpenLogError> {
        // One that was complete may be written on.
        data.unseal();
        let end = u32::try_from(tail.position).unwrap_or(u32::MAX);
        let restored = restore_active(data, end, tail.next, &self.request.config, self.times)
            .map_err(|source| self.io_failed(data.path(), source))?;
        for damage in restored.damage {
            if !self.report.corruption.contains(&damage) {
                self.report.corruption.push(damage);
            }
        }
        self.end_is_lost = restored.end_is_lost;
        let mut active = restored.segment;
        if self.request.shared.planted.reuse_offsets_after_reopen && active.next > data.base() {
            active.next = Offset::new(active.next.get() - 1);
        }
        self.active = Some(active);
        Ok(())
    }

    pub(super) fn new_active(&mut self, base: Offset) -> Result<ActiveSegment, OpenLogError> {
        let behind_all = self
            .sealed
            .last()
            .is_none_or(|last| last.data.base() < base);
        assert!(behind_all, "a new segment begins behind the others");
        let data = self.data(base);
        // Its name becomes durable with everything else, before the recovery point moves.
        data.create()
            .map_err(|source| self.io_failed(data.path(), source))?;
        self.changed = true;
        let index = ActiveIndex::new(data.place(), data.id());
        Ok(ActiveSegment::new(data, index))
    }

    /// Where the first segment begins that was not opened yet.
    fn next_base(&self) -> Option<Offset> {
        self.files.first().map(|(base, _)| *base)
    }

    /// Opens a complete segment whose offsets are below that one, if it is known; answers what its index said
    /// where that does not fit its length.
    pub(super) fn open_sealed(
        &mut self,
        base: Offset,
        len: u32,
        below: Option<Offset>,
    ) -> Result<Option<SealedSummary>, OpenLogError> {
        let data = self.data(base);
        let interval = self.request.config.index_interval_bytes;
        let opened = SealedSegment::open(Arc::clone(&data), len, interval, below)
            .map_err(|source| self.io_failed(data.path(), source))?;
        // Above the recovery point it may never have been synced.
        let indexed_anew = opened.indexed_anew.as_ref();
        if let Some(error) = indexed_anew.filter(|_| base < self.point.segment) {
            let file = error.file(data.path());
            tracing::warn!(file = %file.display(), %error, "an index is damaged, and is made anew");
        }
        for damage in opened.damage {
            if !self
                .report
                .corruption
                .iter()
                .any(|known| (&known.file, known.position) == (&damage.file, damage.position))
            {
                self.report.corruption.push(damage);
            }
        }
        self.sealed.push(opened.segment);
        Ok(opened.indexed)
    }

    /// Reports offsets that no segment has, unless their loss is reported already.
    fn note_hole_before(&mut self, base: Offset) {
        let Some(before) = self.sealed.last().filter(|before| before.next != base) else {
            return;
        };
        let hole = Corruption {
            file: before.data.path().to_owned(),
            position: u64::from(before.len),
            offset: before.next,
            next_good: Some(base),
            damage: Damage::Hole,
        };
        let is_same = |known: &Corruption| {
            known.offset == hole.offset
                && (known.file == hole.file || known.next_good == hole.next_good)
        };
        if !self.report.corruption.iter().any(is_same) {
            self.report.corruption.push(hole);
        }
    }

    pub(super) fn remove(&mut self, data: &Arc<DataFile>) -> Result<(), OpenLogError> {
        self.changed = true;
        remove_segment(&*self.request.shared.io, data)
            .map_err(|source| self.io_failed(data.path(), source))
    }

    pub(super) fn data(&self, base: Offset) -> Arc<DataFile> {
        self.request.data(base)
    }
}
