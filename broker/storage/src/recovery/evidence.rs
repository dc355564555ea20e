//! What other files tell of a log beyond its data files: the high watermark, the durable point and the
//! log start were noted elsewhere. Where they speak of records that are not there, their offsets are
//! reported and never given out again.

use std::collections::HashSet;
use std::path::Path;

use broker_model::Offset;

use super::{LastStop, OpenRequest, PowerLoss, Recovery, failed, has_data};
use crate::corruption::{Corruption, Damage};
use crate::durable_positions::PartitionKey;
use crate::index::{IndexEntry, OffsetEntry, boundary_at_or_below};
use crate::log::FlushMode;
use crate::log_dir::OpenLogError;
use crate::segment::{ActiveSegment, base_of};
use crate::small_file::{KnownLosses, LogStart, SmallFile};

impl Recovery<'_> {
    /// A log that ends below its high watermark has lost acknowledged records. With the power, under
    /// `flush.mode = async`, that may be: it is told. Otherwise files were cut or replaced: the log goes
    /// on behind what is missing, which its readers are told.
    pub(super) fn go_on_behind_what_is_lost(
        &mut self,
        active: ActiveSegment,
    ) -> Result<ActiveSegment, OpenLogError> {
        let end = active.next;
        let noted = self.noted_high_watermark();
        if self.is_doubtful {
            self.report.doubt = Some(Corruption {
                file: self.request.shared.positions.path().to_owned(),
                position: 0,
                offset: self.point.end.max(noted.unwrap_or_default()),
                next_good: None,
                damage: Damage::PointLost,
            });
        }
        if noted > Some(end) && self.is_set_back_to(end) {
            self.take_for_other_boot();
        }
        let known_lost = noted.filter(|noted| *noted > end).map(|noted| end..noted);
        let was_stopped = self.request.shared.was_clean && known_lost.is_none();
        if self.may_have_lost_acknowledged() && !was_stopped {
            let loss = PowerLoss {
                end,
                known_lost,
                window: match self.request.config.flush {
                    FlushMode::Sync => None,
                    FlushMode::Async { every } => Some(every),
                },
            };
            self.note_loss(&loss)?;
            self.report.power_loss = Some(loss);
        }
        self.begin_behind_lost(end)?;
        let Some(known_end) = self.lost_to else {
            return Ok(active);
        };
        let behind = self.behind_acknowledged(known_end);
        self.report.corruption.push(Corruption {
            file: active.data.path().to_owned(),
            position: u64::from(active.len),
            offset: end,
            next_good: Some(behind),
            damage: match noted == Some(known_end) {
                true => Damage::BelowHighWatermark,
                false => Damage::BelowIndex,
            },
        });
        if active.len > 0 {
            self.open_sealed(active.data.base(), active.len, Some(behind))?;
        } else {
            self.remove(&active.data)?;
        }
        self.new_active(behind)
    }

    /// Whether what was acknowledged may have gone with the power: it did not wait for syncs, by what was noted with
    /// the durable point, or by what the topic is set to now, which counts from before it is noted.
    fn may_have_lost_acknowledged(&self) -> bool {
        let was_async = self.known.is_some_and(|point| point.is_async);
        let is_async = was_async || self.request.config.flush.is_async();
        is_async && self.report.last_stop == LastStop::OtherBoot
    }

    /// Whether a log that ends here, below its high watermark, may have lost what was not known to be synced, and
    /// nothing else: the file system may have kept more than that, but no part of a batch.
    fn is_set_back_to(&self, end: Offset) -> bool {
        let is_all = self.report.torn.is_none() && self.lost_to.is_none();
        end >= self.point.end && is_all && self.may_have_lost_writes()
    }

    /// Before anything changes the index of the last segment, which ends with this offset.
    pub(super) fn keep_what_indexes_tell(&mut self, end: Offset) -> Result<(), OpenLogError> {
        match self.indexed > Some(end.max(self.start)) {
            true => self.begin_behind_lost(end.max(self.start)),
            false => Ok(()),
        }
    }

    /// Makes the segment with which a log that ends here goes on behind what is lost, where something is. Durable
    /// when this returns: a recovery that is stopped later is repeated without the word of an index.
    fn begin_behind_lost(&mut self, end: Offset) -> Result<(), OpenLogError> {
        if self.lost_to.is_some() {
            return Ok(());
        }
        let went_with_the_power = self.may_have_lost_acknowledged();
        let known_end = self.noted_high_watermark().max(self.indexed);
        let known_end = known_end.filter(|known| *known > end && !went_with_the_power);
        let Some(known_end) = known_end else {
            return Ok(());
        };
        let (data, dir) = (
            self.data(self.behind_acknowledged(known_end)),
            &self.request.dir,
        );
        data.create()
            .map_err(|source| self.io_failed(data.path(), source))?;
        let synced = self.request.shared.io.sync_dir(dir);
        synced.map_err(|source| self.sync_failed(source))?;
        self.lost_to = Some(known_end);
        Ok(())
    }

    /// Offsets between the log start, as it was noted, and the first segment. The start is noted again
    /// where nothing does it any more: what is missing stays missing until somebody deletes the records.
    pub(super) fn note_missing_beginning(
        &mut self,
        active: &ActiveSegment,
    ) -> Result<(), OpenLogError> {
        let first = self.sealed.first().map(|segment| segment.data.base());
        let first = first.unwrap_or(active.data.base());
        if self.start >= first {
            return Ok(());
        }
        if !self.start_is_noted {
            let (shared, dir) = (&self.request.shared, &self.request.dir);
            let file = dir.join(LogStart::FILE);
            let stored = LogStart(self.start).store(&*shared.io, &file);
            stored.inspect_err(|error| shared.observe_small(error))?;
        }
        let hole = Corruption {
            file: self.data(self.start).path().to_owned(),
            position: 0,
            offset: self.start,
            next_good: Some(first),
            damage: Damage::Hole,
        };
        let is_told = |known: &Corruption| {
            known.offset <= hole.offset && known.next_good.is_some_and(|next| next >= first)
        };
        if !self.report.corruption.iter().any(is_told) {
            self.report.corruption.insert(0, hole);
        }
        Ok(())
    }

    /// Notes a loss that can be named, before the log goes on without it, and that its end is the high watermark
    /// from now on: one that is noted later and not reached is no part of this loss.
    fn note_loss(&mut self, loss: &PowerLoss) -> Result<(), OpenLogError> {
        if loss.known_lost.is_none() {
            return Ok(());
        }
        self.losses.add(loss.clone());
        self.store_losses()?;
        // Only now: whoever is stopped in between finds the same loss once more.
        let request = self.request;
        let lowered = request
            .shared
            .lower_high_watermark(&request.partition, loss.end);
        match lowered {
            // It is lower in memory, and on the disk with the next checkpoint.
            Err(error) if error.is_no_space() => {
                tracing::warn!(%error, "the disk is full: that the log ends earlier is not noted yet");
                Ok(())
            }
            done => Ok(done?),
        }
    }

    /// What was lost of records that would be deleted by now is history.
    pub(super) fn forget_old_losses(&mut self) -> Result<(), OpenLogError> {
        if self.losses.forget_below(self.start) {
            self.store_losses()?;
        }
        self.report.known_losses = self.losses.0.clone();
        Ok(())
    }

    fn store_losses(&self) -> Result<(), OpenLogError> {
        let (shared, dir) = (&self.request.shared, &self.request.dir);
        let file = dir.join(KnownLosses::FILE);
        let stored = self.losses.store(&*shared.io, &file);
        match stored.inspect_err(|error| shared.observe_small(error)) {
            // It is told by this start at least.
            Err(error) if error.is_no_space() => {
                tracing::warn!(%error, "the disk is full: what was lost with the power is not noted");
                Ok(())
            }
            done => Ok(done?),
        }
    }

    fn noted_high_watermark(&self) -> Option<Offset> {
        let noted = self.request.shared.high_watermarks();
        let noted = noted.0.get(&self.request.partition).copied();
        noted.filter(|_| !self.request.is_new)
    }
}

/// Whether a log that is not new has no durable point that counts. Every log has one from its first opening on, so it
/// is lost: by now, or by an earlier start that was stopped.
pub(super) fn has_lost_its_point(request: &OpenRequest, key: &PartitionKey) -> bool {
    let positions = &request.shared.positions;
    let has_none = !request.is_new && positions.known(key).is_none();
    has_none || positions.is_doubtful(key)
}

/// The last offset that an index of the newest segment speaks of, where that says something: indexes are written
/// after the data, so in the page cache of the same boot none is ahead of it. Where the durable point is lost, an
/// index whose data file is gone counts, too.
pub(super) fn last_indexed(
    request: &OpenRequest,
    key: &PartitionKey,
) -> Result<Option<Offset>, OpenLogError> {
    let shared = &request.shared;
    let has_lost_its_point = has_lost_its_point(request, key);
    let noted = shared.positions.known(key);
    let is_same_boot = noted.is_some_and(|point| point.boot == shared.boot);
    if !has_lost_its_point && (request.is_new || !is_same_boot || shared.was_clean) {
        return Ok(None);
    }
    let dir = &request.dir;
    let entries = shared.io.list(dir);
    let entries = entries.map_err(|source| failed(dir, source))?;
    let all: HashSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let names = entries.iter().map(|entry| Path::new(&entry.name));
    let names = names.filter(|name| has_lost_its_point || has_data(&all, name));
    let indexes = names.filter(|name| {
        name.extension()
            .is_some_and(|e| e == OffsetEntry::EXTENSION)
    });
    let newest = indexes
        .filter_map(|name| base_of(name.with_extension("log").to_str()?))
        .max();
    let last = newest.and_then(|base| {
        let data = request.data(base);
        boundary_at_or_below(data.io(), data.path(), data.id(), u32::MAX)
    });
    Ok(last.map(|last| last.offset))
}
