//! `FileSlice`: a run of whole batches in one data file, handed out without touching the data. The file
//! is opened when it is read, so that many slices cost no descriptors; retention may unlink it
//! meanwhile (it is opened before).
//!
//! Checksums are verified once per start of the broker, and once more when the file was replaced, before a
//! byte is first served ([`FileSlice::verified`]); which ranges were is remembered with the segment.

use std::fmt;
use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

use broker_model::Offset;
use bytes::Bytes;

use crate::corruption::Corruption;
use crate::log::ReadError;
use crate::segment::{BatchScanner, DataFile, ScanDepth, Scanned};

/// What `warm` reads at once.
const WARM_STEP_BYTES: usize = 256 * 1024;

/// A run of whole stored batches. Cheap to clone, `Send`.
#[derive(Clone)]
pub struct FileSlice {
    /// `None` for an empty slice.
    source: Option<Arc<DataFile>>,
    range: Range<u64>,
    first: Offset,
    next: Offset,
}

impl FileSlice {
    /// No batches, at `offset`.
    pub fn empty(offset: Offset) -> Self {
        Self {
            source: None,
            range: 0..0,
            first: offset,
            next: offset,
        }
    }

    pub(crate) fn new(data: &Arc<DataFile>, range: Range<u64>, offsets: Range<Offset>) -> Self {
        Self {
            source: Some(Arc::clone(data)),
            range,
            first: offsets.start,
            next: offsets.end,
        }
    }

    /// Bytes.
    pub fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Whether there is no batch in it.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// The base offset of the first batch; the offset asked for may lie inside that batch.
    pub fn first_offset(&self) -> Offset {
        self.first
    }

    /// The offset after the last batch: where to read on.
    pub fn next_offset(&self) -> Offset {
        self.next
    }

    /// The data file, for messages.
    pub fn path(&self) -> Option<&Path> {
        self.source.as_ref().map(|data| data.path())
    }

    /// Where in the data file the slice begins.
    pub fn position(&self) -> u64 {
        self.range.start
    }

    /// Whether part of it was not verified since the broker started: call
    /// [`FileSlice::verified`], off the threads that must not wait, before serving it.
    pub fn needs_verification(&self) -> bool {
        self.source
            .as_ref()
            .is_some_and(|data| !data.is_verified(&self.range))
    }

    /// Verifies both checksums of every batch that was not verified since the broker started, and
    /// answers the slice up to the first damaged batch.
    ///
    /// # Errors
    /// When the very first batch is damaged, or the file cannot be read.
    pub fn verified(&self) -> Result<Self, ReadError> {
        match self.check()? {
            None => Ok(self.clone()),
            Some((good, corruption)) if good.is_empty() => Err(ReadError::Corrupt(corruption)),
            Some((good, _)) => Ok(good),
        }
    }

    /// Verifies the whole slice.
    ///
    /// # Errors
    /// At the first damaged batch, or when the file cannot be read.
    pub fn verify(&self) -> Result<(), ReadError> {
        match self.check()? {
            None => Ok(()),
            Some((_, corruption)) => Err(ReadError::Corrupt(corruption)),
        }
    }

    /// The good part before the first damage, and the damage; `None` when all is well.
    fn check(&self) -> Result<Option<(Self, Corruption)>, ReadError> {
        let Some(data) = &self.source else {
            return Ok(None);
        };
        if data.is_verified(&self.range) {
            return Ok(None);
        }
        if let Some(known) = data.damage_in(&self.range, self.first) {
            let good = self.up_to(&known);
            return match good.check()? {
                None => Ok(Some((good, known))),
                earlier => Ok(earlier),
            };
        }
        let failed = |source| {
            data.observe(&source);
            ReadError::Io {
                file: data.path().to_owned(),
                source,
            }
        };
        let (file, identity) = data.file_to_verify().map_err(failed)?;
        let mut scanner = BatchScanner::new(
            file,
            data.id().owner,
            ScanDepth::Bodies,
            self.range.clone(),
            self.first,
        )
        .up_to(self.next);
        let bad = loop {
            match scanner.next().map_err(failed)? {
                Some(Scanned::Batch { .. }) => {}
                Some(bad) => break bad,
                None => {
                    data.mark_verified_in(self.range.clone(), identity);
                    return Ok(None);
                }
            }
        };
        let corruption = bad.into_corruption(data.path(), Some(self.next));
        let good = self.up_to(&corruption);
        data.mark_verified_in(good.range.clone(), identity);
        // Once a file: where everything is damaged, a line for each batch would say no more.
        if data.note_damage(&corruption, identity) {
            tracing::error!(damage = %corruption, "stored data is damaged: it is refused to readers");
        }
        Ok(Some((good, corruption)))
    }

    /// What lies before a damaged batch of it.
    fn up_to(&self, damaged: &Corruption) -> Self {
        Self {
            source: self.source.clone(),
            range: self.range.start..damaged.position,
            first: self.first,
            next: damaged.offset.max(self.first),
        }
    }

    /// The bytes, which have to be verified.
    ///
    /// # Errors
    /// Whatever the read answers; `InvalidData` when they were not verified, or the file was replaced since.
    pub fn read(&self) -> io::Result<Bytes> {
        let Some(data) = &self.source else {
            return Ok(Bytes::new());
        };
        let len = usize::try_from(self.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut bytes = vec![0; len];
        data.file_to_serve(&self.range)
            .and_then(|file| file.read_exact_at(&mut bytes, self.range.start))
            .inspect_err(|error| data.observe(error))?;
        Ok(bytes.into())
    }

    /// Reads it through and throws the bytes away: they are in the page cache then. What cannot be read
    /// shows when it is served.
    pub fn warm(&self) {
        let Some(Ok(file)) = self.source.as_ref().map(|data| data.file()) else {
            return;
        };
        let mut scratch = vec![0; WARM_STEP_BYTES];
        let mut at = self.range.start;
        while at < self.range.end {
            match file.read_at(&mut scratch, at) {
                Ok(read) if read > 0 => at += read as u64,
                _ => return,
            }
        }
    }

    /// Sends up to `max` bytes from byte `at` of the slice to a socket (`sendfile`), and says how
    /// many went. Fewer than asked when the socket takes no more.
    ///
    /// # Errors
    /// `WouldBlock` when a non-blocking socket takes nothing; `UnexpectedEof` when the file is
    /// shorter than it was; `InvalidData` when the slice was not verified, or the file was replaced since.
    pub fn send_to(&self, socket: BorrowedFd<'_>, at: u64, max: usize) -> io::Result<usize> {
        let left = self.len().saturating_sub(at);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(max);
        let Some(data) = self.source.as_ref().filter(|_| count > 0) else {
            return Ok(0);
        };
        let file = data.file_to_serve(&self.range)?;
        let sent = file.send_to(socket, self.range.start + at, count);
        match sent.inspect_err(|error| data.observe(error))? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            sent => Ok(sent),
        }
    }

    /// Whether the bytes from `at` on, `len` of them, come from memory: if not, whoever serves them
    /// waits for the disk.
    ///
    /// # Errors
    /// Whatever the operating system answers.
    pub fn is_cached(&self, at: u64, len: u64) -> io::Result<bool> {
        let len = len.min(self.len().saturating_sub(at));
        match &self.source {
            Some(data) => data.file()?.is_cached(self.range.start + at, len),
            None => Ok(true),
        }
    }
}

impl fmt::Debug for FileSlice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSlice")
            .field("file", &self.path())
            .field("bytes", &self.range)
            .field("offsets", &(self.first..self.next))
            .finish()
    }
}
