//! The swap: putting cleaned segments in place of others, so that after a stop anywhere the log has
//! either all of the new ones or all of the old ones. A journal is the point of no return; opening a
//! log carries on with it where it was interrupted, and without one sweeps `.cleaned` files away.

use std::io;
use std::path::Path;

use broker_model::Offset;

use super::cleaned_files::{EXTENSIONS, cleaned_checkpoint, cleaned_file, segment_file};
use crate::io::Io;
use crate::small_file::{CleanerCheckpoint, SmallFile, SmallFileError};

/// `cleaning-swap` of a partition: what is being put in place of what. One line each: `id {number}`
/// that the `.cleaned` files have in their names, `put {base}` of a new segment, `remove {base}` of an
/// old one. The steps of a swap:
///
/// 1. the `.cleaned` files are durable, names included;
/// 2. the journal is durable: the cleaning has happened from here on, whatever follows;
/// 3. `.cleaned` files are renamed over the old ones, what is left of the old ones is removed;
/// 4. that is made durable, and only then the journal is removed, durably too: a base offset that it
///    names may be used again later.
///
/// After the second one nothing needs space on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SwapJournal {
    pub(crate) id: u64,
    pub(crate) put: Vec<Offset>,
    pub(crate) remove: Vec<Offset>,
}

impl SwapJournal {
    pub(crate) const FILE: &str = "cleaning-swap";

    /// Steps 3 and 4, from wherever they were interrupted.
    pub(super) fn carry_out(&self, io: &dyn Io, dir: &Path) -> io::Result<()> {
        self.rename_and_remove(io, dir)?;
        io.sync_dir(dir)?;
        Self::forget(io, dir)
    }

    /// Removes the journal, durably.
    pub(super) fn forget(io: &dyn Io, dir: &Path) -> io::Result<()> {
        io.remove_file(&dir.join(Self::FILE))?;
        io.sync_dir(dir)
    }

    /// Step 3.
    pub(super) fn rename_and_remove(&self, io: &dyn Io, dir: &Path) -> io::Result<()> {
        for base in &self.put {
            for extension in EXTENSIONS {
                let from = cleaned_file(dir, *base, extension, self.id);
                if_there(io.rename(&from, &segment_file(dir, *base, extension)))?;
            }
        }
        let checkpoint = cleaned_checkpoint(dir, self.id);
        if_there(io.rename(&checkpoint, &dir.join(CleanerCheckpoint::FILE)))?;
        for base in &self.remove {
            for extension in EXTENSIONS {
                if_there(io.remove_file(&segment_file(dir, *base, extension)))?;
            }
        }
        Ok(())
    }

    /// A new segment's data file as it is called before the swap.
    pub(crate) fn cleaned_data_file(&self, dir: &Path, base: Offset) -> std::path::PathBuf {
        cleaned_file(dir, base, "log", self.id)
    }
}

/// Ends a swap that was interrupted; says whether there was one.
pub(crate) fn finish_interrupted(io: &dyn Io, dir: &Path) -> Result<bool, SmallFileError> {
    let file = dir.join(SwapJournal::FILE);
    let Some(journal) = SwapJournal::load(io, &file)? else {
        return Ok(false);
    };
    tracing::info!(dir = %dir.display(), "an interrupted cleaning is put in place");
    let done = journal.carry_out(io, dir);
    done.map_err(|source| SmallFileError::Io { file, source })?;
    Ok(true)
}

fn if_there(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

impl SmallFile for SwapJournal {
    fn write_lines(&self, text: &mut String) {
        text.push_str(&format!("id {}\n", self.id));
        for base in &self.put {
            text.push_str(&format!("put {base}\n"));
        }
        for base in &self.remove {
            text.push_str(&format!("remove {base}\n"));
        }
    }

    fn from_lines(lines: &[&str]) -> Result<Self, String> {
        let mut journal = Self::default();
        for line in lines {
            let number = line.split_once(' ').and_then(|(what, number)| {
                let number: u64 = number.parse().ok()?;
                Some((what, number))
            });
            match number {
                Some(("id", id)) => journal.id = id,
                Some(("put", base)) => journal.put.push(Offset::new(base)),
                Some(("remove", base)) => journal.remove.push(Offset::new(base)),
                _ => return Err(format!("it has the line {line:?}")),
            }
        }
        match journal.id {
            0 => Err("it has no id".to_owned()),
            _ => Ok(journal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_written_as_documented() {
        let journal = SwapJournal {
            id: 7,
            put: vec![Offset::new(0), Offset::new(40)],
            remove: vec![Offset::new(10)],
        };
        let bytes = journal.encode();
        let lines = "version=1\nid 7\nput 0\nput 40\nremove 10\n";
        let crc = crc32fast::hash(lines.as_bytes());
        assert_eq!(bytes, format!("{lines}crc32={crc:08x}\n").into_bytes());
        let file = Path::new("orders-0/cleaning-swap");
        assert_eq!(SwapJournal::decode(file, &bytes).unwrap(), journal);
        assert!(SwapJournal::decode(file, &SwapJournal::default().encode()).is_err());
    }
}
