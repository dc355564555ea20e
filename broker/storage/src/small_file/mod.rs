//! The small files beside the data: one text format for all of them.
//!
//! ```text
//! version=1
//! {lines of the file's own}
//! crc32=9a0b1c2d
//! ```
//! The checksum covers everything before its line. They are written in one step (`replace_small`),
//! so a reader finds the old or the new one, and a damaged one says so instead of lying.

use std::io;
use std::path::{Path, PathBuf};

use crate::health::is_exhausted;
use crate::health::is_no_space;
use crate::io::Io;

mod cleaner_checkpoint;
mod doubted_clock;
mod high_watermarks;
mod known_losses;
mod leader_epochs;
mod log_directories;
mod log_start;
mod meta_properties;
mod partition_metadata;
mod recovery_points;

#[cfg(test)]
mod golden_tests;

pub(crate) use cleaner_checkpoint::CleanerCheckpoint;
pub use doubted_clock::DoubtedClock;
pub(crate) use high_watermarks::HighWatermarks;
pub(crate) use known_losses::KnownLosses;
pub use leader_epochs::LeaderEpochs;
pub(crate) use log_directories::LogDirectories;
pub(crate) use log_start::LogStart;
pub(crate) use meta_properties::MetaProperties;
pub(crate) use partition_metadata::PartitionMetadata;
pub(crate) use recovery_points::{RecoveryPoint, RecoveryPoints};

/// Why a small file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SmallFileError {
    /// The operating system refused.
    #[error("{}: {source}", .file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What it answered.
        source: io::Error,
    },
    /// The file is not what was written.
    #[error("{} is damaged: {reason}", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// A newer broker wrote it.
    #[error("{} has format version {found}, this broker knows up to {known}: start a newer broker", .file.display())]
    NewerVersion {
        /// The file.
        file: PathBuf,
        /// Its version.
        found: u32,
        /// The newest this broker reads.
        known: u32,
    },
}

impl SmallFileError {
    /// Whether this file alone is of no use: it is damaged or cannot be read. What passes, and a newer broker's
    /// file, say nothing about it.
    pub(crate) fn is_of_this_file(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            Self::Io { source, .. } => !is_exhausted(source),
            Self::NewerVersion { .. } => false,
        }
    }

    /// Whether there was no room for it: the old file is still in force.
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_no_space(source))
    }
}

/// What a small file holds, as lines.
pub(crate) trait SmallFile: Sized {
    /// The newest version this broker reads, and the one it writes.
    const VERSION: u32 = 1;

    /// The file's own lines, without version and checksum, each ending in a newline.
    fn write_lines(&self, text: &mut String);

    /// Reads them back.
    fn from_lines(lines: &[&str]) -> Result<Self, String>;

    /// The file's bytes.
    fn encode(&self) -> Vec<u8> {
        let mut text = format!("version={}\n", Self::VERSION);
        self.write_lines(&mut text);
        let crc = crc32fast::hash(text.as_bytes());
        text.push_str(&format!("crc32={crc:08x}\n"));
        text.into_bytes()
    }

    /// Reads the file's bytes; `file` is named in errors.
    fn decode(file: &Path, bytes: &[u8]) -> Result<Self, SmallFileError> {
        let damaged = |reason: &str| SmallFileError::Damaged {
            file: file.to_owned(),
            reason: reason.to_owned(),
        };
        let text = std::str::from_utf8(bytes).map_err(|_| damaged("it is not text"))?;
        let (covered, checksum) =
            split_checksum(text).ok_or_else(|| damaged("its last line is no checksum"))?;
        let mut lines: Vec<&str> = covered.lines().collect();
        if crc32fast::hash(covered.as_bytes()) != checksum {
            return Err(damaged("its checksum does not fit"));
        }
        if lines.is_empty() {
            return Err(damaged("it has no version"));
        }
        let found: u32 = lines
            .remove(0)
            .strip_prefix("version=")
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| damaged("its first line is no version"))?;
        if found > Self::VERSION {
            return Err(SmallFileError::NewerVersion {
                file: file.to_owned(),
                found,
                known: Self::VERSION,
            });
        }
        Self::from_lines(&lines).map_err(|reason| damaged(&reason))
    }

    /// Reads the file; `None` when there is none.
    fn load(io: &dyn Io, file: &Path) -> Result<Option<Self>, SmallFileError> {
        match io.read_small(file) {
            Ok(Some(bytes)) => Self::decode(file, &bytes).map(Some),
            Ok(None) => Ok(None),
            Err(source) => Err(SmallFileError::Io {
                file: file.to_owned(),
                source,
            }),
        }
    }

    /// Writes the file in one step; durable when this returns.
    fn store(&self, io: &dyn Io, file: &Path) -> Result<(), SmallFileError> {
        io.replace_small(file, &self.encode())
            .map_err(|source| SmallFileError::Io {
                file: file.to_owned(),
                source,
            })
    }

    /// Writes over the file that is there, for when there is no room for another one beside it: one of less than a
    /// sector, which a crash leaves old or new. Durable when this returns; false when there is none.
    fn store_over(&self, io: &dyn Io, file: &Path) -> Result<bool, SmallFileError> {
        io.overwrite_small(file, &self.encode())
            .map_err(|source| SmallFileError::Io {
                file: file.to_owned(),
                source,
            })
    }
}

fn split_checksum(text: &str) -> Option<(&str, u32)> {
    let body = text.strip_suffix('\n')?;
    let at = body.rfind('\n').map_or(0, |newline| newline + 1);
    let (covered, last) = body.split_at(at);
    let digits = last.strip_prefix("crc32=")?;
    if digits.len() != 8 {
        return None;
    }
    Some((covered, u32::from_str_radix(digits, 16).ok()?))
}

/// The value of the line `{key}={value}`.
fn value_of<'a>(lines: &[&'a str], key: &str) -> Result<&'a str, String> {
    lines
        .iter()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .ok_or_else(|| format!("it has no {key}"))
}

/// The next word of a line, as a value.
fn word<'a, T: std::str::FromStr>(
    words: &mut impl Iterator<Item = &'a str>,
    what: &str,
) -> Result<T, String> {
    words
        .next()
        .and_then(|word| word.parse().ok())
        .ok_or_else(|| format!("a line has no {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Plain(String);

    impl SmallFile for Plain {
        fn write_lines(&self, text: &mut String) {
            text.push_str(&self.0);
        }

        fn from_lines(lines: &[&str]) -> Result<Self, String> {
            Ok(Self(lines.iter().map(|line| format!("{line}\n")).collect()))
        }
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let file = Path::new("f");
        let good = Plain("a 1\nb 2\n".to_owned()).encode();
        assert_eq!(Plain::decode(file, &good).unwrap().0, "a 1\nb 2\n");
        for len in 0..good.len() {
            assert!(Plain::decode(file, &good[..len]).is_err(), "cut at {len}");
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            // Hexadecimal digits of the checksum have two spellings; everything else is caught.
            if bad.eq_ignore_ascii_case(&good) && bit / 8 >= good.len() - 9 {
                continue;
            }
            assert!(Plain::decode(file, &bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_newer_version_is_refused_by_name() {
        let text = "version=2\n";
        let bytes = format!("{text}crc32={:08x}\n", crc32fast::hash(text.as_bytes()));
        let error = Plain::decode(Path::new("dir/f"), bytes.as_bytes()).err();
        assert!(
            error.is_some_and(|error| error.to_string().contains("dir/f has format version 2"))
        );
    }
}
