//! `RecordingLock`: a lock on a file of the recorded disk, and the directory that the file is in.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{IoLock, Shared, disk};

pub(super) struct RecordingLock {
    pub(super) shared: Arc<Shared>,
    pub(super) path: PathBuf,
    pub(super) dir: disk::Id,
}

impl IoLock for RecordingLock {
    fn is_at(&self, dir: &Path) -> io::Result<bool> {
        Ok(self.shared.lock().disk.find(dir)? == self.dir)
    }
}

impl Drop for RecordingLock {
    fn drop(&mut self) {
        self.shared.lock().locks.remove(&self.path);
    }
}
