//! Read-only maps of sealed files: the one file of this crate with `unsafe` in it.
//!
//! A map is sound only while nobody cuts or rewrites the file, so it is taken of index files of
//! sealed segments alone: those are replaced by rename and removed by unlink, never changed.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

use memmap2::Mmap;

use super::MappedFile;

/// A file mapped for reading.
pub(super) struct ReadOnlyMap(Mmap);

impl ReadOnlyMap {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        // SAFETY: callers map index files of sealed segments only (`IoFile::map` says so). This
        // process replaces such a file by renaming another over it and removes it by unlinking,
        // which both leave the mapped inode alone, and the directory lock keeps other brokers away.
        let map = unsafe { Mmap::map(file) }?;
        Ok(Self(map))
    }
}

impl MappedFile for ReadOnlyMap {
    fn read_exact_at(&self, buffer: &mut [u8], position: usize) -> Option<()> {
        let bytes = self.0.get(position..)?.get(..buffer.len())?;
        buffer.copy_from_slice(bytes);
        Some(())
    }
}
