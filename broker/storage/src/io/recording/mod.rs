//! `RecordingIo`: a disk in memory for tests. It records every change in order, can fail the N-th
//! of them or any that a test points at, and shows what a kill or a power loss would leave behind,
//! unsynced data and directory entries included. Strict where real file systems are kind: nothing
//! is durable that was not synced, and after a failed sync the data stays lost.

mod disk;
mod file;
mod lock;
mod moment;
mod operation;
mod power_loss;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

pub use moment::Moment;
pub use operation::{Fault, Operation};
pub use power_loss::{SetBackNames, Survival};

use super::{DirEntry, Io, IoFile, IoLock, OpenMode, Space};
use disk::{DirChange, DirNode, Disk, FileChange, FileNode, Node, names};
use file::RecordingFile;
use lock::RecordingLock;
use power_loss::BytesRead;

/// A disk in memory; clones of the `Arc` are the same disk.
pub struct RecordingIo {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    syncs_open: Condvar,
}

type FaultRule = Box<dyn FnMut(u64, &Operation) -> Option<Fault> + Send>;

/// Says by a file's path whether its syncs are held.
type HeldRule = Box<dyn Fn(&Path) -> bool + Send>;

struct State {
    disk: Disk,
    boot: u64,
    operations: Vec<Operation>,
    bytes_read: BytesRead,
    open_files: BTreeMap<PathBuf, usize>,
    faults: Option<FaultRule>,
    dead: bool,
    failing_reads: Option<i32>,
    next_read: Option<Box<dyn FnOnce() + Send>>,
    next_write: Option<Box<dyn FnOnce() + Send>>,
    cache_can_be_dropped: bool,
    syncs_held: Option<HeldRule>,
    syncs_waiting: usize,
    capacity: Option<u64>,
    locks: BTreeSet<PathBuf>,
    /// The disk before each change, while they are kept.
    moments: Option<Vec<Moment>>,
}

impl RecordingIo {
    /// An empty disk of a machine that was just started.
    pub fn new() -> Arc<Self> {
        Self::with(Disk::new(), 1)
    }

    fn with(disk: Disk, boot: u64) -> Arc<Self> {
        let state = State {
            disk,
            boot,
            operations: Vec::new(),
            bytes_read: BytesRead::new(),
            open_files: BTreeMap::new(),
            faults: None,
            dead: false,
            failing_reads: None,
            next_read: None,
            next_write: None,
            cache_can_be_dropped: false,
            syncs_held: None,
            syncs_waiting: 0,
            capacity: None,
            locks: BTreeSet::new(),
            moments: None,
        };
        Arc::new(Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                syncs_open: Condvar::new(),
            }),
        })
    }

    /// The disk as the next process finds it when this one is killed now: page cache and boot are
    /// still there. What goes on in this one does not touch it.
    pub fn after_kill(&self) -> Arc<Self> {
        let state = self.shared.lock();
        Self::with(state.disk.clone(), state.boot)
    }

    /// The disk as it is found after a power loss now.
    pub fn after_power_loss(&self, survival: Survival) -> Arc<Self> {
        let state = self.shared.lock();
        Self::with(state.disk.after_power_loss(survival), state.boot + 1)
    }

    /// The disk set back to what was synced while the machine goes on: its file system was lost and mounted again.
    pub fn after_set_back(&self, names: SetBackNames) -> Arc<Self> {
        let state = self.shared.lock();
        Self::with(state.disk.set_back(names), state.boot)
    }

    /// Keeps the disk as it is before each change from now on, for [`RecordingIo::moments`].
    pub fn keep_moments(&self) {
        self.shared.lock().moments = Some(Vec::new());
    }

    /// The disk before each change since [`RecordingIo::keep_moments`], and as it is now.
    pub fn moments(&self) -> Vec<Moment> {
        let state = self.shared.lock();
        let now = Moment::new(state.disk.clone(), state.boot, None);
        let kept = state.moments.iter().flatten().cloned();
        kept.chain([now]).collect()
    }

    /// A number that tells one disk from another: names and contents as a process sees them, and the boot.
    pub fn fingerprint(&self) -> u64 {
        let state = self.shared.lock();
        let mut hasher = DefaultHasher::new();
        state.boot.hash(&mut hasher);
        state.disk.hash_visible(disk::ROOT, &mut hasher);
        hasher.finish()
    }

    /// The changes so far, in order.
    pub fn operations(&self) -> Vec<Operation> {
        self.shared.lock().operations.clone()
    }

    /// How many changes there were so far.
    pub fn operation_count(&self) -> u64 {
        self.shared.lock().operations.len() as u64
    }

    /// Makes operations fail: the rule is asked before each change, with its number from 0.
    pub fn set_faults(&self, rule: impl FnMut(u64, &Operation) -> Option<Fault> + Send + 'static) {
        self.shared.lock().faults = Some(Box::new(rule));
    }

    /// Makes the change with this number fail.
    pub fn fail_at(&self, number: u64, fault: Fault) {
        self.set_faults(move |at, _| (at == number).then_some(fault));
    }

    /// Lets everything succeed again.
    pub fn clear_faults(&self) {
        self.shared.lock().faults = None;
    }

    /// Makes every read fail with this error number, or none.
    pub fn fail_reads(&self, error: Option<i32>) {
        self.shared.lock().failing_reads = error;
    }

    /// Whether a fault has killed the process: nothing works any more.
    pub fn is_killed(&self) -> bool {
        self.shared.lock().dead
    }

    /// Bounds what all files together can hold.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.shared.lock().capacity = bytes;
    }

    /// Bytes read so far from files whose path the test says yes to.
    pub fn bytes_read(&self, of: impl Fn(&Path) -> bool) -> u64 {
        let state = self.shared.lock();
        let read = state.bytes_read.iter().filter(|(path, _)| of(path));
        read.map(|(_, bytes)| bytes).sum()
    }

    /// How many files are open whose path the test says yes to.
    pub fn open_files(&self, of: impl Fn(&Path) -> bool) -> usize {
        let state = self.shared.lock();
        let open = state.open_files.iter().filter(|(path, _)| of(path));
        open.map(|(_, times)| times).sum()
    }

    /// Lets syncs of data wait until [`RecordingIo::release_syncs`].
    pub fn hold_syncs(&self) {
        self.hold_syncs_of(|_| true);
    }

    /// The same for files whose path the test says yes to; held syncs of others go on.
    pub fn hold_syncs_of(&self, held: impl Fn(&Path) -> bool + Send + 'static) {
        self.shared.lock().syncs_held = Some(Box::new(held));
        self.shared.syncs_open.notify_all();
    }

    /// Waits until so many syncs are held.
    pub fn wait_for_held_syncs(&self, count: usize) {
        let mut state = self.shared.lock();
        while state.syncs_waiting < count {
            state = self.shared.wait(state);
        }
    }

    /// Lets held syncs go on.
    pub fn release_syncs(&self) {
        self.shared.lock().syncs_held = None;
        self.shared.syncs_open.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.syncs_open
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn holds_sync(&self, path: &Path) -> bool {
        self.syncs_held.as_ref().is_some_and(|held| held(path))
    }

    /// Records a change and says how it is to fail, if it is.
    fn change(&mut self, operation: Operation) -> io::Result<Option<Fault>> {
        self.alive()?;
        let number = self.operations.len() as u64;
        if let Some(moments) = &mut self.moments {
            let next = Some(operation.clone());
            moments.push(Moment::new(self.disk.clone(), self.boot, next));
        }
        let fault = self
            .faults
            .as_mut()
            .and_then(|rule| rule(number, &operation));
        self.operations.push(operation);
        if matches!(fault, Some(Fault::Killed(_))) {
            self.dead = true;
        }
        Ok(fault)
    }

    /// The same for a change that happens as a whole or not at all.
    fn change_whole(&mut self, operation: Operation) -> io::Result<()> {
        match self.change(operation)? {
            None => Ok(()),
            Some(Fault::Error(number)) => Err(io::Error::from_raw_os_error(number)),
            Some(Fault::Short(_) | Fault::Killed(_)) => Err(dead()),
        }
    }

    /// What the write that was just recorded writes, for the moment before it.
    fn note_write(&mut self, id: disk::Id, position: usize, bytes: &[u8]) {
        if let Some(moment) = self.moments.as_mut().and_then(|moments| moments.last_mut()) {
            moment.note_write(id, position, bytes);
        }
    }

    fn alive(&self) -> io::Result<()> {
        if self.dead { Err(dead()) } else { Ok(()) }
    }

    /// How many of `len` bytes that extend a file fit on the disk.
    fn room(&self, len: usize, extension: usize) -> usize {
        let Some(capacity) = self.capacity else {
            return len;
        };
        let free = capacity.saturating_sub(self.disk.used());
        let missing = extension.saturating_sub(usize::try_from(free).unwrap_or(usize::MAX));
        len.saturating_sub(missing)
    }
}

fn dead() -> io::Error {
    io::Error::other("the process was killed")
}

impl fmt::Debug for RecordingIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordingIo")
            .field("operations", &self.operation_count())
            .finish_non_exhaustive()
    }
}

impl Io for RecordingIo {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn IoFile>> {
        let mut state = self.shared.lock();
        state.alive()?;
        let id = match state.disk.find(path) {
            Ok(id) => {
                let len = state.disk.file(id)?.data.len();
                if mode == OpenMode::Truncate && len > 0 {
                    let path = path.to_owned();
                    state.change_whole(Operation::SetLen { path, len: 0 })?;
                    state.disk.file_mut(id)?.change(FileChange::SetLen(0));
                }
                id
            }
            Err(error) if matches!(mode, OpenMode::Read | OpenMode::Write) => return Err(error),
            Err(_) => {
                let (parent, name) = state.disk.parent(path)?;
                state.change_whole(Operation::CreateFile {
                    path: path.to_owned(),
                })?;
                let id = state.disk.add(Node::File(FileNode::default()));
                let entry = DirChange::Set(name.to_owned(), id);
                state.disk.dir_mut(parent)?.change(entry);
                id
            }
        };
        *state.open_files.entry(path.to_owned()).or_default() += 1;
        Ok(Arc::new(RecordingFile {
            shared: Arc::clone(&self.shared),
            path: path.to_owned(),
            id,
        }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.alive()?;
        let mut at = disk::ROOT;
        let mut so_far = PathBuf::from("/");
        for name in names(path) {
            so_far.push(name);
            at = match state.disk.dir(at)?.entries.get(name) {
                Some(id) => *id,
                None => {
                    state.change_whole(Operation::CreateDir {
                        path: so_far.clone(),
                    })?;
                    let id = state.disk.add(Node::Dir(DirNode::default()));
                    let entry = DirChange::Set(name.to_owned(), id);
                    state.disk.dir_mut(at)?.change(entry);
                    id
                }
            };
        }
        state.disk.dir(at).map(|_| ())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let state = self.shared.lock();
        state.alive()?;
        let dir = state.disk.dir(state.disk.find(path)?)?;
        let entries = dir.entries.iter().map(|(name, id)| DirEntry {
            name: name.clone(),
            is_dir: state.disk.dir(*id).is_ok(),
            len: state
                .disk
                .file(*id)
                .map_or(0, |file| file.data.len() as u64),
            modified: None,
        });
        Ok(entries.collect())
    }

    fn entries_stamp(&self, path: &Path) -> io::Result<u64> {
        let state = self.shared.lock();
        state.alive()?;
        let mut hasher = DefaultHasher::new();
        let dir = state.disk.dir(state.disk.find(path)?)?;
        dir.entries.hash(&mut hasher);
        Ok(hasher.finish())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.shared.lock();
        let id = state.disk.find(from)?;
        let (from_dir, old) = state.disk.parent(from)?;
        let (to_dir, new) = state.disk.parent(to)?;
        state.change_whole(Operation::Rename {
            from: from.to_owned(),
            to: to.to_owned(),
        })?;
        let (old, new) = (old.to_owned(), new.to_owned());
        if from_dir == to_dir {
            let rename = DirChange::Rename {
                from: old,
                to: new,
                id,
            };
            state.disk.dir_mut(from_dir)?.change(rename);
        } else {
            let dir = state.disk.dir_mut(to_dir)?;
            dir.change(DirChange::Set(new, id));
            let dir = state.disk.dir_mut(from_dir)?;
            dir.change(DirChange::Remove(old));
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.shared.lock();
        let id = state.disk.find(path)?;
        state.disk.file(id)?;
        let (parent, name) = state.disk.parent(path)?;
        state.change_whole(Operation::RemoveFile {
            path: path.to_owned(),
        })?;
        let entry = DirChange::Remove(name.to_owned());
        state.disk.dir_mut(parent)?.change(entry);
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.shared.lock();
        let id = state.disk.find(path)?;
        if !state.disk.dir(id)?.entries.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let (parent, name) = state.disk.parent(path)?;
        state.change_whole(Operation::RemoveDir {
            path: path.to_owned(),
        })?;
        let entry = DirChange::Remove(name.to_owned());
        state.disk.dir_mut(parent)?.change(entry);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.shared.lock();
        let id = state.disk.find(path)?;
        let operation = Operation::SyncDir {
            path: path.to_owned(),
        };
        let done = state.change_whole(operation);
        let killed = state.dead;
        let dir = state.disk.dir_mut(id)?;
        match done {
            Ok(()) => dir.sync(),
            Err(_) if !killed => dir.pending.clear(),
            Err(_) => {}
        }
        done
    }

    fn sync_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.disk.find(path)?;
        state.change_whole(Operation::SyncAll {
            path: path.to_owned(),
        })?;
        for node in state.disk.nodes.values_mut() {
            match Arc::make_mut(node) {
                Node::File(file) => file.sync(),
                Node::Dir(dir) => dir.sync(),
            }
        }
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn IoLock>> {
        drop(self.open(path, OpenMode::Create)?);
        let mut state = self.shared.lock();
        if !state.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let dir = path.parent().unwrap_or(Path::new(""));
        Ok(Box::new(RecordingLock {
            dir: state.disk.find(dir)?,
            shared: Arc::clone(&self.shared),
            path: path.to_owned(),
        }))
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        let state = self.shared.lock();
        let total = state.capacity.unwrap_or(1 << 40);
        Ok(Space {
            total,
            free: total.saturating_sub(state.disk.used()),
            lacks_inodes: false,
        })
    }

    fn boot_id(&self) -> io::Result<String> {
        let boot = self.shared.lock().boot;
        Ok(format!("00000000-0000-4000-8000-{boot:012x}"))
    }
}
