//! `OpenFiles`: which data files of a log directory are open, so that they stay below a bound however many
//! partitions there are. The file that was not used for longest goes first (second chance, by a mark that every
//! use sets). A file that somebody works with right now stays; one with writes that are not durable is synced
//! before it is closed, because a later sync through another descriptor need not learn of their failure.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use super::DataFile;

/// Files that are closed in one go when all are in use or written: looking for them costs a walk over all.
const DIRTY_AT_ONCE: usize = 16;

/// The open data files of one log directory.
pub(crate) struct OpenFiles {
    max: usize,
    /// Each that is open, once; and some that were closed or dropped since.
    queue: Mutex<VecDeque<Weak<DataFile>>>,
}

/// What may be closed to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// What was not used since it was last looked at, and has no writes that are not durable.
    Unused,
    /// Anything that is not being worked with, after a sync where it needs one.
    Any,
}

impl OpenFiles {
    /// At most about `max` files: those that are in use at once may be more.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            queue: Mutex::default(),
        }
    }

    /// Enters a file that is about to be opened, and closes others if there are too many.
    pub(super) fn enter(&self, file: Weak<DataFile>) {
        let open = {
            let mut queue = self.queue();
            queue.push_back(file);
            queue.len()
        };
        if open > self.max {
            self.close(open - self.max);
        }
    }

    /// Closes what can be closed: the system has no descriptor left.
    pub(super) fn make_room(&self) {
        // In a statement of its own: the queue has to be free again.
        let half = self.queue().len().div_ceil(2);
        self.close(half);
    }

    /// Closes `count` files if so many can be.
    fn close(&self, count: usize) {
        let mut closed = 0;
        for what in [Closing::Unused, Closing::Unused] {
            closed += self.round(what, count - closed);
            if closed == count {
                return;
            }
        }
        self.round(Closing::Any, (count - closed).max(DIRTY_AT_ONCE));
    }

    /// Looks at each file once, until `most` are closed; the queue is free meanwhile.
    fn round(&self, what: Closing, most: usize) -> usize {
        let mut closed = 0;
        let all = self.queue().len();
        for _ in 0..all {
            if closed == most {
                break;
            }
            let Some(candidate) = self.queue().pop_front() else {
                break;
            };
            match candidate.upgrade() {
                Some(file) if !file.try_close(what) => self.queue().push_back(candidate),
                _ => closed += 1,
            }
        }
        closed
    }

    #[cfg(test)]
    fn open(&self) -> usize {
        let queue = self.queue();
        let files = queue.iter().filter_map(Weak::upgrade);
        files.filter(|file| file.is_open()).count()
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Weak<DataFile>>> {
        // Nothing panics while it is held.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use broker_model::Offset;

    use super::*;
    use crate::health::DirHealth;
    use crate::index::{Owner, SegmentId};
    use crate::io::Io;
    use crate::io::recording::{Fault, Operation, RecordingIo};

    struct Place {
        recording: Arc<RecordingIo>,
        io: Arc<dyn Io>,
        health: Arc<DirHealth>,
        open_files: Arc<OpenFiles>,
    }

    fn place(max: usize) -> Place {
        let recording = RecordingIo::new();
        recording.create_dir_all(Path::new("/d")).unwrap();
        Place {
            io: recording.clone(),
            recording,
            health: DirHealth::new(Path::new("/d")),
            open_files: Arc::new(OpenFiles::new(max)),
        }
    }

    impl Place {
        fn files(&self, count: usize) -> Vec<Arc<DataFile>> {
            let file = |number: usize| {
                let path = PathBuf::from(format!("/d/{number}.log"));
                let around = (&self.io, &self.health, &self.open_files);
                let id = SegmentId {
                    base: Offset::new(number as u64),
                    owner: Owner::default(),
                };
                let file = DataFile::at(around, path, id);
                file.create().unwrap();
                file
            };
            (0..count).map(file).collect()
        }

        fn syncs(&self) -> Vec<PathBuf> {
            let synced = |operation| match operation {
                Operation::SyncData { path } => Some(path),
                _ => None,
            };
            let operations = self.recording.operations();
            operations.into_iter().filter_map(synced).collect()
        }
    }

    fn write(file: &DataFile, byte: u8) {
        let open = file.file_to_write().unwrap();
        assert_eq!(
            open.write_vectored_at(&[IoSlice::new(&[byte])], 0).unwrap(),
            1
        );
    }

    fn read(file: &DataFile) -> u8 {
        let mut byte = [0];
        file.file().unwrap().read_exact_at(&mut byte, 0).unwrap();
        byte[0]
    }

    #[test]
    fn no_more_files_are_open_than_may_be_and_closed_ones_are_opened_again() {
        let place = place(4);
        let files = place.files(50);
        for (number, file) in (0_u8..).zip(&files) {
            write(file, number);
            assert!(place.open_files.open() <= 4);
        }
        for (number, file) in (0_u8..).zip(&files) {
            assert_eq!(read(file), number);
            assert!(place.open_files.open() <= 4);
        }
    }

    #[test]
    fn writes_that_are_not_synced_are_synced_before_their_file_is_closed_and_not_again() {
        let place = place(4);
        let files = place.files(5);
        for (number, file) in (0_u8..).zip(&files) {
            write(file, number);
        }
        // Whatever was closed has been synced.
        let closed: Vec<_> = files.iter().filter(|file| !file.is_open()).collect();
        assert!(!closed.is_empty());
        let synced = place.syncs();
        for file in &closed {
            assert!(synced.contains(&file.path().to_owned()));
            file.sync().unwrap();
            assert!(
                !file.is_open(),
                "what is durable needs no descriptor to be synced"
            );
        }
        assert_eq!(place.syncs(), synced);
        // The rest, and what was written after it was closed, still has to be.
        write(closed[0], 9);
        closed[0].sync().unwrap();
        assert_eq!(place.syncs().len(), synced.len() + 1);
    }

    #[test]
    fn a_sync_that_fails_before_a_file_is_closed_ends_the_directorys_service() {
        let place = place(1);
        let files = place.files(1);
        write(&files[0], 1);
        let failing = |operation: &Operation| matches!(operation, Operation::SyncData { .. });
        place
            .recording
            .set_faults(move |_, operation| failing(operation).then_some(Fault::EIO));
        place.files(2);
        assert!(place.health.check().is_err());
        assert!(files[0].is_open());
    }

    #[test]
    fn a_file_that_is_worked_with_stays_open_and_so_does_one_that_lost_its_name() {
        let place = place(2);
        let files = place.files(2);
        write(&files[0], 1);
        write(&files[1], 2);
        let held = files[0].file().unwrap();
        let reader = Arc::clone(&files[1]);
        files[1].keep_for_readers().unwrap();
        place.io.remove_file(files[1].path()).unwrap();
        place.files(20);
        assert!(files[0].is_open() && files[1].is_open());
        assert_eq!(read(&reader), 2);
        drop(held);
        place.files(20);
        assert!(!files[0].is_open());
    }
}
