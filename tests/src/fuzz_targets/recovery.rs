//! Segments and indexes as a start finds them: cut, flipped, zeroed, shuffled, or anything at all. No
//! start panics, a second one finds the same, and what is served is what was written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arbitrary::{Arbitrary, Result, Unstructured};
use broker_storage::io::Io;
use broker_storage::io::recording::RecordingIo;

use super::disk::{self, Stop};

/// Most changes to one disk.
const CHANGES_MAX: usize = 6;

/// One change to a file of the partition, by its number.
#[derive(Clone, Copy, Debug)]
enum Change {
    Flip {
        at: u16,
        mask: u8,
    },
    Cut {
        len: u16,
    },
    Zero {
        at: u16,
        len: u8,
    },
    Grow {
        by: u8,
    },
    /// A stale piece of another place.
    Copy {
        from: (u8, u16),
        at: u16,
        len: u16,
    },
    Remove,
}

impl Arbitrary<'_> for Change {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        let at = u16::arbitrary(u)?;
        Ok(match u8::arbitrary(u)? % 6 {
            0 => Self::Flip {
                at,
                mask: u.arbitrary()?,
            },
            1 => Self::Cut { len: at },
            2 => Self::Zero {
                at,
                len: u.arbitrary()?,
            },
            3 => Self::Grow { by: u.arbitrary()? },
            4 => Self::Copy {
                from: u.arbitrary()?,
                at,
                len: u.arbitrary()?,
            },
            _ => Self::Remove,
        })
    }
}

/// The first byte says how the machine stopped, and whether the rest is changes or whole files.
pub fn run(input: &[u8]) {
    let Some((how, rest)) = input.split_first() else {
        return;
    };
    let disk = disk::image(match how & 1 {
        0 => Stop::Kill,
        _ => Stop::PowerLoss,
    });
    let mut u = Unstructured::new(rest);
    if how & 2 == 0 {
        // Too few bytes make fewer changes.
        let _ = change(&disk, &mut u);
        disk::recover_unforged(&disk);
    } else {
        let _ = replace(&disk, &mut u);
        disk::recover(&disk);
    }
}

fn files(disk: &Arc<RecordingIo>) -> Vec<PathBuf> {
    let listed = disk.list(&disk::partition_dir()).expect("the image has it");
    let names = listed
        .into_iter()
        .map(|entry| disk::partition_dir().join(entry.name));
    let data = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("log" | "index" | "timeindex"))
    };
    names.filter(data).collect()
}

fn change(disk: &Arc<RecordingIo>, u: &mut Unstructured<'_>) -> Result<()> {
    let files = files(disk);
    let path = |file: u8| -> &Path {
        let index = usize::from(file) % files.len();
        files.get(index).expect("it was taken from that many")
    };
    for _ in 0..CHANGES_MAX {
        let file = path(u.arbitrary()?);
        match u.arbitrary()? {
            Change::Flip { at, mask } => edit(disk, file, |bytes| {
                let len = bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(usize::from(at) % len) {
                    *byte ^= mask;
                }
            }),
            Change::Cut { len } => edit(disk, file, |bytes| bytes.truncate(usize::from(len))),
            Change::Zero { at, len } => edit(disk, file, |bytes| {
                let zeroed = bytes.iter_mut().skip(usize::from(at));
                zeroed.take(usize::from(len)).for_each(|byte| *byte = 0);
            }),
            Change::Grow { by } => edit(disk, file, |bytes| {
                bytes.resize(bytes.len() + usize::from(by), 0);
            }),
            Change::Copy { from, at, len } => {
                let source = disk::read(disk, path(from.0)).into_iter();
                let piece = source.skip(usize::from(from.1)).take(usize::from(len));
                let piece: Vec<u8> = piece.collect();
                edit(disk, file, |bytes| {
                    let places = bytes.iter_mut().skip(usize::from(at));
                    places.zip(&piece).for_each(|(byte, new)| *byte = *new);
                });
            }
            Change::Remove => drop(disk.remove_file(file)),
        }
    }
    Ok(())
}

/// One segment, made of whatever the input holds.
fn replace(disk: &Arc<RecordingIo>, u: &mut Unstructured<'_>) -> Result<()> {
    let files = files(disk);
    let segment = files.len().saturating_sub(3);
    let which = usize::from(u8::arbitrary(u)?);
    let chosen = match which & 1 {
        0 => files.get(..3),
        _ => files.get(segment..),
    };
    for file in chosen.unwrap_or_default() {
        let replaced = bool::arbitrary(u)?;
        let len = usize::from(u16::arbitrary(u)?).min(u.len());
        if replaced {
            disk::write(disk, file, u.bytes(len)?);
        }
    }
    Ok(())
}

fn edit(disk: &Arc<RecordingIo>, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = disk::read(disk, path);
    change(&mut bytes);
    disk::write(disk, path, &bytes);
}
