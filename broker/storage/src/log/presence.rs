//! Whether the log's files are still what was written: somebody may remove or cut them while the broker
//! runs. A sealed segment that is not whole is damage like any other; nothing is appended behind a hole.

use std::io;
use std::path::PathBuf;

use broker_model::Offset;

use super::{Log, ReadError};
use crate::corruption::{Corruption, Damage};
use crate::segment::{CutSegment, Searchable};

/// Files that the log is written to are not there any more: it is of no use until it is opened again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Vanished {
    /// The partition's directory.
    #[error("{} was removed while the broker was running. Put it back and restart the broker: it then tells what to do about what cannot be brought back", .dir.display())]
    Directory {
        /// Where it was.
        dir: PathBuf,
    },
    /// The file of the active segment.
    #[error("{} was cut or removed while the broker was running: it has {len} bytes, and {written} were written. Put it back if there is a copy, and restart the broker: what is missing is then refused to readers with its offsets, and the log goes on behind it", .file.display())]
    ActiveSegment {
        /// The data file.
        file: PathBuf,
        /// How long it is; 0 when it was removed.
        len: u64,
        /// How long it was.
        written: u64,
    },
    /// The file of the active segment is another one.
    #[error("{} was replaced by another file while the broker was running. Put the right one in its place, and restart the broker: it then reads what there is", .file.display())]
    Replaced {
        /// The data file.
        file: PathBuf,
    },
}

impl Log {
    /// Looks whether the files that the log is written to are there.
    ///
    /// # Errors
    /// When they are not.
    pub fn check_present(&self) -> Result<(), Vanished> {
        match self.dir_is_gone() {
            true => Err(self.directory_vanished()),
            false => self.check_active(),
        }
    }

    /// The same for the active segment's file alone, which costs one question to the system.
    pub(super) fn check_active(&self) -> Result<(), Vanished> {
        let written = u64::from(self.active.len);
        let len = match self.active.data.len_if_there() {
            Ok(Some(_)) if self.active.data.was_replaced() => {
                return Err(Vanished::Replaced {
                    file: self.active.data.path().to_owned(),
                });
            }
            Ok(Some(len)) if len >= written => return Ok(()),
            Ok(len) => len.unwrap_or(0),
            // Whoever works with the file meets the error too, and knows what it means.
            Err(_) => return Ok(()),
        };
        if self.dir_is_gone() {
            return Err(self.directory_vanished());
        }
        Err(Vanished::ActiveSegment {
            file: self.active.data.path().to_owned(),
            len,
            written,
        })
    }

    /// Notes how far the log has come, for the next checkpoint: somebody has taken away what was written, so that its
    /// absence is no loss of what was not synced.
    pub fn note_reach(&self) {
        self.shared.positions.raise(self.ticket, self.end_point());
    }

    /// The end of a segment that is not there any more, if it is not; told when that is news.
    fn missing_end(&self, segment: &dyn Searchable) -> Result<Option<Corruption>, ReadError> {
        let (data, end) = (segment.data(), segment.end());
        if data.base() == self.active.data.base() {
            self.check_active()?;
            return Ok(None);
        }
        let len = data.len_if_there_again().map_err(|source| ReadError::Io {
            file: data.path().to_owned(),
            source,
        })?;
        let len = len.unwrap_or(0);
        let known = data.missing_end();
        let whole = known
            .as_ref()
            .map_or(u64::from(end.position), |known| known.position);
        if len >= u64::from(end.position) {
            if known.is_some() {
                // What is in it is verified before it is served, like after a start.
                data.forget_missing_end();
                tracing::info!(partition = %self.partition(), file = %data.path().display(), "a data file that was cut or removed is whole again");
            }
            return Ok(None);
        }
        if len >= whole {
            return Ok(known);
        }
        if self.dir_is_gone() {
            return Err(self.directory_vanished().into());
        }
        let missing = Corruption {
            file: data.path().to_owned(),
            position: len,
            offset: CutSegment::of(segment, len)?.end().offset,
            next_good: Some(end.offset),
            damage: Damage::Missing {
                bytes: u64::from(end.position) - len,
            },
        };
        data.note_missing_end(&missing);
        tracing::error!(
            partition = %self.partition(), damage = %missing,
            "a data file was cut or removed while the broker is running: what is missing is refused to readers"
        );
        Ok(Some(missing))
    }

    /// As much of a segment as is there, if the batch with `offset` is.
    pub(super) fn whole_part<'a>(
        &self,
        segment: &'a dyn Searchable,
        offset: Offset,
    ) -> Result<WholePart<'a>, ReadError> {
        let found = match self.missing_end(segment) {
            Ok(None) => Ok(WholePart::All(segment)),
            Ok(Some(missing)) if offset >= missing.offset => Err(ReadError::Corrupt(missing)),
            Ok(Some(missing)) => CutSegment::of(segment, missing.position).map(WholePart::Cut),
            Err(error) => Err(error),
        };
        found.inspect_err(|error| self.observe(error))
    }

    fn directory_vanished(&self) -> Vanished {
        Vanished::Directory {
            dir: self.dir().to_owned(),
        }
    }

    fn dir_is_gone(&self) -> bool {
        let listed = self.shared.io.list(self.dir());
        listed.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }
}

/// What is left of a segment.
pub(super) enum WholePart<'a> {
    /// Everything.
    All(&'a dyn Searchable),
    /// Its beginning.
    Cut(CutSegment<'a>),
}

impl WholePart<'_> {
    pub(super) fn segment(&self) -> &dyn Searchable {
        match self {
            Self::All(segment) => *segment,
            Self::Cut(cut) => cut,
        }
    }
}
