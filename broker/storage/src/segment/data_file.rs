//! `DataFile`: the `.log` file of one segment, shared by the log and by the slices handed out of it.
//! Opened on first use, closed again when idle; remembers which bytes were verified.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use broker_model::Offset;

use super::verified::VerifiedRanges;
use crate::corruption::Corruption;
use crate::health::DirHealth;
use crate::io::{Io, IoFile, OpenMode};
use crate::log_dir::DirShared;

/// One segment's data file.
pub(crate) struct DataFile {
    io: Arc<dyn Io>,
    health: Arc<DirHealth>,
    path: PathBuf,
    base: Offset,
    file: Mutex<Option<Arc<dyn IoFile>>>,
    used: AtomicBool,
    verified: Mutex<VerifiedRanges>,
    /// Batches that failed their checksums, by position: refused until they are found sound again.
    damage: Mutex<Vec<Corruption>>,
}

impl DataFile {
    /// The file `{base}.log` of a partition directory; nothing is opened yet.
    pub(crate) fn new(shared: &DirShared, dir: &Path, base: Offset) -> Arc<Self> {
        Self::at(&shared.io, &shared.health, dir.join(file_name(base)), base)
    }

    /// The file at this path; nothing is opened yet.
    pub(crate) fn at(
        io: &Arc<dyn Io>,
        health: &Arc<DirHealth>,
        path: PathBuf,
        base: Offset,
    ) -> Arc<Self> {
        Arc::new(Self {
            io: Arc::clone(io),
            health: Arc::clone(health),
            path,
            base,
            file: Mutex::new(None),
            used: AtomicBool::new(false),
            verified: Mutex::new(VerifiedRanges::default()),
            damage: Mutex::default(),
        })
    }

    pub(crate) fn io(&self) -> &dyn Io {
        &*self.io
    }

    pub(crate) fn shared_io(&self) -> &Arc<dyn Io> {
        &self.io
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn base(&self) -> Offset {
        self.base
    }

    /// Makes the file, empty, and opens it.
    pub(crate) fn create(&self) -> io::Result<()> {
        let file = self.io.open(&self.path, OpenMode::Truncate)?;
        *lock(&self.file) = Some(file);
        Ok(())
    }

    /// The open file.
    pub(crate) fn file(&self) -> io::Result<Arc<dyn IoFile>> {
        self.used.store(true, Ordering::Relaxed);
        let mut open = lock(&self.file);
        if let Some(file) = &*open {
            return Ok(Arc::clone(file));
        }
        let file = self.io.open(&self.path, OpenMode::Write)?;
        *open = Some(Arc::clone(&file));
        Ok(file)
    }

    /// Closes the file if nothing has used it since the last call. Slices keep theirs.
    pub(crate) fn release_if_idle(&self) -> bool {
        let idle = !self.used.swap(false, Ordering::Relaxed);
        if idle {
            self.release();
        }
        idle
    }

    /// Closes the file; it is opened again when it is needed.
    pub(crate) fn release(&self) {
        *lock(&self.file) = None;
    }

    /// Looks at an error of a read: the disk's own take the directory out of service.
    pub(crate) fn observe(&self, error: &io::Error) {
        self.health.observe(&self.path, error);
    }

    pub(crate) fn is_verified(&self, range: &Range<u64>) -> bool {
        lock(&self.verified).covers(range)
    }

    pub(crate) fn mark_verified(&self, range: Range<u64>) {
        let mut verified = lock(&self.verified);
        verified.add(range);
        for known in lock(&self.damage).iter() {
            verified.remove(known.position);
        }
    }

    /// Batches that are known to be damaged.
    pub(crate) fn damage(&self) -> Vec<Corruption> {
        lock(&self.damage).clone()
    }

    /// The first batch in a range that is known to be damaged.
    pub(crate) fn damage_in(&self, range: &Range<u64>) -> Option<Corruption> {
        let damage = lock(&self.damage);
        let mut inside = damage
            .iter()
            .filter(|known| range.contains(&known.position));
        inside.next().cloned()
    }

    /// A reader has met a damaged batch.
    pub(crate) fn note_damage(&self, found: &Corruption) {
        let mut damage = self.damage();
        if !damage.iter().any(|known| known.position == found.position) {
            damage.push(found.clone());
            damage.sort_by_key(|known| known.position);
            self.set_damage(damage);
        }
    }

    /// All of the file was read, and these batches are damaged, by position.
    pub(crate) fn set_damage(&self, damage: Vec<Corruption>) {
        let mut verified = lock(&self.verified);
        for known in &damage {
            verified.remove(known.position);
        }
        *lock(&self.damage) = damage;
    }

    /// Forgets what was known of the bytes from `len` on.
    pub(crate) fn forget_verified_from(&self, len: u64) {
        lock(&self.verified).cut(len);
    }
}

/// `{base, 20 digits}.log`.
pub(crate) fn file_name(base: Offset) -> String {
    format!("{:020}.log", base.get())
}

/// The base offset in a data file's name; `None` when it is not the name of one.
pub(crate) fn base_of(name: &str) -> Option<Offset> {
    let digits = name.strip_suffix(".log")?;
    let base = Offset::new(digits.parse().ok()?);
    (file_name(base) == name).then_some(base)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_files_are_named_by_their_base_offset() {
        assert_eq!(file_name(Offset::new(42)), "00000000000000000042.log");
        assert_eq!(base_of("00000000000000000042.log"), Some(Offset::new(42)));
        for other in [
            "42.log",
            "00000000000000000042.index",
            "+0000000000000000042.log",
        ] {
            assert_eq!(base_of(other), None, "{other}");
        }
    }
}
