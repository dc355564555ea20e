//! `DataFile`: the `.log` file of one segment, shared by the log and by the slices handed out of it.
//! Opened on first use, closed again when it is idle or too many are open ([`OpenFiles`]), but never with writes
//! that are not synced; remembers which bytes were verified.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use broker_model::Offset;

use super::file_name;
use super::known::{FileVersion, Known, Met};
use super::open_files::{Closing, OpenFiles};
use crate::corruption::{Corruption, Damage};
use crate::health::{DirHealth, is_out_of_files};
use crate::index::SegmentId;
use crate::io::{FileIdentity, FileState, Io, IoFile, OpenMode};
use crate::log::LogPurpose;
use crate::log_dir::DirShared;
use crate::scrub::ScrubFound;

/// One segment's data file.
pub(crate) struct DataFile {
    io: Arc<dyn Io>,
    health: Arc<DirHealth>,
    open_files: Arc<OpenFiles>,
    me: Weak<DataFile>,
    path: Arc<Path>,
    id: SegmentId,
    handle: Mutex<Handle>,
    used: AtomicBool,
    /// Whether another file was met in its place.
    was_replaced: AtomicBool,
    /// Whether somebody else has written to it, which is told once.
    was_changed: AtomicBool,
    /// Taken behind the handle.
    known: Mutex<Known>,
}

/// The descriptor, if there is one now.
#[derive(Default)]
struct Handle {
    file: Option<Opened>,
    /// Whether `OpenFiles` knows of it.
    is_entered: bool,
    /// Written and not synced since.
    is_dirty: bool,
    /// The path may become another file's, or nobody's: those who read on need this descriptor.
    is_last: bool,
    /// It has.
    is_gone: bool,
}

#[derive(Clone)]
struct Opened {
    file: Arc<dyn IoFile>,
    identity: FileIdentity,
}

impl DataFile {
    /// The file `{base}.log` of a partition directory; nothing is opened yet.
    pub(crate) fn new(
        shared: &DirShared,
        purpose: LogPurpose,
        dir: &Path,
        id: SegmentId,
    ) -> Arc<Self> {
        let around = (shared.io_for(purpose), &shared.health, &shared.open_files);
        Self::at(around, dir.join(file_name(id.base)), id)
    }

    /// The file at this path; nothing is opened yet.
    pub(crate) fn at(
        (io, health, open_files): (&Arc<dyn Io>, &Arc<DirHealth>, &Arc<OpenFiles>),
        path: PathBuf,
        id: SegmentId,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            io: Arc::clone(io),
            health: Arc::clone(health),
            open_files: Arc::clone(open_files),
            me: Weak::clone(me),
            path: path.into(),
            id,
            handle: Mutex::default(),
            used: AtomicBool::new(false),
            was_replaced: AtomicBool::new(false),
            was_changed: AtomicBool::new(false),
            known: Mutex::default(),
        })
    }

    pub(crate) fn io(&self) -> &dyn Io {
        &*self.io
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn place(&self) -> (&Arc<dyn Io>, &Arc<Path>) {
        (&self.io, &self.path)
    }

    pub(crate) fn base(&self) -> Offset {
        self.id.base
    }

    /// Which segment it is.
    pub(crate) fn id(&self) -> SegmentId {
        self.id
    }

    /// Makes the file, empty, and opens it.
    pub(crate) fn create(&self) -> io::Result<()> {
        let mut handle = lock(&self.handle);
        handle.file = None;
        self.open(&mut handle, OpenMode::Truncate).map(drop)
    }

    /// The open file, to be read. What is given out is not closed before it is dropped.
    pub(crate) fn file(&self) -> io::Result<Arc<dyn IoFile>> {
        self.used.store(true, Ordering::Relaxed);
        Ok(self.open(&mut lock(&self.handle), OpenMode::Write)?.file)
    }

    /// The open file, to be verified: what is found in it counts as long as it is this one.
    pub(crate) fn file_to_verify(&self) -> io::Result<(Arc<dyn IoFile>, FileVersion)> {
        self.used.store(true, Ordering::Relaxed);
        let mut handle = lock(&self.handle);
        let opened = self.open(&mut handle, OpenMode::Write)?;
        let version = lock(&self.known).version(opened.identity);
        Ok((opened.file, version))
    }

    /// The open file, to be served from: these bytes of it were verified.
    ///
    /// # Errors
    /// When they were not, or another file has taken its place since.
    pub(crate) fn file_to_serve(&self, range: &Range<u64>) -> io::Result<Arc<dyn IoFile>> {
        self.used.store(true, Ordering::Relaxed);
        let mut handle = lock(&self.handle);
        let opened = self.open(&mut handle, OpenMode::Write)?;
        if !lock(&self.known).is_verified(range) {
            let path = self.path.display();
            let told =
                format!("{path}: bytes {range:?} are not what was verified: was it replaced?");
            return Err(io::Error::new(io::ErrorKind::InvalidData, told));
        }
        Ok(opened.file)
    }

    /// The open file, to be changed: [`DataFile::sync`] has to follow at some time. Where others may sync it
    /// meanwhile, [`DataFile::note_written`] comes before it is let go.
    pub(crate) fn file_to_write(&self) -> io::Result<Arc<dyn IoFile>> {
        self.used.store(true, Ordering::Relaxed);
        let mut handle = lock(&self.handle);
        let opened = self.open(&mut handle, OpenMode::Write)?;
        handle.is_dirty = true;
        Ok(opened.file)
    }

    /// A write to it has ended. A sync that came between its begin and its end has missed some of it, and has
    /// taken the mark away. Whoever writes to it from here on is somebody else, until the next write begins.
    pub(crate) fn note_written(&self, file: &dyn IoFile) {
        lock(&self.handle).is_dirty = true;
        self.note_own_change(file);
    }

    /// How it is now is how the broker has left it.
    pub(crate) fn note_own_change(&self, file: &dyn IoFile) {
        let state = file.state().ok();
        lock(&self.known).changed_by_us(state.map(|state| state.stamp));
    }

    /// How long the file is; `None` when somebody else has removed or replaced it.
    pub(crate) fn len_if_there(&self) -> io::Result<Option<u64>> {
        self.used.store(true, Ordering::Relaxed);
        let opened = self.open_with_state(&mut lock(&self.handle));
        let state = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
            Ok((_, Some(state))) => state,
            Ok((opened, None)) => {
                let state = opened.file.state()?;
                if state.is_linked {
                    self.tell_met(lock(&self.known).meet_again(state.stamp));
                }
                state
            }
        };
        Ok(state.is_linked.then_some(state.len))
    }

    /// Whether another file was put in its place while it was closed.
    pub(crate) fn was_replaced(&self) -> bool {
        self.was_replaced.load(Ordering::Relaxed)
    }

    /// It is not written any more.
    pub(crate) fn seal(&self) {
        lock(&self.known).seal(true);
    }

    /// It is written again, whichever file it is.
    pub(crate) fn unseal(&self) {
        self.was_replaced.store(false, Ordering::Relaxed);
        lock(&self.known).seal(false);
    }

    fn tell_met(&self, met: Met) {
        let file = self.path.display();
        match met {
            Met::AsKnown => {}
            Met::Changed => {
                if !self.was_changed.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%file, "a data file was changed by somebody else, or its permissions or links were: what is in it is verified before it is served");
                }
            }
            Met::Other => {
                self.was_replaced.store(true, Ordering::Relaxed);
                tracing::info!(%file, "another file was put in the place of a data file: it is verified before it is served");
            }
        }
    }

    /// The same, of a file that is not written any more: where somebody has put another in its place, that one
    /// counts from then on, and has to be verified.
    pub(crate) fn len_if_there_again(&self) -> io::Result<Option<u64>> {
        let found = self.len_if_there()?;
        if found.is_none() {
            let mut handle = lock(&self.handle);
            if handle.is_dirty || handle.is_last {
                return Ok(None);
            }
            handle.file = None;
            drop(handle);
            return self.len_if_there();
        }
        Ok(found)
    }

    /// Makes everything that was written before this call durable. What has been synced and closed is not opened
    /// again for it.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let file = {
            let mut handle = lock(&self.handle);
            if handle.file.is_none() && !handle.is_dirty {
                return Ok(());
            }
            let opened = self.open(&mut handle, OpenMode::Write)?;
            // What is written from here on is the next sync's.
            handle.is_dirty = false;
            opened.file
        };
        // Never repeated: the caller takes the directory out of service.
        let synced = file.sync_data();
        synced.inspect_err(|_| lock(&self.handle).is_dirty = true)
    }

    fn open(&self, handle: &mut Handle, mode: OpenMode) -> io::Result<Opened> {
        match &handle.file {
            Some(opened) => Ok(opened.clone()),
            None => Ok(self.open_anew(handle, mode)?.0),
        }
    }

    /// The same, with the state that opening it has told.
    fn open_with_state(&self, handle: &mut Handle) -> io::Result<(Opened, Option<FileState>)> {
        if let Some(opened) = &handle.file {
            return Ok((opened.clone(), None));
        }
        let (opened, state) = self.open_anew(handle, OpenMode::Write)?;
        Ok((opened, Some(state)))
    }

    fn open_anew(&self, handle: &mut Handle, mode: OpenMode) -> io::Result<(Opened, FileState)> {
        if !handle.is_entered {
            handle.is_entered = true;
            self.open_files.enter(Weak::clone(&self.me));
        }
        let mut opened = self.io.open(&self.path, mode);
        if opened.as_ref().is_err_and(is_out_of_files) {
            self.open_files.make_room();
            opened = self.io.open(&self.path, mode);
        }
        let file = opened?;
        let (identity, state) = file.identify()?;
        let met = lock(&self.known).meet(identity, state.stamp);
        self.tell_met(met);
        let opened = Opened { file, identity };
        handle.file = Some(opened.clone());
        Ok((opened, state))
    }

    /// Closes the file if nothing has used it since the last call and it has no writes to sync. Slices open it again.
    pub(crate) fn release_if_idle(&self) -> bool {
        let idle = !self.used.swap(false, Ordering::Relaxed);
        if idle {
            self.release();
        }
        idle
    }

    /// Closes the file unless somebody works with it or it has writes to sync; it is opened again when it is needed.
    pub(crate) fn release(&self) {
        // Whoever opens or syncs it just now may have to wait for a disk that hangs.
        let Ok(mut handle) = self.handle.try_lock() else {
            return;
        };
        let is_shared = |opened: &Opened| Arc::strong_count(&opened.file) > 1;
        if !handle.is_dirty && !handle.is_last && !handle.file.as_ref().is_some_and(is_shared) {
            handle.file = None;
        }
    }

    /// The path may become another file's, or nobody's: slices that were handed out read on in what is open now.
    pub(crate) fn keep_for_readers(&self) -> io::Result<()> {
        if self.me.strong_count() <= 1 {
            return Ok(());
        }
        let mut handle = lock(&self.handle);
        match self.open(&mut handle, OpenMode::Write) {
            Ok(_) => handle.is_last = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The file is about to be removed or replaced.
    pub(crate) fn retire(&self) -> io::Result<()> {
        self.keep_for_readers()?;
        lock(&self.handle).is_gone = true;
        Ok(())
    }

    /// Whether it was removed or replaced; what was handed out of it can still be read.
    pub(crate) fn is_retired(&self) -> bool {
        lock(&self.handle).is_gone
    }

    /// Whether it is closed now, and `OpenFiles` may forget it.
    pub(super) fn try_close(&self, what: Closing) -> bool {
        // Whoever has the lock is opening it, and waits for room itself.
        let Ok(mut handle) = self.handle.try_lock() else {
            return false;
        };
        let Some(Opened { file, .. }) = &handle.file else {
            handle.is_entered = false;
            return true;
        };
        let was_used = self.used.swap(false, Ordering::Relaxed);
        if handle.is_last || Arc::strong_count(file) > 1 {
            return false;
        }
        if what == Closing::Unused && (was_used || handle.is_dirty) {
            return false;
        }
        if handle.is_dirty {
            // Under the lock, so that nobody syncs through a later descriptor and hears that all is well.
            if let Err(error) = file.sync_data() {
                self.health
                    .fail_sync(format_args!("{}: {error}", self.path.display()));
                return false;
            }
            handle.is_dirty = false;
        }
        handle.file = None;
        handle.is_entered = false;
        true
    }

    /// Whether it is open; not while somebody is opening it, who may have to wait for the disk.
    pub(super) fn is_open(&self) -> bool {
        let handle = self.handle.try_lock();
        handle.is_ok_and(|handle| handle.file.is_some())
    }

    /// Looks at an error of a read: the disk's own take the directory out of service.
    pub(crate) fn observe(&self, error: &io::Error) {
        self.health.observe(&self.path, error);
    }

    pub(crate) fn is_verified(&self, range: &Range<u64>) -> bool {
        lock(&self.known).is_verified(range)
    }

    /// These bytes were written or read, and are sound, by one who has had the open file ever since.
    pub(crate) fn mark_verified(&self, range: Range<u64>) {
        lock(&self.known).add_verified(range);
    }

    /// Batches are missing in front of this position: what lies before and behind it is never verified as one.
    pub(crate) fn mark_gap(&self, position: u64) {
        lock(&self.known).add_gap(position);
    }

    /// The same of this version of the file, which may not be the open one any more.
    pub(crate) fn mark_verified_in(&self, range: Range<u64>, of: FileVersion) {
        let mut known = lock(&self.known);
        if known.accepts_version(of) {
            known.add_verified(range);
        }
    }

    /// Batches that are known to be damaged.
    pub(crate) fn damage(&self) -> Vec<Corruption> {
        lock(&self.known).damage().to_vec()
    }

    /// The end that is known to be missing.
    pub(crate) fn missing_end(&self) -> Option<Corruption> {
        let known = lock(&self.known);
        let is_missing = |known: &&Corruption| matches!(known.damage, Damage::Missing { .. });
        known.damage().iter().find(is_missing).cloned()
    }

    /// An end is missing: nothing from there on is what was verified.
    pub(crate) fn note_missing_end(&self, missing: &Corruption) {
        let mut known = lock(&self.known);
        known.forget_verified_from(missing.position);
        known.add_damage(missing);
        drop(known);
        self.tell_damage();
    }

    /// It is there again.
    pub(crate) fn forget_missing_end(&self) {
        lock(&self.known).forget_missing_end();
    }

    /// The first batch that is known to be damaged in a range that begins with an offset. One that begins behind
    /// a gap is none of that gap's business.
    pub(crate) fn damage_in(&self, range: &Range<u64>, first: Offset) -> Option<Corruption> {
        let known = lock(&self.known);
        let is_behind = |known: &Corruption| {
            known.is_gap() && known.position == range.start && known.next_good <= Some(first)
        };
        let mut inside = known
            .damage()
            .iter()
            .filter(|known| range.contains(&known.position) && !is_behind(known));
        inside.next().cloned()
    }

    /// A reader has met a damaged batch in this version of the file. Answers whether that was thought whole
    /// before.
    pub(crate) fn note_damage(&self, found: &Corruption, of: FileVersion) -> bool {
        let mut known = lock(&self.known);
        if !known.accepts_version(of) {
            return false;
        }
        let is_first = known.damage().is_empty();
        known.add_damage(found);
        drop(known);
        self.tell_damage();
        is_first
    }

    /// All of the file with this identity and stamp was read, and these batches are damaged, by position; without
    /// one there is no file. Answers what of it was not known, unless it is another file by now, or was written to.
    pub(crate) fn set_damage(
        &self,
        damage: Vec<Corruption>,
        of: Option<(FileIdentity, u64)>,
    ) -> ScrubFound {
        let mut known = lock(&self.known);
        if of.is_some_and(|(of, stamp)| !known.accepts(of) || known.was_changed_since(stamp)) {
            return ScrubFound::default();
        }
        let is_new = |found: &&Corruption| !known.damage().contains(found);
        let new: Vec<Corruption> = damage.iter().filter(is_new).cloned().collect();
        let damages = damage.len();
        known.set_damage(damage);
        if damages > 0 {
            self.tell_damage();
        }
        ScrubFound { new, damages }
    }

    fn tell_damage(&self) {
        if let Some(dir) = self.path.parent() {
            self.health.note_damage(dir);
        }
    }

    /// Forgets what was known of the bytes from `len` on.
    pub(crate) fn forget_verified_from(&self, len: u64) {
        lock(&self.known).forget_verified_from(len);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
