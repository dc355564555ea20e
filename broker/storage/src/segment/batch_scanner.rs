//! `BatchScanner`: walks the batches of a data file, tells whole ones, damaged ones and an
//! incomplete end apart, and finds its way behind damage. It judges nothing: what an incomplete end
//! or a damaged batch means depends on what was durable, which recovery knows.

mod way_on;

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use broker_model::Offset;
use broker_record::{BatchHeader, LogMark};

use crate::corruption::{Corruption, Damage};
use crate::index::Owner;
use crate::io::IoFile;

/// How much of the batches is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScanDepth {
    /// Headers alone.
    Headers,
    /// Headers and bodies, with both checksums.
    Bodies,
}

/// What stands at a position of a data file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scanned {
    /// A batch, whole and sound as far as the depth says.
    Batch { position: u64, header: BatchHeader },
    /// Bytes that are not the batch that belongs here. Goes on at `resume`, the next batch's position
    /// and base offset (or the end of the range); the scan is over when there is none.
    Bad {
        position: u64,
        /// The offset the batch should have begun with.
        offset: Offset,
        damage: Damage,
        resume: Option<(u64, Offset)>,
    },
    /// The range ends inside a batch.
    Incomplete { position: u64, offset: Offset },
}

/// Bytes read at once where only headers are wanted: batches are often smaller.
const HEADERS_CHUNK: usize = 4 * 1024;
/// Bytes read at once where everything is wanted.
const BODIES_CHUNK: usize = 256 * 1024;

/// Walks a range of a data file.
pub(crate) struct BatchScanner {
    file: Arc<dyn IoFile>,
    log_mark: LogMark,
    depth: ScanDepth,
    position: u64,
    end: u64,
    /// The offset that the next batch must begin with.
    expected: Offset,
    /// What begins behind damage and ends above this is not what belongs there.
    known_end: Offset,
    window: Window,
    /// What is looked at further on, behind damage.
    ahead: Window,
}

/// A part of a file in memory.
#[derive(Default)]
struct Window {
    bytes: Vec<u8>,
    at: u64,
}

impl BatchScanner {
    /// Scans a range of a file with batches of `owner`; it begins with the one with base offset `expected`.
    pub(crate) fn new(
        file: Arc<dyn IoFile>,
        owner: Owner,
        depth: ScanDepth,
        range: Range<u64>,
        expected: Offset,
    ) -> Self {
        Self {
            file,
            log_mark: owner.log_mark(),
            depth,
            position: range.start,
            end: range.end,
            expected,
            known_end: Offset::MAX,
            window: Window::default(),
            ahead: Window::default(),
        }
    }

    /// Where it is known at which offset the range ends: the way behind damage never leads beyond that, however
    /// sound a header looks that was copied there.
    pub(crate) fn up_to(self, known_end: Offset) -> Self {
        Self { known_end, ..self }
    }

    /// Where it goes on.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// What comes next; `None` at the end of the range.
    pub(crate) fn next(&mut self) -> io::Result<Option<Scanned>> {
        let (position, offset) = (self.position, self.expected);
        let left = self.end.saturating_sub(position);
        if left == 0 {
            return Ok(None);
        }
        if left < BatchHeader::LEN as u64 {
            self.position = self.end;
            return Ok(Some(Scanned::Incomplete { position, offset }));
        }
        let header = match BatchHeader::decode(self.bytes(position, BatchHeader::LEN)?) {
            Ok(header) => header,
            Err(error) => {
                let reason = error.to_string();
                return self.bad(Damage::Header { reason }).map(Some);
            }
        };
        if header.log_mark.differs_from(self.log_mark) {
            return self.bad(Damage::OfAnotherLog).map(Some);
        }
        let found = header.base_offset;
        if found != offset {
            return self.bad(Damage::OutOfPlace { found }).map(Some);
        }
        let len = header.batch_len() as u64;
        if left < len {
            self.position = self.end;
            return Ok(Some(Scanned::Incomplete { position, offset }));
        }
        let sound = self.depth == ScanDepth::Headers || self.body_is_sound(position, &header)?;
        self.position += len;
        self.expected = header.next_offset();
        if sound {
            return Ok(Some(Scanned::Batch { position, header }));
        }
        Ok(Some(Scanned::Bad {
            position,
            offset,
            damage: Damage::Body,
            resume: Some((self.position, self.expected)),
        }))
    }

    fn body_is_sound(&mut self, position: u64, header: &BatchHeader) -> io::Result<bool> {
        let body_at = position + BatchHeader::LEN as u64;
        let body = self.bytes(body_at, header.body_len as usize)?;
        Ok(header.verify_body(body).is_ok())
    }

    /// What stands here is not the batch that belongs here: looks for the one to go on with.
    fn bad(&mut self, damage: Damage) -> io::Result<Scanned> {
        let (position, offset) = (self.position, self.expected);
        let resume = self.way_on()?;
        let damage = match damage {
            Damage::OutOfPlace { found } if resume != Some((position, found)) => {
                Damage::StaleCopy { found }
            }
            damage => damage,
        };
        match resume {
            Some((at, found)) => {
                self.position = at;
                self.expected = found;
            }
            None => self.position = self.end,
        }
        Ok(Scanned::Bad {
            position,
            offset,
            damage,
            resume,
        })
    }

    /// `len` bytes at `at`, which lie inside the range.
    fn bytes(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        let chunk = match self.depth {
            ScanDepth::Headers => HEADERS_CHUNK,
            ScanDepth::Bodies => BODIES_CHUNK,
        };
        self.window.bytes(&*self.file, self.end, at, (len, chunk))
    }
}

impl Window {
    /// `len` bytes at `at`, which lie before `end`; where they are not at hand, a `chunk` is read.
    fn bytes(
        &mut self,
        file: &dyn IoFile,
        end: u64,
        at: u64,
        (len, chunk): (usize, usize),
    ) -> io::Result<&[u8]> {
        let is_at_hand = at >= self.at && at + len as u64 <= self.at + self.bytes.len() as u64;
        if !is_at_hand {
            let left = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
            self.bytes.resize(len.max(chunk).min(left).max(len), 0);
            self.at = at;
            if let Err(error) = file.read_exact_at(&mut self.bytes, at) {
                self.bytes.clear();
                return Err(error);
            }
        }
        let start = usize::try_from(at - self.at).unwrap_or(usize::MAX);
        self.bytes
            .get(start..start.saturating_add(len))
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl Scanned {
    /// Whether a sound header stands here that belongs elsewhere.
    pub(crate) fn is_another_batch(&self) -> bool {
        matches!(
            self,
            Self::Bad {
                damage: Damage::OutOfPlace { .. } | Damage::StaleCopy { .. } | Damage::OfAnotherLog,
                ..
            }
        )
    }

    /// What is bad about this place, as an answer. `otherwise_next` is the next good offset where
    /// the scan has found none itself.
    ///
    /// # Panics
    /// For a sound batch.
    pub(crate) fn into_corruption(self, file: &Path, otherwise_next: Option<Offset>) -> Corruption {
        let (position, offset, damage, resume) = match self {
            Self::Batch { position, .. } => panic!("the batch at {position} is sound"),
            Self::Bad {
                position,
                offset,
                damage,
                resume,
            } => (position, offset, damage, resume),
            Self::Incomplete { position, offset } => (position, offset, Damage::Incomplete, None),
        };
        Corruption {
            file: file.to_owned(),
            position,
            offset,
            next_good: resume.map(|(_, found)| found).or(otherwise_next),
            damage,
        }
    }
}
