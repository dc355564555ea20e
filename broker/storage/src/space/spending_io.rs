//! `SpendingIo`: the file system for the broker's own writes. One that finds no room gets some from
//! the reserve and is tried again; a sync is never tried again. Reads pass through.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

use super::Reserve;
use crate::io::{
    DirEntry, FileIdentity, FileState, Io, IoFile, IoLock, IoSlice, MappedFile, OpenMode, Space,
};

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

/// Repeats what found no room for as long as the reserve has some, which takes back what was too much.
fn with_reserve<T>(reserve: &Reserve, mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut has_spent = false;
    loop {
        match attempt() {
            Err(error) if is_full(&error) && reserve.spend() => has_spent = true,
            done => {
                if has_spent {
                    reserve.take_back();
                }
                return done;
            }
        }
    }
}

/// The same for what frees room.
fn freeing(reserve: &Reserve, attempt: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    with_reserve(reserve, attempt)?;
    reserve.take_back();
    Ok(())
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
        freeing(&self.reserve, || self.io.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        freeing(&self.reserve, || self.io.remove_file(path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        freeing(&self.reserve, || self.io.remove_dir(path))
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

    fn may_write(&self, path: &Path) -> io::Result<()> {
        self.io.may_write(path)
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

    fn identify(&self) -> io::Result<(FileIdentity, FileState)> {
        self.file.identify()
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
        freeing(&self.reserve, || self.file.set_len(len))
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::io::RealIo;

    /// A file system of so many blocks of 4 KiB, by the lengths of its files.
    #[derive(Debug)]
    struct Small {
        io: Arc<RealIo>,
        dir: tempfile::TempDir,
        blocks: u64,
        filler: Mutex<u64>,
    }

    const BLOCK: u64 = 4096;

    impl Small {
        fn of(blocks: u64) -> Arc<Self> {
            Arc::new(Self {
                io: RealIo::new(),
                dir: tempfile::tempdir().unwrap(),
                blocks,
                filler: Mutex::new(0),
            })
        }

        fn free(&self) -> u64 {
            let files = self.io.list(self.dir.path()).unwrap();
            let used: u64 = files.iter().map(|file| file.len.div_ceil(BLOCK)).sum();
            self.blocks
                .saturating_sub(used + *self.filler.lock().unwrap())
        }

        /// Somebody else takes every free block.
        fn fill(&self) {
            let free = self.free();
            *self.filler.lock().unwrap() += free;
        }
    }

    struct SmallFile(Arc<dyn IoFile>, Arc<Small>);

    impl SmallFile {
        fn grow(&self, len: u64) -> io::Result<()> {
            let blocks =
                len.div_ceil(BLOCK) - self.0.len()?.div_ceil(BLOCK).min(len.div_ceil(BLOCK));
            match blocks <= self.1.free() {
                true => Ok(()),
                false => Err(io::ErrorKind::StorageFull.into()),
            }
        }
    }

    impl IoFile for SmallFile {
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }
        fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
            self.0.read_at(buffer, position)
        }
        fn write_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
            let len: usize = slices.iter().map(|slice| slice.len()).sum();
            self.grow(position + len as u64)?;
            self.0.write_vectored_at(slices, position)
        }
        fn sync_data(&self) -> io::Result<()> {
            Ok(())
        }
        fn set_len(&self, len: u64) -> io::Result<()> {
            self.0.set_len(len)
        }
        fn allocate(&self, len: u64) -> io::Result<()> {
            self.grow(len)?;
            self.0.set_len(len)
        }
        fn send_to(&self, _: BorrowedFd<'_>, _: u64, _: usize) -> io::Result<usize> {
            Err(io::ErrorKind::Unsupported.into())
        }
        fn is_cached(&self, _: u64, _: u64) -> io::Result<bool> {
            Ok(true)
        }
        fn map(&self) -> io::Result<Box<dyn MappedFile>> {
            self.0.map()
        }
        fn state(&self) -> io::Result<FileState> {
            self.0.state()
        }
        fn identify(&self) -> io::Result<(FileIdentity, FileState)> {
            self.0.identify()
        }
    }

    /// The handle of a small file system.
    #[derive(Debug)]
    struct SmallIo(Arc<Small>);

    impl Io for SmallIo {
        fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn IoFile>> {
            let file = self.0.io.open(path, mode)?;
            Ok(Arc::new(SmallFile(file, Arc::clone(&self.0))))
        }
        fn create_dir_all(&self, path: &Path) -> io::Result<()> {
            self.0.io.create_dir_all(path)
        }
        fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
            self.0.io.list(path)
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.0.io.rename(from, to)
        }
        fn remove_file(&self, path: &Path) -> io::Result<()> {
            self.0.io.remove_file(path)
        }
        fn remove_dir(&self, path: &Path) -> io::Result<()> {
            self.0.io.remove_dir(path)
        }
        fn sync_dir(&self, _: &Path) -> io::Result<()> {
            Ok(())
        }
        fn sync_all(&self, _: &Path) -> io::Result<()> {
            Ok(())
        }
        fn lock(&self, path: &Path) -> io::Result<Box<dyn IoLock>> {
            self.0.io.lock(path)
        }
        fn space(&self, _: &Path) -> io::Result<Space> {
            Ok(Space {
                total: self.0.blocks * BLOCK,
                free: self.0.free() * BLOCK,
                lacks_inodes: false,
            })
        }
        fn boot_id(&self) -> io::Result<String> {
            self.0.io.boot_id()
        }
        fn entries_stamp(&self, path: &Path) -> io::Result<u64> {
            self.0.io.entries_stamp(path)
        }
    }

    #[test]
    fn replacing_files_on_a_full_disk_for_ever_costs_the_reserve_nothing() {
        let small = Small::of(1024);
        let plain: Arc<dyn Io> = Arc::new(SmallIo(Arc::clone(&small)));
        let reserve = Arc::new(Reserve::open(Arc::clone(&plain), small.dir.path()));
        reserve.refill(plain.space(small.dir.path()).unwrap());
        let io: Arc<dyn Io> = SpendingIo::new(plain, Arc::clone(&reserve));
        let file = small.dir.path().join("checkpoint");
        io.replace_small(&file, &[0; 9000]).unwrap();
        small.fill();
        let kept = small.dir.path().join(".reserve").metadata().unwrap().len();
        assert!(kept >= 32 * BLOCK);
        for byte in 0..200 {
            io.replace_small(&file, &[byte; 9000]).unwrap();
            small.fill();
        }
        let left = small.dir.path().join(".reserve").metadata().unwrap().len();
        assert_eq!(left, kept);
        assert_eq!(std::fs::read(&file).unwrap(), [199; 9000]);
        // What grows has its price, and the rest of the step that it took comes back.
        io.replace_small(&file, &[1; 13_000]).unwrap();
        small.fill();
        let left = small.dir.path().join(".reserve").metadata().unwrap().len();
        assert_eq!(left, kept - BLOCK);
        assert!(!reserve.is_low());
    }
}
