//! `Moment`: the recorded disk before one of its changes, and every disk that a stop there can leave.

use std::sync::Arc;

use super::disk::{Disk, FileChange, Id};
use super::power_loss::SECTOR;
use super::{Operation, RecordingIo, SetBackNames};

/// The disk at one moment of its history.
#[derive(Clone, Debug)]
pub struct Moment {
    disk: Disk,
    boot: u64,
    next: Option<Operation>,
    write: Option<(Id, usize, Vec<u8>)>,
}

impl Moment {
    pub(super) fn new(disk: Disk, boot: u64, next: Option<Operation>) -> Self {
        Self {
            disk,
            boot,
            next,
            write: None,
        }
    }

    pub(super) fn note_write(&mut self, id: Id, position: usize, bytes: &[u8]) {
        self.write = Some((id, position, bytes.to_vec()));
    }

    /// The change that follows, if one does.
    pub fn next(&self) -> Option<&Operation> {
        self.next.as_ref()
    }

    /// The disk as the next process finds it when this one is killed here.
    pub fn after_kill(&self) -> Arc<RecordingIo> {
        RecordingIo::with(self.disk.clone(), self.boot)
    }

    /// How many bytes of the write that follows can be written when the process is killed in it: up to
    /// each boundary of a sector that lies inside. Empty when no write follows.
    pub fn torn_at(&self) -> Vec<usize> {
        let Some((_, position, bytes)) = &self.write else {
            return Vec::new();
        };
        let first = SECTOR - position % SECTOR;
        (first..bytes.len()).step_by(SECTOR).collect()
    }

    /// The same as [`Moment::after_kill`], with so many bytes of the write that follows written.
    pub fn after_kill_in_write(&self, written: usize) -> Arc<RecordingIo> {
        let mut disk = self.disk.clone();
        if let Some((id, position, bytes)) = &self.write
            && let Ok(file) = disk.file_mut(*id)
        {
            file.change(FileChange::Write {
                position: *position,
                bytes: bytes.iter().copied().take(written).collect(),
            });
        }
        RecordingIo::with(disk, self.boot)
    }

    /// What a power loss here decides by itself, each with the number of its outcomes: entries of
    /// directories, lengths of files, sectors. Outcome 0 is that it is as when it was last synced, the
    /// last one that it is as a process saw it.
    pub fn undecided(&self) -> Vec<u32> {
        let mut outcomes = Vec::new();
        self.disk.after_power_loss_as(&mut |count| {
            outcomes.push(count);
            0
        });
        outcomes
    }

    /// The disk set back to what was synced while the machine goes on: its file system was lost and mounted again.
    pub fn after_set_back(&self, names: SetBackNames) -> Arc<RecordingIo> {
        RecordingIo::with(self.disk.set_back(names), self.boot)
    }

    /// The disk as it is found after a power loss here, with these outcomes; 0 where there is none.
    pub fn after_power_loss(&self, outcomes: &[u32]) -> Arc<RecordingIo> {
        let mut outcomes = outcomes.iter();
        let found = self.disk.after_power_loss_as(&mut |count| {
            let outcome = outcomes.next().copied().unwrap_or(0);
            outcome.min(count - 1)
        });
        RecordingIo::with(found, self.boot + 1)
    }
}
