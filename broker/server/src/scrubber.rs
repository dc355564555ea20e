//! `Scrubber`: reads all stored data again and again, to find damage before a reader meets it. One
//! partition of each log directory at a time, on a blocking thread, at `log.scrub.bytes.per.second` at most. What it finds the
//! partition's log refuses to readers from then on; everything else is served as before.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use broker_model::{Clock, PartitionId, TopicPartition};
use broker_storage::{LogDir, Pace, ScrubFailed, ScrubTarget, Throttle};
use tracing::{debug, error, warn};

use crate::partition::PartitionHandle;
use crate::topics::{HostedPartition, Topics};

/// Under `log.scrub.enabled = auto`, scrubbing is on from so many bytes of data on.
const AUTO_BYTES_MIN: u64 = 1 << 30;
/// How long after the start the first round begins, at most.
const FIRST_ROUND_AFTER_MAX: Duration = Duration::from_secs(3600);

/// How a broker scrubs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScrubSettings {
    /// `None` for when there is enough data.
    pub(crate) enabled: Option<bool>,
    pub(crate) bytes_per_second: Option<u64>,
    pub(crate) interval: Duration,
}

/// The broker's scrubber.
pub(crate) struct Scrubber {
    topics: Arc<Topics>,
    clock: Arc<dyn Clock>,
    settings: ScrubSettings,
    pace: Arc<Pace>,
    /// When, on the monotonic clock, the next round begins.
    next_round: Mutex<Duration>,
    lanes: Vec<Lane>,
}

/// A log directory, as far as the scrubber has to do with it.
struct Lane {
    dir: LogDir,
    /// One round at a time.
    busy: tokio::sync::Mutex<()>,
}

/// What a round has come across.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    partitions: u64,
    bytes: u64,
    damages: usize,
}

impl Scrubber {
    /// A scrubber whose first round is still to come.
    pub(crate) fn new(
        topics: Arc<Topics>,
        clock: Arc<dyn Clock>,
        dirs: &[LogDir],
        settings: ScrubSettings,
    ) -> Self {
        let lanes = dirs.iter().map(|dir| Lane {
            dir: dir.clone(),
            busy: tokio::sync::Mutex::new(()),
        });
        let first = (settings.interval / 10).min(FIRST_ROUND_AFTER_MAX);
        let next_round = clock.monotonic().saturating_add(first);
        Self {
            topics,
            clock,
            settings,
            pace: Arc::new(Pace::new(Throttle::new(settings.bytes_per_second))),
            next_round: Mutex::new(next_round),
            lanes: lanes.collect(),
        }
    }

    /// How often to ask whether a round is due.
    pub(crate) fn look_every(&self) -> Duration {
        let tenth = self.settings.interval / 10;
        tenth.clamp(Duration::from_millis(10), Duration::from_secs(60))
    }

    /// Scrubs everything, if it is time, but for directories where an earlier round is under way.
    pub(crate) async fn round_if_due(&self) {
        if self.settings.enabled == Some(false) {
            return;
        }
        let now = self.clock.monotonic();
        {
            let mut next_round = self.next_round();
            if now < *next_round {
                return;
            }
            *next_round = now.saturating_add(self.settings.interval / 10);
        }
        let partitions = self.partitions();
        if self.settings.enabled.is_none() && !self.is_enough(&partitions).await {
            return;
        }
        *self.next_round() = now.saturating_add(self.settings.interval);
        let each = self.lanes.iter().map(|lane| self.round(lane, &partitions));
        futures::future::join_all(each).await;
    }

    /// Ends what is under way, and waits until it has ended.
    pub(crate) async fn stop(&self) {
        self.pace.cancel();
        let ended = self.lanes.iter().map(|lane| lane.busy.lock());
        futures::future::join_all(ended).await;
    }

    async fn round(&self, lane: &Lane, partitions: &[(TopicPartition, PartitionHandle)]) {
        let Ok(_scrubbing) = lane.busy.try_lock() else {
            return;
        };
        let mut tally = Tally::default();
        let here = |(_, handle): &&(_, PartitionHandle)| handle.dir().path() == lane.dir.path();
        for (partition, handle) in partitions.iter().filter(here) {
            if self.pace.is_cancelled() || lane.dir.hangs() {
                return;
            }
            self.partition(partition, handle, &mut tally).await;
        }
        let Tally {
            partitions,
            bytes,
            damages,
        } = tally;
        let dir = lane.dir.path().display();
        match damages {
            0 => debug!(%dir, partitions, bytes, "scrub: all that is stored is sound"),
            _ => warn!(
                %dir,
                partitions,
                bytes, damages, "scrub: some of what is stored is damaged"
            ),
        }
    }

    async fn partition(
        &self,
        partition: &TopicPartition,
        handle: &PartitionHandle,
        tally: &mut Tally,
    ) {
        let Ok(targets) = handle.scrub_targets().await else {
            return;
        };
        tally.partitions += 1;
        for target in targets {
            let Some(scrubbed) = self.segment(partition, target).await else {
                return;
            };
            tally.bytes += scrubbed.bytes();
            tally.damages += scrubbed.damages();
            let Ok(found) = handle.finish_scrub(scrubbed).await else {
                return;
            };
            for damage in &found {
                error!(%partition, %damage, "scrub: stored data is damaged; it is refused to readers, the rest of the partition is served");
            }
        }
    }

    /// Nothing when it was stopped or the file cannot be read.
    async fn segment(
        &self,
        partition: &TopicPartition,
        target: ScrubTarget,
    ) -> Option<broker_storage::Scrubbed> {
        let pace = self.pace.clone();
        let run = actix_rt::task::spawn_blocking(move || target.run(&pace));
        match run.await {
            Ok(Ok(scrubbed)) => Some(scrubbed),
            Ok(Err(ScrubFailed::Cancelled)) => None,
            Ok(Err(problem)) => {
                error!(%partition, %problem, "scrub: a segment cannot be read");
                None
            }
            Err(panicked) => {
                error!(%partition, %panicked, "scrub: reading a segment panicked");
                None
            }
        }
    }

    fn partitions(&self) -> Vec<(TopicPartition, PartitionHandle)> {
        let topics = self.topics.all().clone();
        let mut found = Vec::new();
        for topic in topics.values() {
            for (number, partition) in (0_u32..).zip(topic.partitions.iter()) {
                if let HostedPartition::Online(handle) = partition {
                    let name = TopicPartition::new(topic.name.clone(), PartitionId::new(number));
                    found.push((name, handle.clone()));
                }
            }
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        found
    }

    async fn is_enough(&self, partitions: &[(TopicPartition, PartitionHandle)]) -> bool {
        let mut bytes = 0_u64;
        for (_, handle) in partitions {
            if let Ok(summary) = handle.summarize().await {
                bytes = bytes.saturating_add(summary.size_bytes);
            }
            if bytes >= AUTO_BYTES_MIN {
                return true;
            }
        }
        false
    }

    fn next_round(&self) -> MutexGuard<'_, Duration> {
        self.next_round
            .lock()
            .expect("no code panics while it holds this lock")
    }
}
