//! Opening a log: what lies below its recovery point is taken as it is, what lies above is read and
//! verified. Nothing that was durable is ever cut; damage is reported and stays readable around.
//!
//! Every step leaves a state from which the same recovery comes to the same result, so it may be
//! interrupted anywhere and repeated: the recovery point moves last.

mod epochs;
mod evidence;
mod log_start;
mod point;
mod report;
mod restore;
mod segments;
mod small_files;
mod tail;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_model::{LeaderEpoch, Offset, TopicId, TopicPartition};

use evidence::{has_lost_its_point, last_indexed};
use log_start::NotedStart;
pub(crate) use point::reach_in;
use point::{NotedPoint, point_to_begin_at};
pub use report::{LastStop, PowerLoss, RecoveryReport, TornTail};
pub(crate) use restore::{Times, restore_active};
use small_files::{load_cleaned, load_epochs, load_losses, unless_full};
pub(crate) use tail::{behind_unnoted, has_lost_its_end};

use crate::compaction::{CLEANED, finish_interrupted};
use crate::corruption::Corruption;
use crate::durable_positions::{DurablePoint, PartitionKey, SlotTicket};
use crate::health::{is_not_opened, is_passing};
use crate::index::{IndexEntry, OffsetEntry, Owner, SegmentId, TimeEntry, is_of_another};
use crate::io::Io;
use crate::log::{DELETED, LogConfig, LogParts};
use crate::log_dir::{DirShared, OpenGuard, OpenLogError};
use crate::segment::{ActiveSegment, DataFile, SealedSegment, base_of, file_name};
use crate::small_file::{CleanerCheckpoint, KnownLosses, LeaderEpochs, RecoveryPoint, SmallFile};

/// What is to be opened.
pub(crate) struct OpenRequest {
    pub(crate) shared: Arc<DirShared>,
    pub(crate) guard: OpenGuard,
    pub(crate) partition: TopicPartition,
    pub(crate) topic_id: TopicId,
    pub(crate) dir: PathBuf,
    pub(crate) config: LogConfig,
    /// Whether the directory was just made.
    pub(crate) is_new: bool,
    /// Whether the log was open before, since the broker was started.
    pub(crate) is_reopened: bool,
}

impl OpenRequest {
    fn owner(&self) -> Owner {
        Owner::of(self.topic_id, self.partition.partition)
    }

    /// The data file of one of its segments.
    fn data(&self, base: Offset) -> Arc<DataFile> {
        let owner = self.owner();
        let id = SegmentId { base, owner };
        DataFile::new(&self.shared, self.config.purpose, &self.dir, id)
    }
}

/// Opens a log.
pub(crate) fn recover(request: OpenRequest) -> Result<(LogParts, RecoveryReport), OpenLogError> {
    let mut recovery = Recovery::begin(&request)?;
    recovery.open_below()?;
    recovery.open_above()?;
    recovery.refuse_damage()?;
    let mut active = recovery.take_active()?;
    active = recovery.go_on_behind_what_is_lost(active)?;
    remove_all(&*request.shared.io, &recovery.witnesses)?;
    recovery.note_missing_beginning(&active)?;
    recovery.forget_old_losses()?;
    let epochs = recovery.leader_epochs(&active)?;
    let durable = DurablePoint {
        segment: active.data.base(),
        position: active.len,
        end: active.next,
        epoch: epochs.latest().unwrap_or_default(),
        is_async: request.config.flush.is_async(),
    };
    let cleaned = recovery.cleaner_checkpoint(&active)?;
    let ticket = recovery.settle(&active, durable)?;
    // Files are open only while they are used: there may be many thousand logs.
    active.data.release();
    recovery.sealed.iter().for_each(SealedSegment::release);
    let shared = &request.shared;
    let Recovery {
        mut report,
        sealed,
        start,
        ..
    } = recovery;
    let high_watermark = shared.high_watermarks().0.get(&request.partition).copied();
    report.high_watermark = high_watermark.map(|offset| offset.clamp(start, durable.end));
    report.tell(&request.partition);
    let damage: Vec<Corruption> = report.damage().cloned().collect();
    if !damage.is_empty() {
        shared.health.note_damage(&request.dir);
    }
    let parts = LogParts {
        shared: Arc::clone(shared),
        guard: request.guard,
        config: request.config,
        sealed,
        active,
        start,
        epochs,
        cleaned,
        ticket,
        durable,
        damage,
    };
    Ok((parts, report))
}

/// What is known of the data that a recovery has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// It survives a power loss.
    Durable,
    /// It may be in the page cache alone: it was written by this process.
    Anything,
}

/// A recovery under way.
struct Recovery<'a> {
    request: &'a OpenRequest,
    times: Times,
    known: Option<RecoveryPoint>,
    /// The recovery point, or the log's beginning when none is known.
    point: RecoveryPoint,
    /// Data files with their lengths, oldest first.
    files: Vec<(Offset, u32)>,
    start: Offset,
    /// Whether `log-start-offset-checkpoint` says so.
    start_is_noted: bool,
    cleaned: CleanerCheckpoint,
    sealed: Vec<SealedSegment>,
    active: Option<ActiveSegment>,
    /// Whether the last bytes of that are damaged.
    end_is_lost: bool,
    /// What `leader-epoch-checkpoint` says.
    stored_epochs: Option<LeaderEpochs>,
    /// Leader epochs met above the recovery point.
    epochs: Vec<(LeaderEpoch, Offset)>,
    /// Whether files of segments were made, cut or removed.
    changed: bool,
    /// What earlier starts have found to be lost.
    losses: KnownLosses,
    /// Whether the recovery point may be older than what was acknowledged.
    is_doubtful: bool,
    /// A batch with this offset was written: the indexes have it.
    indexed: Option<Offset>,
    /// Indexes without a data file that may say so: they stay until the log has gone on behind that.
    witnesses: Vec<PathBuf>,
    /// How far the log is known to have come, once there is a segment behind that for it to go on with.
    lost_to: Option<Offset>,
    /// No lower offset is given out: the log's end is missing.
    goes_on_at: Offset,
    report: RecoveryReport,
}

impl<'a> Recovery<'a> {
    fn begin(request: &'a OpenRequest) -> Result<Self, OpenLogError> {
        let shared = &request.shared;
        let swapped = finish_interrupted(&*shared.io, &request.dir);
        swapped.inspect_err(|error| shared.observe_small(error))?;
        let key: PartitionKey = (request.topic_id, request.partition.partition);
        let indexed = last_indexed(request, &key)?;
        let (mut files, witnesses) = tidy(request, &key)?;
        check_owners(request, &files)?;
        let cleaned = load_cleaned(request)?;
        let noted = shared.positions.known(&key).filter(|_| !request.is_new);
        let noted_start = log_start::load(request)?;
        let epochs = load_epochs(request)?;
        let stored_start = log_start::stored(request, &noted_start, epochs.as_ref(), &files);
        if let Some(start) = stored_start {
            log_start::delete_again(request, noted, &mut files, start)?;
        }
        let settled = cleaned.cleaned_to().max(stored_start.unwrap_or_default());
        let examined = noted
            .map(|point| NotedPoint::examine(request, point, &files, settled))
            .transpose()
            .map_err(|source| failed(&request.dir, source))?;
        let known = examined.and_then(NotedPoint::known);
        let is_contradicted =
            examined.is_some_and(|examined| !matches!(examined, NotedPoint::Sound(_)));
        let has_data = files.iter().any(|(_, len)| *len > 0);
        let may_be_old = is_contradicted || shared.positions.is_doubtful(&key);
        let is_doubtful = has_data && !request.is_new && may_be_old;
        let last_stop = match known {
            None if has_data => LastStop::Unknown,
            None => LastStop::New,
            // Under which boot it was written last is lost with the point.
            Some(_) if is_doubtful => LastStop::Unknown,
            Some(point) if point.boot == shared.boot => LastStop::SameBoot,
            Some(_) => LastStop::OtherBoot,
        };
        let first = files.first().map(|(base, _)| *base);
        // A first segment that is gone is a hole, not a later log start.
        let known_first = known.map(|point| point.segment);
        let lowest = match known_first.is_some_and(|known| first.is_none_or(|first| first > known))
        {
            true => None,
            false => first,
        };
        let start = stored_start.or(lowest).unwrap_or(Offset::ZERO);
        let point = point_to_begin_at(known, &files, start, cleaned.cleaned_to());
        Ok(Self {
            request,
            times: Times::of(&*shared.clock),
            known,
            point,
            files,
            start,
            start_is_noted: matches!(noted_start, NotedStart::At(_)),
            cleaned,
            sealed: Vec::new(),
            active: None,
            end_is_lost: false,
            stored_epochs: epochs,
            epochs: Vec::new(),
            changed: false,
            losses: load_losses(request)?,
            is_doubtful,
            indexed,
            witnesses,
            lost_to: None,
            goes_on_at: Offset::ZERO,
            report: RecoveryReport::new(last_stop),
        })
    }

    /// Whether the log was closed at its recovery point, and nothing was written since.
    fn is_noted_to_its_end(&self) -> bool {
        self.request.shared.was_clean && !self.request.is_reopened && !self.is_doubtful
    }

    /// The recovery point, now that everything below it is durable.
    fn settle(
        &self,
        active: &ActiveSegment,
        durable: DurablePoint,
    ) -> Result<SlotTicket, OpenLogError> {
        let positions = &self.request.shared.positions;
        let key = (self.request.topic_id, self.request.partition.partition);
        let as_known = self.known.is_some_and(|known| {
            (known.segment, known.position, known.end, known.epoch)
                == (
                    durable.segment,
                    durable.position,
                    durable.end,
                    durable.epoch,
                )
                && (known.is_async || !durable.is_async)
        });
        // What was found is durable since the directory was opened, unless the log was open since; what was
        // changed now is not.
        if self.request.is_reopened {
            self.sync_everything(active, Found::Anything)?;
        } else if self.changed {
            self.sync_everything(active, Found::Durable)?;
        }
        let resumed = match as_known {
            true => positions.resume(&key, durable.is_async),
            false => Ok(None),
        };
        let ticket = match resumed {
            Ok(Some(ticket)) => Ok(ticket),
            Ok(None) => positions.reset(key, durable),
            Err(error) => Err(error),
        };
        ticket.map_err(|source| {
            if !is_passing(&source) {
                let path = positions.path().display();
                let health = &self.request.shared.health;
                health.fail(format_args!("{path}: {source}"));
            }
            failed(positions.path(), source)
        })
    }

    fn sync_everything(&self, active: &ActiveSegment, found: Found) -> Result<(), OpenLogError> {
        let (dir, shared) = (&self.request.dir, &self.request.shared);
        let done = match (found, self.report.last_stop) {
            (Found::Anything, _) => self.sync_above(active),
            (Found::Durable, LastStop::New) => Ok(()),
            (Found::Durable, _) => active.data.sync(),
        };
        let synced = done
            .and_then(|()| shared.io.sync_dir(dir))
            .map_err(|source| self.sync_failed(source));
        // What the one before has written may have been synced meanwhile, and in vain.
        synced.and_then(|()| Ok(shared.health.check()?))
    }

    fn sync_failed(&self, source: io::Error) -> OpenLogError {
        let (dir, health) = (&self.request.dir, &self.request.shared.health);
        match is_not_opened(&source) {
            true => failed(dir, source),
            false => health
                .fail(format_args!("{}: {source}", dir.display()))
                .into(),
        }
    }

    /// Syncs every segment that may have been written since its last sync, opened here or not.
    fn sync_above(&self, active: &ActiveSegment) -> io::Result<()> {
        let sealed = self.sealed.iter().map(|segment| &segment.data);
        let above = sealed.filter(|data| data.base() >= self.point.segment);
        above.chain([&active.data]).try_for_each(|data| {
            data.file_to_write()?;
            data.sync()
        })
    }

    /// The leader epochs of the log: as stored, with what was met above the recovery point; made
    /// again from the batch headers when the file is lost or older than that point.
    fn leader_epochs(&self, active: &ActiveSegment) -> Result<LeaderEpochs, OpenLogError> {
        let io = &*self.request.shared.io;
        let file = self.request.dir.join(LeaderEpochs::FILE);
        let stored = self.stored_epochs.clone();
        let has_durable = self.point.end > self.start;
        let usable = stored.clone().filter(|epochs| {
            let is_new_enough = epochs
                .latest()
                .is_some_and(|latest| latest >= self.point.epoch);
            let first = epochs.entries().first();
            let goes_back = first.is_some_and(|(_, first)| *first <= self.start);
            !has_durable || is_new_enough && goes_back
        });
        let mut epochs = match usable {
            Some(epochs) => epochs,
            None if has_durable => epochs::from_headers(&self.sealed, active)
                .map_err(|source| failed(&self.request.dir, source))?,
            None => LeaderEpochs::default(),
        };
        epochs.truncate_to(active.next);
        for (epoch, offset) in &self.epochs {
            epochs.note(*epoch, *offset);
        }
        epochs.advance_start(self.start);
        if stored.unwrap_or_default() != epochs {
            let written = epochs.store(io, &file);
            unless_full(written, "they are found in the batches again")?;
        }
        Ok(epochs)
    }

    /// What was cleaned, within what there is.
    fn cleaner_checkpoint(
        &self,
        active: &ActiveSegment,
    ) -> Result<CleanerCheckpoint, OpenLogError> {
        let mut cleaned = self.cleaned.clone();
        if cleaned.truncate_to(active.data.base()) {
            let file = self.request.dir.join(CleanerCheckpoint::FILE);
            cleaned.store(&*self.request.shared.io, &file)?;
        }
        Ok(cleaned)
    }

    fn io_failed(&self, file: &Path, source: io::Error) -> OpenLogError {
        self.request.shared.health.observe(file, &source);
        failed(file, source)
    }
}

/// Data files with their lengths, oldest first.
type DataFiles = Vec<(Offset, u32)>;

/// Sweeps away what interrupted work has left, and lists the data files, and indexes without one that may be all
/// that tells of it.
fn tidy(
    request: &OpenRequest,
    key: &PartitionKey,
) -> Result<(DataFiles, Vec<PathBuf>), OpenLogError> {
    let (io, dir) = (&*request.shared.io, &request.dir);
    let entries = io.list(dir).map_err(|source| failed(dir, source))?;
    let (mut files, mut witnesses) = (Vec::new(), Vec::new());
    let keeps_orphans = has_lost_its_point(request, key);
    let names: HashSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    for entry in &entries {
        let path = dir.join(&entry.name);
        if let Some(base) = base_of(&entry.name).filter(|_| !entry.is_dir) {
            let len = u32::try_from(entry.len).map_err(|_| OpenLogError::SegmentTooLarge {
                file: path,
                bytes: entry.len,
            })?;
            files.push((base, len));
            continue;
        }
        let extension = path.extension().and_then(|extension| extension.to_str());
        let is_index = [OffsetEntry::EXTENSION, TimeEntry::EXTENSION]
            .iter()
            .any(|index| extension == Some(index));
        let orphan = is_index && !has_data(&names, Path::new(&entry.name));
        if orphan && keeps_orphans {
            witnesses.push(path);
        } else if orphan || matches!(extension, Some("tmp" | DELETED | CLEANED)) {
            io.remove_file(&path)
                .map_err(|source| failed(&path, source))?;
        }
    }
    files.sort_unstable();
    assert!(
        files
            .iter()
            .all(|(base, _)| base_of(&file_name(*base)) == Some(*base)),
        "names and bases belong together"
    );
    Ok((files, witnesses))
}

/// Whether the data file of this index is among these files. There may be many thousand.
fn has_data(names: &HashSet<&str>, index: &Path) -> bool {
    let data = index.with_extension("log");
    data.to_str().is_some_and(|data| names.contains(data))
}

/// Removes what is still there of these files.
fn remove_all(on: &dyn Io, files: &[PathBuf]) -> Result<(), OpenLogError> {
    for file in files {
        match on.remove_file(file) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(failed(file, source));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Segments of another partition are in nobody's way as long as nothing is changed: they can be put back.
fn check_owners(request: &OpenRequest, files: &[(Offset, u32)]) -> Result<(), OpenLogError> {
    for (base, _) in files {
        let file = request.dir.join(file_name(*base));
        if is_of_another(&*request.shared.io, &file, request.owner()) {
            return Err(OpenLogError::OtherSegment { file });
        }
    }
    Ok(())
}

fn failed(file: &Path, source: io::Error) -> OpenLogError {
    OpenLogError::Io {
        file: file.to_owned(),
        source,
    }
}
