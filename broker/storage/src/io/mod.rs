//! The only way to files below the log directories: two traits and their implementations.
//!
//! `RealIo` is the operating system; `recording::RecordingIo` is a disk in memory that records
//! every change, can fail the N-th of them, and shows what a power loss would leave. Nothing else
//! in this crate touches `std::fs` or `rustix::fs`. Retries and error policy live with the callers.

use std::fmt;
use std::io;
pub use std::io::IoSlice;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use broker_model::Timestamp;

mod map;
mod real;
pub mod recording;

pub use real::RealIo;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// A file that may not exist yet, for reading and writing.
    Create,
    /// A new, empty file, for reading and writing; an old one of that name is emptied.
    Truncate,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The last component of its path.
    pub name: String,
    /// Whether it is a directory itself.
    pub is_dir: bool,
    /// Its length in bytes; 0 for a directory.
    pub len: u64,
    /// When it was written last, by the wall clock of then; of a file, where that is known.
    pub modified: Option<Timestamp>,
}

/// What an open file is at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileState {
    /// Length in bytes.
    pub len: u64,
    /// Whether it has a name: one that was removed or replaced is gone when it is closed.
    pub is_linked: bool,
    /// Another number once somebody has written to it, or changed what the file system says of it.
    pub stamp: u64,
}

/// Which file it is, whatever its name: another one put in its place has another identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileIdentity {
    /// The file system's number.
    pub device: u64,
    /// The file's number in it, which may be used again once the file is gone.
    pub number: u64,
    /// When it was made, where the file system tells.
    pub made: Option<SystemTime>,
}

/// Bytes of the file system a path lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Size of the file system.
    pub total: u64,
    /// What an unprivileged process can still write.
    pub free: u64,
    /// Whether no more files can be made, however much is free: it has no inodes left.
    pub lacks_inodes: bool,
}

/// A lock on a file, given up when dropped or when the process ends.
pub trait IoLock: Send + Sync {
    /// Whether the directory that the locked file is in is still what `dir` names: it may have been renamed,
    /// unmounted, or covered by another file system.
    ///
    /// # Errors
    /// `NotFound` when `dir` names nothing, and whatever else the operating system answers.
    fn is_at(&self, dir: &Path) -> io::Result<bool>;
}

/// Bytes of a file that cannot change any more, readable in place.
pub trait MappedFile: Send + Sync {
    /// Copies `buffer.len()` bytes from `position`; `None` when the file has not so many. What is not in memory
    /// is waited for, like a read.
    fn read_exact_at(&self, buffer: &mut [u8], position: usize) -> Option<()>;
}

/// An open file. Positions are absolute; there is no cursor, so a handle can be shared freely.
pub trait IoFile: Send + Sync {
    /// How long it is, and whether it is still there.
    fn state(&self) -> io::Result<FileState>;

    /// Which file it is, and its state, with one question to the system.
    fn identify(&self) -> io::Result<(FileIdentity, FileState)>;

    /// Length in bytes.
    fn len(&self) -> io::Result<u64> {
        Ok(self.state()?.len)
    }

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads up to `buffer.len()` bytes at `position`; fewer only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;

    /// One vectored write at `position`. May write less than asked, like `pwritev(2)`.
    fn write_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize>;

    /// Makes data and length durable, as `fdatasync(2)` does. Never retried after a failure, which is
    /// never one for lack of descriptors.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts or extends (with zeros) the file.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Extends the file to `len` bytes that all have their place on the disk.
    fn allocate(&self, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Copies up to `max` bytes from `position` to a socket without passing through this process.
    fn send_to(&self, socket: BorrowedFd<'_>, position: u64, max: usize) -> io::Result<usize>;

    /// Whether the bytes at `position` can be read without waiting for the disk.
    fn is_cached(&self, position: u64, len: u64) -> io::Result<bool>;

    /// Lets the cache go of these bytes, as far as they are on the disk: the next read asks the disk.
    /// A length of 0 is all that follows. A hint, which by default does nothing.
    fn drop_cached(&self, _position: u64, _len: u64) {}

    /// Maps the file for reading. Only for files that will never be written or cut again.
    fn map(&self) -> io::Result<Box<dyn MappedFile>>;
}

impl dyn IoFile + '_ {
    /// Fills the buffer from `position`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before.
    pub fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        let read = self.read_at(buffer, position)?;
        if read < buffer.len() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!(
                    "{} bytes at position {position}, {} were asked for",
                    read,
                    buffer.len()
                ),
            ));
        }
        Ok(())
    }

    /// Writes all of `bytes` at `position`.
    ///
    /// # Errors
    /// Whatever the write answers; part of the bytes may have been written then.
    pub fn write_all_at(&self, mut bytes: &[u8], mut position: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = self.write_vectored_at(&[IoSlice::new(bytes)], position)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = bytes.get(written..).unwrap_or_default();
            position += written as u64;
        }
        Ok(())
    }
}

/// A file system.
pub trait Io: Send + Sync + fmt::Debug + 'static {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn IoFile>>;

    /// Creates a directory and its missing parents; fine when it exists.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Lists a directory, sorted by name.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// A number that is another one once entries of a directory were added, removed or renamed.
    fn entries_stamp(&self, path: &Path) -> io::Result<u64>;

    /// Renames a file or a directory, replacing a file of the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes a directory's entries (files created, renamed, removed in it) durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes everything on the file system that `path` lies on durable, as `syncfs(2)` does.
    fn sync_all(&self, path: &Path) -> io::Result<()>;

    /// Takes an exclusive lock on a file, created when missing; `WouldBlock` when another has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn IoLock>>;

    /// Whether this process may write to a file, or may make and remove files in a directory. By default it may.
    fn may_write(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    /// Space of the file system that `path` lies on.
    fn space(&self, path: &Path) -> io::Result<Space>;

    /// Names the boot of the machine: what was written to the page cache since then is still there.
    fn boot_id(&self) -> io::Result<String>;
}

impl dyn Io {
    /// The whole of a small file; `None` when there is none.
    ///
    /// # Errors
    /// Whatever opening and reading answer, except that the file is missing.
    pub fn read_small(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let file = match self.open(path, OpenMode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let len = usize::try_from(file.len()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut bytes = vec![0; len];
        let read = file.read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        Ok(Some(bytes))
    }

    /// Writes over a small file that is there; false when there is none.
    ///
    /// # Errors
    /// Whatever a step answers; what is in the file then is the old, the new, or, on a disk that does not write a
    /// sector in one step, neither.
    pub fn overwrite_small(&self, path: &Path, contents: &[u8]) -> io::Result<bool> {
        let file = match self.open(path, OpenMode::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened?,
        };
        file.write_all_at(contents, 0)?;
        if file.len()? > contents.len() as u64 {
            file.set_len(contents.len() as u64)?;
        }
        file.sync_data()?;
        Ok(true)
    }

    /// Puts a small file in place of another in one step: after a crash at any point the old or the
    /// new one is there, whole. Durable when this returns.
    ///
    /// # Errors
    /// Whatever a step answers; the old file is still in place then.
    pub fn replace_small(&self, path: &Path, contents: &[u8]) -> io::Result<()> {
        let mut name = path.as_os_str().to_owned();
        name.push(".tmp");
        let temporary = Path::new(&name);
        let written = self
            .open(temporary, OpenMode::Truncate)
            .and_then(|file| {
                file.write_all_at(contents, 0)?;
                file.sync_data()
            })
            .and_then(|()| self.rename(temporary, path));
        if let Err(error) = written {
            // On a full disk every byte counts.
            let _ = self.remove_file(temporary);
            return Err(error);
        }
        match path.parent() {
            Some(parent) => self.sync_dir(parent),
            None => Ok(()),
        }
    }
}
