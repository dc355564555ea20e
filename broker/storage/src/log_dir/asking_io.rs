//! `AskingIo`: the file system of a log directory. Every call that may have to wait for the disk is noted as a
//! question until it returns, whoever makes it, so that a disk that hangs is known by any of them. What the
//! system answers from memory (the state of an open file, whether bytes are cached) is none.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

use super::questions::Questions;
use crate::io::{
    DirEntry, FileIdentity, FileState, Io, IoFile, IoLock, IoSlice, MappedFile, OpenMode, Space,
};

/// A file system whose answers are waited for by the clock.
pub(super) struct AskingIo {
    io: Arc<dyn Io>,
    questions: Arc<Questions>,
}

struct AskingFile {
    file: Arc<dyn IoFile>,
    questions: Arc<Questions>,
}

struct AskingMap {
    map: Box<dyn MappedFile>,
    questions: Arc<Questions>,
}

impl AskingIo {
    pub(super) fn new(io: Arc<dyn Io>, questions: Arc<Questions>) -> Arc<Self> {
        Arc::new(Self { io, questions })
    }
}

impl Io for AskingIo {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn IoFile>> {
        Ok(Arc::new(AskingFile {
            file: self.questions.ask(|| self.io.open(path, mode))?,
            questions: Arc::clone(&self.questions),
        }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.questions.ask(|| self.io.create_dir_all(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.questions.ask(|| self.io.list(path))
    }

    fn entries_stamp(&self, path: &Path) -> io::Result<u64> {
        self.questions.ask(|| self.io.entries_stamp(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.questions.ask(|| self.io.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.questions.ask(|| self.io.remove_file(path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.questions.ask(|| self.io.remove_dir(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.questions.ask(|| self.io.sync_dir(path))
    }

    fn sync_all(&self, path: &Path) -> io::Result<()> {
        self.questions.ask(|| self.io.sync_all(path))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn IoLock>> {
        self.questions.ask(|| self.io.lock(path))
    }

    fn may_write(&self, path: &Path) -> io::Result<()> {
        self.questions.ask(|| self.io.may_write(path))
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.questions.ask(|| self.io.space(path))
    }

    fn boot_id(&self) -> io::Result<String> {
        self.io.boot_id()
    }
}

impl IoFile for AskingFile {
    fn state(&self) -> io::Result<FileState> {
        self.file.state()
    }

    fn identify(&self) -> io::Result<(FileIdentity, FileState)> {
        self.file.identify()
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.questions.ask(|| self.file.read_at(buffer, position))
    }

    fn write_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        let write = || self.file.write_vectored_at(slices, position);
        self.questions.ask(write)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.questions.ask(|| self.file.sync_data())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.questions.ask(|| self.file.set_len(len))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.questions.ask(|| self.file.allocate(len))
    }

    fn send_to(&self, socket: BorrowedFd<'_>, position: u64, max: usize) -> io::Result<usize> {
        self.questions
            .ask(|| self.file.send_to(socket, position, max))
    }

    fn is_cached(&self, position: u64, len: u64) -> io::Result<bool> {
        self.file.is_cached(position, len)
    }

    fn drop_cached(&self, position: u64, len: u64) {
        self.file.drop_cached(position, len);
    }

    fn map(&self) -> io::Result<Box<dyn MappedFile>> {
        Ok(Box::new(AskingMap {
            map: self.file.map()?,
            questions: Arc::clone(&self.questions),
        }))
    }
}

impl MappedFile for AskingMap {
    fn read_exact_at(&self, buffer: &mut [u8], position: usize) -> Option<()> {
        self.questions
            .ask(|| self.map.read_exact_at(buffer, position))
    }
}

impl fmt::Debug for AskingIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AskingIo").field(&self.io).finish()
    }
}
