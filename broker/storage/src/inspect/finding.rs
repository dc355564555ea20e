//! `Finding`: something that is not as it should be, and what the broker does about it when it is
//! started, or is doing about it while it runs.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use broker_model::Offset;

use crate::corruption::{Corruption, Damage};

/// What a finding means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingKind {
    /// Something was damaged or lost.
    Damage,
    /// What a crash has left unfinished: nobody was told of it, and the next start repairs it.
    Unfinished,
    /// Nothing is damaged, and nothing lost that was promised; somebody may want to know of it.
    Note,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it means.
    pub kind: FindingKind,
    /// The file.
    pub file: PathBuf,
    /// Where in the file, if at one place.
    pub position: Option<u64>,
    /// The offset that is concerned, if one is.
    pub offset: Option<Offset>,
    /// What is wrong.
    pub what: String,
    /// What the broker does about it.
    pub then: String,
}

impl Finding {
    /// What the broker does when something is missing of the log of its metadata.
    pub(super) const METADATA: &str = "it does not start: this log says which topics there are, and not one of its commands can be left out. Put a good copy of its directory in its place (an older one knows nothing of what was changed since); the data of all other partitions stays as it is";

    /// The same finding in the log of the metadata.
    pub(super) fn of_metadata(self) -> Self {
        let then = Self::METADATA.to_owned();
        Self { then, ..self }
    }

    /// A file that cannot be read.
    pub fn unreadable(file: &Path, error: &io::Error) -> Self {
        let then = match error.kind() {
            io::ErrorKind::Unsupported => "it does not start: a newer one has written this",
            _ => {
                "an error of the disk takes the log directory out of service; otherwise what needs the file is not available until it can be read"
            }
        };
        Self {
            kind: FindingKind::Damage,
            file: file.to_owned(),
            position: None,
            offset: None,
            what: format!("it cannot be read: {error}"),
            then: then.to_owned(),
        }
    }

    /// The same as what a crash has left.
    pub(super) fn unfinished(self, then: &str) -> Self {
        Self {
            kind: FindingKind::Unfinished,
            then: then.to_owned(),
            ..self
        }
    }

    /// What was acknowledged above the durable point, and went with the power.
    pub(super) fn lost_with_the_power(dir: &Path, next: Offset, noted: Offset) -> Self {
        Self {
            kind: FindingKind::Note,
            file: dir.to_owned(),
            position: None,
            offset: Some(next),
            what: format!(
                "offsets {next} to {noted} went with the machine's power: they were acknowledged under flush.mode=async, and not synced yet"
            ),
            then: format!(
                "the next start tells of the loss, which stays named in known-losses, and the log goes on at offset {next}"
            ),
        }
    }

    /// Damaged data, and what follows from it.
    pub(super) fn data(corruption: Corruption) -> Self {
        let then = match (&corruption.damage, corruption.next_good) {
            (
                Damage::Missing { .. }
                | Damage::Hole
                | Damage::BelowHighWatermark
                | Damage::BelowIndex,
                Some(next),
            ) => {
                format!(
                    "these offsets are refused to readers and never given out again; the log goes on at offset {next} or behind it"
                )
            }
            (_, Some(next)) => {
                format!(
                    "it stays where it is and is refused to readers; they can go on at offset {next}"
                )
            }
            (_, None) => {
                "it stays where it is and is refused to readers; what lies before it is served"
                    .to_owned()
            }
        };
        Self {
            kind: FindingKind::Damage,
            file: corruption.file,
            position: Some(corruption.position),
            offset: Some(corruption.offset),
            what: corruption.damage.to_string(),
            then,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(position) = self.position {
            write!(f, " at byte {position}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, " (offset {offset})")?;
        }
        write!(f, ": {}", self.what)
    }
}
