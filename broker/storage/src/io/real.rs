//! `RealIo`: the operating system's files.
//!
//! Plain positional system calls; an interrupted one is repeated, everything else goes to the
//! caller as it is.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::num::NonZeroU64;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use broker_model::Timestamp;
use rustix::fs::{
    Access, Advice, AtFlags, CWD, FallocateFlags, OFlags, accessat, fadvise, fallocate, sendfile,
};
use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev, retry_on_intr};

use super::map::ReadOnlyMap;
use super::{
    DirEntry, FileIdentity, FileState, Io, IoFile, IoLock, IoSlice, MappedFile, OpenMode, Space,
};
use crate::health::of_open_file;

/// At least so much of memory comes at a time.
const PAGE_BYTES: usize = 4096;
/// How far apart `is_cached` looks.
const CACHED_PROBE_BYTES: u64 = 128 * 1024;

/// The operating system's file system.
#[derive(Debug, Default)]
pub struct RealIo;

impl RealIo {
    /// The one there is.
    pub fn new() -> Arc<Self> {
        Arc::new(Self)
    }
}

/// What is no file at all, such as a pipe in the place of one, is not waited for.
const NONBLOCK: i32 = OFlags::NONBLOCK.bits().cast_signed();

impl Io for RealIo {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn IoFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => {}
            OpenMode::Write => {
                options.write(true);
            }
            OpenMode::Create => {
                options.write(true).create(true).truncate(false);
            }
            OpenMode::Truncate => {
                options.write(true).create(true).truncate(true);
            }
        }
        options.custom_flags(NONBLOCK);
        Ok(Arc::new(RealFile(options.open(path)?)))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            // A name that is not UTF-8 is none of ours.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            // There may be thousands of directories: the file system says what they are without being
            // asked for each.
            let kind = entry.file_type()?;
            // A link is what it leads to, as for whoever opens it.
            let target = kind.is_symlink().then(|| fs::metadata(entry.path()).ok());
            let target = target.flatten();
            let is_dir = target.as_ref().map_or(kind.is_dir(), fs::Metadata::is_dir);
            let (len, modified) = match is_dir {
                true => (0, None),
                false => match target.map_or_else(|| entry.metadata(), Ok) {
                    Ok(metadata) => (metadata.len(), metadata.modified().ok()),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                },
            };
            entries.push(DirEntry {
                name,
                is_dir,
                len,
                modified: modified.and_then(timestamp),
            });
        }
        entries.sort();
        Ok(entries)
    }

    fn entries_stamp(&self, path: &Path) -> io::Result<u64> {
        let metadata = fs::metadata(path)?;
        Ok(stamp(metadata.mtime(), metadata.mtime_nsec()))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all().map_err(of_open_file)
    }

    fn sync_all(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::syncfs(File::open(path)?)?)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn IoLock>> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(NONBLOCK)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Somebody may remove or replace the file; the directory is the same one all the same.
        let dir = path.parent().and_then(|dir| File::open(dir).ok());
        if let Some(Err(TryLockError::WouldBlock)) = dir.as_ref().map(File::try_lock) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let locked = RealLock { _file: file, dir };
        Ok(Box::new(locked))
    }

    fn may_write(&self, path: &Path) -> io::Result<()> {
        let access = match fs::metadata(path)?.is_dir() {
            true => Access::WRITE_OK | Access::EXEC_OK,
            false => Access::WRITE_OK,
        };
        Ok(accessat(CWD, path, access, AtFlags::EACCESS)?)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(Space {
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            // One that makes inodes as it needs them says that it has none at all.
            lacks_inodes: stat.f_files > 0 && stat.f_favail == 0,
        })
    }

    fn boot_id(&self) -> io::Result<String> {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        Ok(text.trim().to_owned())
    }
}

/// A time of the file system's as a number. That of a change of a file, unlike that of a write, nobody can set.
fn stamp(seconds: i64, nanos: i64) -> u64 {
    let all = seconds.wrapping_mul(1_000_000_000).wrapping_add(nanos);
    all.cast_unsigned()
}

fn timestamp(at: SystemTime) -> Option<Timestamp> {
    let since = at.duration_since(UNIX_EPOCH).ok()?;
    let millis = i64::try_from(since.as_millis()).ok()?;
    Some(Timestamp::from_millis(millis))
}

struct RealLock {
    _file: File,
    dir: Option<File>,
}

impl IoLock for RealLock {
    fn is_at(&self, dir: &Path) -> io::Result<bool> {
        let named = fs::metadata(dir)?;
        let Some(locked) = &self.dir else {
            return Ok(true);
        };
        let locked = locked.metadata()?;
        Ok((named.dev(), named.ino()) == (locked.dev(), locked.ino()))
    }
}

struct RealFile(File);

impl IoFile for RealFile {
    fn state(&self) -> io::Result<FileState> {
        let stat = rustix::fs::fstat(&self.0)?;
        Ok(FileState {
            len: u64::try_from(stat.st_size).unwrap_or_default(),
            is_linked: stat.st_nlink > 0,
            stamp: stamp(stat.st_ctime, stat.st_ctime_nsec),
        })
    }

    fn identify(&self) -> io::Result<(FileIdentity, FileState)> {
        let metadata = self.0.metadata()?;
        let identity = FileIdentity {
            device: metadata.dev(),
            number: metadata.ino(),
            made: metadata.created().ok(),
        };
        let state = FileState {
            len: metadata.len(),
            is_linked: metadata.nlink() > 0,
            stamp: stamp(metadata.ctime(), metadata.ctime_nsec()),
        };
        Ok((identity, state))
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        touch(buffer);
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, position + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        Ok(retry_on_intr(|| pwritev(&self.0, slices, position))?)
    }

    fn sync_data(&self) -> io::Result<()> {
        // Not `File::sync_data`, which repeats the call when it is interrupted: a sync is never
        // repeated here, whatever it answered.
        let synced = rustix::fs::fdatasync(&self.0);
        synced.map_err(|error| of_open_file(error.into()))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        Ok(retry_on_intr(|| {
            fallocate(&self.0, FallocateFlags::empty(), 0, len)
        })?)
    }

    fn send_to(&self, socket: BorrowedFd<'_>, position: u64, max: usize) -> io::Result<usize> {
        let mut at = position;
        Ok(retry_on_intr(|| {
            sendfile(socket, &self.0, Some(&mut at), max)
        })?)
    }

    fn is_cached(&self, position: u64, len: u64) -> io::Result<bool> {
        let mut probe = [0_u8; 1];
        let mut offset = 0;
        while offset < len {
            let mut buffers = [io::IoSliceMut::new(&mut probe)];
            match preadv2(
                &self.0,
                &mut buffers,
                position + offset,
                ReadWriteFlags::NOWAIT,
            ) {
                Ok(_) => {}
                Err(Errno::AGAIN) => return Ok(false),
                // A file system without the flag: nothing better is known.
                Err(Errno::OPNOTSUPP | Errno::INVAL) => return Ok(true),
                Err(error) => return Err(error.into()),
            }
            offset += CACHED_PROBE_BYTES;
        }
        Ok(true)
    }

    fn drop_cached(&self, position: u64, len: u64) {
        // A file system that does not take the hint reads from its cache.
        let _ = fadvise(&self.0, position, NonZeroU64::new(len), Advice::DontNeed);
    }

    fn map(&self) -> io::Result<Box<dyn MappedFile>> {
        Ok(Box::new(ReadOnlyMap::of(&self.0)?))
    }
}

/// Takes the memory of what the system is to write to, if it is fresh: the system would do so with the lock that all
/// threads of the process share for their memory, which a thread of low priority may hold for long.
fn touch(buffer: &mut [u8]) {
    for page in buffer.chunks_mut(PAGE_BYTES) {
        if let Some(first) = page.first_mut() {
            *first = std::hint::black_box(0);
        }
    }
    // Pages need not begin where it does.
    if let Some(last) = buffer.last_mut() {
        *last = std::hint::black_box(0);
    }
}
