//! `Era`: a time in which whatever was written can be read, whether it was synced or not. It ends when the machine is
//! restarted, and when a sync fails: then the page cache has what the disk may never get. What was noted as durable
//! in one era is all that counts in the next. The end of an era is a file in the directory, empty and not synced: a
//! disk that fails may still take it, and after a restart of the machine nobody asks.

use std::fmt;
use std::io;
use std::path::Path;

use uuid::Uuid;

use crate::io::{Io, OpenMode};

/// The file that ends an era.
const SYNC_FAILED: &str = "sync-failed";

/// The machine's boot, and how many syncs have failed in the directory since. Written as the boot's id, with `.1`
/// after the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Era {
    boot_id: String,
    failed_syncs: u32,
}

impl Era {
    /// That of this name.
    pub(crate) fn named(name: &str) -> Self {
        let counted = name.split_once('.').and_then(|(boot_id, count)| {
            let failed_syncs = count.parse().ok()?;
            let boot_id = boot_id.to_owned();
            Some(Self {
                boot_id,
                failed_syncs,
            })
        });
        counted.unwrap_or_else(|| Self {
            boot_id: name.to_owned(),
            failed_syncs: 0,
        })
    }

    /// The era of a directory now: the one that is noted, if the machine has not been restarted nor a sync failed.
    pub(crate) fn of(io: &dyn Io, dir: &Path, noted: &Self) -> io::Result<Self> {
        let boot_id = io.boot_id()?;
        if noted.boot_id != boot_id {
            return Ok(Self::named(&boot_id));
        }
        Ok(match io.read_small(&dir.join(SYNC_FAILED)) {
            Ok(None) => noted.clone(),
            _ => noted.next(),
        })
    }

    /// A sync has failed: ends the era of a directory.
    pub(crate) fn end(io: &dyn Io, dir: &Path) -> io::Result<()> {
        io.open(&dir.join(SYNC_FAILED), OpenMode::Create).map(drop)
    }

    /// The era of a directory is noted: what has ended the one before may go.
    pub(crate) fn begun(io: &dyn Io, dir: &Path) -> io::Result<()> {
        match io.remove_file(&dir.join(SYNC_FAILED)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// The one after a failed sync.
    pub(crate) fn next(&self) -> Self {
        Self {
            boot_id: self.boot_id.clone(),
            failed_syncs: self.failed_syncs.saturating_add(1),
        }
    }

    /// The era folded to 64 bits.
    pub(crate) fn number(&self) -> u64 {
        match self.boot_id.parse::<Uuid>() {
            Ok(id) if self.failed_syncs == 0 => {
                let (high, low) = id.as_u64_pair();
                high ^ low.rotate_left(32)
            }
            _ => {
                let name = self.to_string();
                let low = u64::from(crc32fast::hash(name.as_bytes()));
                (u64::from(!crc32fast::hash(format!("{name}.").as_bytes())) << 32) | low
            }
        }
    }
}

impl fmt::Display for Era {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.failed_syncs {
            0 => f.write_str(&self.boot_id),
            count => write!(f, "{}.{count}", self.boot_id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::RealIo;

    const BOOT: &str = "3d9c5b1e-6a1f-4a57-9d0c-2f6b7e8a9b10";

    #[test]
    fn an_era_goes_on_until_the_machine_is_restarted_or_a_sync_fails() {
        let first = Era::named(BOOT);
        assert_eq!(first.to_string(), BOOT);
        let second = first.next();
        assert_eq!(second.to_string(), format!("{BOOT}.1"));
        assert_eq!(Era::named(&second.to_string()), second);
        let numbers = [&first, &second, &second.next()].map(Era::number);
        assert!(numbers[0] != numbers[1] && numbers[1] != numbers[2] && numbers[0] != numbers[2]);
        let own = "a name.of its own";
        assert_eq!(Era::named(own).to_string(), own);

        let temp = tempfile::tempdir().unwrap();
        let (io, dir) = (RealIo::new(), temp.path());
        let now = Era::of(&*io, dir, &Era::default()).unwrap();
        assert_eq!(now.failed_syncs, 0);
        assert_eq!(Era::of(&*io, dir, &now).unwrap(), now);
        Era::end(&*io, dir).unwrap();
        let next = Era::of(&*io, dir, &now).unwrap();
        assert_eq!(next, now.next());
        let of_another_boot = Era::of(&*io, dir, &Era::named("another"));
        assert_eq!(of_another_boot.unwrap(), now);
        Era::begun(&*io, dir).unwrap();
        Era::begun(&*io, dir).unwrap();
        assert_eq!(Era::of(&*io, dir, &next).unwrap(), next);
    }
}
