//! `SpendingIo`: the file system for the broker's own writes. One that finds no room gets some from
//! the reserve and is tried again; a sync is never tried again. Reads pass through.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

use super::Reserve;
use crate::io::{DirEntry, FileState, Io, IoFile, IoLock, IoSlice, MappedFile, OpenMode, Space};

/// A file system with a reserve.
pub(crate) struct SpendingIo {
    io: Arc<dyn Io>,
    reserve: Arc<Reserve>,
}

struct SpendingFile {
    file: Arc<dyn IoFile>,
    reserve: Arc<Reserve>,
}

impl SpendingIo {
    pub(crate) fn new(io: Arc<dyn Io>, reserve: Arc<Reserve>) -> Arc<Self> {
        Arc::new(Self { io, reserve })
    }
}

/// Repeats what found no room for as long as the reserve has some.
fn with_reserve<T>(reserve: &Reserve, mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match attempt() {
            Err(error) if is_full(&error) && reserve.spend() => {}
            done => return done,
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    let kind = error.kind();
    matches!(
        kind,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

impl Io for SpendingIo {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn IoFile>> {
        let file = with_reserve(&self.reserve, || self.io.open(path, mode))?;
        Ok(Arc::new(SpendingFile {
            file,
            reserve: Arc::clone(&self.reserve),
        }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        with_reserve(&self.reserve, || self.io.create_dir_all(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.io.list(path)
    }

    fn entries_stamp(&self, path: &Path) -> io::Result<u64> {
        self.io.entries_stamp(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        with_reserve(&self.reserve, || self.io.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        with_reserve(&self.reserve, || self.io.remove_file(path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        with_reserve(&self.reserve, || self.io.remove_dir(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.io.sync_dir(path)
    }

    fn sync_all(&self, path: &Path) -> io::Result<()> {
        self.io.sync_all(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn IoLock>> {
        self.io.lock(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.io.space(path)
    }

    fn boot_id(&self) -> io::Result<String> {
        self.io.boot_id()
    }
}

impl IoFile for SpendingFile {
    fn state(&self) -> io::Result<FileState> {
        self.file.state()
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.read_at(buffer, position)
    }

    fn write_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        with_reserve(&self.reserve, || {
            self.file.write_vectored_at(slices, position)
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        with_reserve(&self.reserve, || self.file.set_len(len))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }

    fn send_to(&self, socket: BorrowedFd<'_>, position: u64, max: usize) -> io::Result<usize> {
        self.file.send_to(socket, position, max)
    }

    fn is_cached(&self, position: u64, len: u64) -> io::Result<bool> {
        self.file.is_cached(position, len)
    }

    fn drop_cached(&self, position: u64, len: u64) {
        self.file.drop_cached(position, len);
    }

    fn map(&self) -> io::Result<Box<dyn MappedFile>> {
        self.file.map()
    }
}

impl fmt::Debug for SpendingIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SpendingIo").field(&self.io).finish()
    }
}
