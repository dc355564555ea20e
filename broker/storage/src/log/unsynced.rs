//! `Unsynced`: what a log has written and not yet seen synced. Changes are numbered; a request for
//! a sync covers all up to its number, and only its successful completion forgets them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::log_dir::PlantedBugs;
use crate::segment::DataFile;
use crate::sync::SyncFile;

/// Bytes of data after which a sync covers the indexes too, so that a power loss costs no more than
/// walking the headers of that much data.
const INDEX_SYNC_BYTES: u64 = 64 << 20;

/// The changes of a log that are not durable yet.
#[derive(Default)]
pub(super) struct Unsynced {
    /// Number of the last change.
    pub(super) change: u64,
    /// Number of the last change that a sync was requested for.
    pub(super) requested: u64,
    /// Number of the last change that is durable.
    pub(super) synced: u64,
    /// When the first change since the last request was made, on the monotonic clock.
    pub(super) since: Option<Duration>,
    /// The same of records alone.
    pub(super) written_since: Option<Duration>,
    data: Option<(u64, Arc<DataFile>)>,
    sealed: Vec<(u64, SyncFile)>,
    directory: u64,
    epochs: u64,
    /// Number of the change to `async`, if that is the last one of the mode.
    noting_async: u64,
    bytes_since_index_sync: u64,
}

impl Unsynced {
    /// The active data file was written.
    pub(super) fn data_written(&mut self, file: &Arc<DataFile>, bytes: u64, now: Duration) {
        let change = self.next(now);
        self.written_since.get_or_insert(now);
        self.data = Some((change, Arc::clone(file)));
        self.bytes_since_index_sync += bytes;
    }

    /// The active segment was sealed: its files will not be written again.
    pub(super) fn sealed(&mut self, index: Vec<SyncFile>, now: Duration) {
        let change = self.next(now);
        if let Some((_, data)) = self.data.take() {
            self.sealed.push((change, SyncFile::Data(data)));
        }
        self.sealed
            .extend(index.into_iter().map(|file| (change, file)));
        self.directory = change;
        self.bytes_since_index_sync = 0;
    }

    /// What planted bugs forget of a roll.
    pub(super) fn forget_roll(&mut self, planted: PlantedBugs) {
        if planted.roll_without_directory_sync {
            self.directory = self.synced;
        }
        if planted.seal_without_sync {
            self.sealed.clear();
        }
    }

    /// The log was cut; `file` is its active data file now. What was dirty stays so.
    pub(super) fn truncated(&mut self, file: Arc<DataFile>, now: Duration) {
        let change = self.next(now);
        for (dirty, _) in &mut self.sealed {
            *dirty = change;
        }
        self.data = Some((change, file));
        self.directory = change;
    }

    /// Something else changed that a sync has to come to.
    pub(super) fn changed(&mut self, now: Duration) {
        self.next(now);
    }

    /// Files were created in the partition's directory.
    pub(super) fn directory_changed(&mut self, now: Duration) {
        self.directory = self.next(now);
    }

    /// The leader epochs changed in memory.
    pub(super) fn epochs_changed(&mut self, now: Duration) {
        self.epochs = self.next(now);
    }

    /// Acknowledgements wait for syncs no more, or do again, which nobody has to know first.
    pub(super) fn flush_changed(&mut self, is_async: bool, now: Duration) {
        self.noting_async = if is_async { self.next(now) } else { 0 };
    }

    fn next(&mut self, now: Duration) -> u64 {
        self.change += 1;
        self.since.get_or_insert(now);
        self.change
    }

    /// Whether there is something that no request covers.
    pub(super) fn is_due(&self) -> bool {
        self.change > self.requested
    }

    pub(super) fn directory_is_dirty(&self) -> bool {
        self.directory > self.synced
    }

    pub(super) fn epochs_are_dirty(&self) -> bool {
        self.epochs > self.synced
    }

    /// Whether no change to `async` waits for its sync.
    pub(super) fn async_is_noted(&self) -> bool {
        self.noting_async <= self.synced
    }

    /// The files to sync, everything that is not durable among them; `index` gives the
    /// active segment's index files, which need it only now and then.
    pub(super) fn take_request(
        &mut self,
        index: impl FnOnce() -> Vec<SyncFile>,
    ) -> (u64, Vec<SyncFile>) {
        self.requested = self.change;
        self.since = None;
        self.written_since = None;
        let mut files = self.files();
        if self.bytes_since_index_sync >= INDEX_SYNC_BYTES {
            self.bytes_since_index_sync = 0;
            files.extend(index());
        }
        (self.change, files)
    }

    /// The files that are not durable, oldest first, but for the active segment's index files.
    pub(super) fn files(&self) -> Vec<SyncFile> {
        let sealed = self.sealed.iter().map(|(_, file)| file.clone());
        let data = self.data.iter();
        let data = data.map(|(_, file)| SyncFile::Data(Arc::clone(file)));
        sealed.chain(data).collect()
    }

    /// Everything up to `change` is durable.
    pub(super) fn synced(&mut self, change: u64) {
        self.synced = self.synced.max(change);
        let synced = self.synced;
        self.sealed.retain(|(dirty, _)| *dirty > synced);
        if self
            .data
            .as_ref()
            .is_some_and(|(dirty, _)| *dirty <= synced)
        {
            self.data = None;
        }
    }

    /// The directory path, if its entries are not durable.
    pub(super) fn directories(&self, dir: &std::path::Path) -> Vec<PathBuf> {
        self.directory_is_dirty()
            .then(|| dir.to_owned())
            .into_iter()
            .collect()
    }
}
