//! `ColdReads`: reads that wait for the disk of one log directory. They are done on the blocking threads of
//! whichever arbiter asks, so many at once and no more: a disk that hangs keeps those, and each arbiter has
//! threads enough that reads of other directories find one.

use std::sync::Arc;

use broker_storage::{FileSlice, LogDir};
use tokio::sync::Semaphore;

use crate::broker::{hanging, unless_it_hangs};
use crate::partition::PartitionError;

/// Reads of one directory at once.
pub(crate) const COLD_READS_MAX: usize = 16;

/// The places for reads of one directory.
pub(crate) struct ColdReads {
    dir: LogDir,
    places: Arc<Semaphore>,
}

impl ColdReads {
    /// All of them are free.
    pub(crate) fn new(dir: LogDir) -> Arc<Self> {
        Arc::new(Self {
            dir,
            places: Arc::new(Semaphore::new(COLD_READS_MAX)),
        })
    }

    /// The log directory.
    pub(crate) fn dir(&self) -> &LogDir {
        &self.dir
    }

    /// Checks the checksums of what this process has not seen yet. What lies before a damaged batch is good and
    /// is served. What is not in the page cache is brought there first, so that nobody else waits for the disk.
    ///
    /// # Errors
    /// When the first batch is damaged, the file cannot be read, or the disk hangs.
    pub(crate) async fn verified(&self, slice: FileSlice) -> Result<FileSlice, PartitionError> {
        let is_checked = !slice.needs_verification();
        if is_checked && slice.is_cached(0, slice.len()).unwrap_or(true) {
            return Ok(slice);
        }
        let checked = self.run(move || {
            if is_checked {
                slice.warm();
                return Ok(slice);
            }
            slice.verified()
        });
        Ok(checked.await??)
    }

    /// Does `work` on a blocking thread. On a disk that hangs nobody waits for it: it keeps its place until it is
    /// done.
    ///
    /// # Errors
    /// When the disk hangs, and when `work` panicked.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PartitionError> {
        let reading = async {
            // They are never taken out of service.
            let place = self.places.clone().acquire_owned().await.ok();
            let reading = actix_rt::task::spawn_blocking(move || {
                let _place = place;
                work()
            });
            reading.await
        };
        let hangs = match self.dir.hangs() {
            true => hanging(&self.dir),
            false => None,
        };
        let done = match hangs {
            Some(reason) => Err(reason),
            None => unless_it_hangs(&self.dir, reading).await,
        };
        match done {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(panicked)) => Err(PartitionError::ReadFailed {
                reason: panicked.to_string(),
            }),
            Err(reason) => Err(PartitionError::NotYet { reason }),
        }
    }
}
