//! `FromDisk`: a file that is read from the disk where that can be had, and leaves the page cache as it
//! was: what was cached for others stays or comes back, what was not is dropped again.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use crate::io::{FileIdentity, FileState, IoFile, IoSlice, MappedFile};

/// A file read for a scrub.
pub(super) struct FromDisk(pub(super) Arc<dyn IoFile>);

impl IoFile for FromDisk {
    fn state(&self) -> io::Result<FileState> {
        self.0.state()
    }

    fn identify(&self) -> io::Result<(FileIdentity, FileState)> {
        self.0.identify()
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let len = buffer.len() as u64;
        let was_cached = self.0.is_cached(position, len).unwrap_or(true);
        // What is dirty stays: that the disk does not have yet.
        self.0.drop_cached(position, len);
        let read = self.0.read_at(buffer, position)?;
        if !was_cached {
            self.0.drop_cached(position, len);
        }
        Ok(read)
    }

    fn write_vectored_at(&self, _: &[IoSlice<'_>], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn send_to(&self, socket: BorrowedFd<'_>, position: u64, max: usize) -> io::Result<usize> {
        self.0.send_to(socket, position, max)
    }

    fn is_cached(&self, position: u64, len: u64) -> io::Result<bool> {
        self.0.is_cached(position, len)
    }

    fn map(&self) -> io::Result<Box<dyn MappedFile>> {
        self.0.map()
    }
}
