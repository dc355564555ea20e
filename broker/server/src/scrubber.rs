//! `Scrubber`: reads all records again and again, the metadata log and the modules of plugins, to find damage before
//! a reader or the next start meets it. One log of each directory at a time, on a blocking thread, at
//! `log.scrub.bytes.per.second` at most. What it finds a log refuses to readers from then on; the controller
//! takes no more changes.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use arc_swap::ArcSwap;
use broker_cluster::ClusterMetadata;
use broker_model::{Clock, PartitionId, TopicPartition};
use broker_storage::{LogDir, Pace, ScrubFailed, ScrubFound, ScrubTarget, Scrubbed, Throttle};
use tracing::{debug, error, warn};

use crate::controller::{ControllerHandle, MetadataLog};
use crate::partition::PartitionHandle;
use crate::plugins::{Plugins, needed_modules};
use crate::topics::{HostedPartition, Topics};

/// Under `log.scrub.enabled = auto`, scrubbing is on from so many bytes of data on.
pub(crate) const AUTO_BYTES_MIN: u64 = 1 << 30;
/// How long after the start the first round begins, at most.
const FIRST_ROUND_AFTER_MAX: Duration = Duration::from_secs(3600);

/// How a broker scrubs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScrubSettings {
    /// `None` for when there is enough data.
    pub(crate) enabled: Option<bool>,
    pub(crate) auto_bytes_min: u64,
    pub(crate) bytes_per_second: Option<u64>,
    pub(crate) interval: Duration,
}

/// What a broker stores, by who answers for it.
pub(crate) struct Stored {
    pub(crate) topics: Arc<Topics>,
    pub(crate) controller: ControllerHandle,
    /// The number of the directory that the metadata log is in.
    pub(crate) metadata_in: usize,
    pub(crate) metadata: Arc<ArcSwap<ClusterMetadata>>,
    /// Their modules are in the first directory.
    pub(crate) plugins: Arc<Plugins>,
}

/// The broker's scrubber.
pub(crate) struct Scrubber {
    stored: Stored,
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

/// Who has the log of a partition.
#[derive(Clone)]
enum Owner {
    Partition(PartitionHandle),
    Controller(ControllerHandle),
}

impl Owner {
    async fn scrub_targets(&self) -> Option<Vec<ScrubTarget>> {
        match self {
            Self::Partition(handle) => handle.scrub_targets().await.ok(),
            Self::Controller(handle) => handle.scrub_targets().await.ok(),
        }
    }

    async fn finish_scrub(&self, scrubbed: Scrubbed) -> Option<ScrubFound> {
        match self {
            Self::Partition(handle) => handle.finish_scrub(scrubbed).await.ok(),
            Self::Controller(handle) => handle.finish_scrub(scrubbed).await.ok(),
        }
    }
}

/// What a round has come across.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    partitions: u64,
    modules: u64,
    bytes: u64,
    damages: usize,
}

impl Scrubber {
    /// A scrubber whose first round is still to come.
    pub(crate) fn new(
        stored: Stored,
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
            stored,
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
        let lanes = self.lanes.iter().enumerate();
        let each = lanes.map(|(number, lane)| self.round(number, lane, &partitions));
        futures::future::join_all(each).await;
    }

    /// Reads the modules of plugins and no more: at every start, whether anything is scrubbed later or not.
    pub(crate) async fn look_at_modules(&self) {
        if let Some(lane) = self.lanes.first() {
            let _scrubbing = lane.busy.lock().await;
            self.modules(&mut Tally::default()).await;
        }
    }

    /// Ends what is under way, and waits until it has ended.
    pub(crate) async fn stop(&self) {
        self.pace.cancel();
        let ended = self.lanes.iter().map(|lane| lane.busy.lock());
        futures::future::join_all(ended).await;
    }

    async fn round(
        &self,
        number: usize,
        lane: &Lane,
        partitions: &[(TopicPartition, PartitionHandle)],
    ) {
        let Ok(_scrubbing) = lane.busy.try_lock() else {
            return;
        };
        let mut logs = Vec::new();
        if number == self.stored.metadata_in {
            let controller = self.stored.controller.clone();
            logs.push((MetadataLog::partition(), Owner::Controller(controller)));
        }
        let here = |(_, handle): &&(_, PartitionHandle)| handle.dir().path() == lane.dir.path();
        for (partition, handle) in partitions.iter().filter(here) {
            logs.push((partition.clone(), Owner::Partition(handle.clone())));
        }
        let mut tally = Tally::default();
        for (partition, owner) in &logs {
            if self.pace.is_cancelled() || lane.dir.hangs() {
                return;
            }
            self.log(partition, owner, &mut tally).await;
        }
        if number == 0 {
            self.modules(&mut tally).await;
        }
        let Tally {
            partitions,
            modules,
            bytes,
            damages,
        } = tally;
        let dir = lane.dir.path().display();
        match damages {
            0 => debug!(%dir, partitions, modules, bytes, "scrub: all that is stored is sound"),
            _ => warn!(
                %dir,
                partitions,
                modules,
                bytes, damages, "scrub: some of what is stored is damaged"
            ),
        }
    }

    /// All modules that somebody may ask for.
    async fn modules(&self, tally: &mut Tally) {
        let needed = needed_modules(&self.stored.metadata.load());
        for digest in needed.into_keys() {
            if self.pace.is_cancelled() || self.lanes.iter().take(1).any(|lane| lane.dir.hangs()) {
                return;
            }
            let (plugins, pace) = (self.stored.plugins.clone(), self.pace.clone());
            let clock = self.clock.clone();
            let checking = actix_rt::task::spawn_blocking(move || {
                let checked = plugins.check_kept(&digest);
                if let Ok((bytes, _)) = checked {
                    pace.read(bytes, &*clock);
                }
                checked.map_err(|problem| error!(digest, %problem, "scrub: the kept module of a plugin cannot be read, or not be written anew"))
            });
            if let Ok(Ok((bytes, is_sound))) = checking.await {
                tally.modules += 1;
                tally.bytes += bytes;
                tally.damages += usize::from(!is_sound);
            }
        }
    }

    async fn log(&self, partition: &TopicPartition, owner: &Owner, tally: &mut Tally) {
        let Some(targets) = owner.scrub_targets().await else {
            return;
        };
        tally.partitions += 1;
        for target in targets {
            let Some(scrubbed) = self.segment(partition, target).await else {
                return;
            };
            tally.bytes += scrubbed.bytes();
            let Some(found) = owner.finish_scrub(scrubbed).await else {
                return;
            };
            tally.damages += found.damages;
            for damage in &found.new {
                error!(%partition, %damage, "scrub: stored data is damaged; it is refused to readers");
            }
        }
    }

    /// Nothing when it was stopped or the file cannot be read.
    async fn segment(&self, partition: &TopicPartition, target: ScrubTarget) -> Option<Scrubbed> {
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
        let topics = self.stored.topics.all().clone();
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
            if bytes >= self.settings.auto_bytes_min {
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use broker_cluster::{Acks, Topic, TopicConfig, TopicDefaults};
    use broker_model::{SystemClock, Timestamp, TopicId, TopicName};
    use broker_record::ProducedBatch;

    use super::*;
    use crate::partition::tests::{Hosted, host};
    use crate::plugins::tests::shipped;
    use crate::reply::Reply;
    use crate::topics::HostedTopic;

    /// The one record is so long.
    const VALUE_BYTES: u32 = 512 * 1024;

    /// A scrubber for a partition with one record; a round is always due.
    async fn scrubber(settings: ScrubSettings) -> (Scrubber, Hosted) {
        let hosted = host(&[]);
        let head = [&[0x91, 0x92, 0xc0, 0xc6][..], &VALUE_BYTES.to_be_bytes()].concat();
        let records = [head, vec![7; VALUE_BYTES as usize]].concat();
        let batch = ProducedBatch::plain(records.into(), Timestamp::from_millis(1));
        let (reply, answer) = Reply::channel();
        let (acks, timeout) = (Acks::All, Duration::from_secs(60));
        let batch = batch.expect("a record");
        hosted.handle.append(batch, acks, timeout, reply);
        answer.await.expect("it is kept");
        let config = TopicConfig::resolve(&Default::default(), &TopicDefaults::default());
        let topics = Arc::new(Topics::default());
        let (id, name) = (TopicId::random(), TopicName::new("t").expect("a name"));
        topics.put([HostedTopic {
            name: name.clone(),
            id,
            metadata: Arc::new(Topic {
                id,
                name: name.clone(),
                partitions: Arc::default(),
                partition_counts: Vec::new(),
                config: Default::default(),
                bindings: Vec::new(),
                created_at: Timestamp::from_millis(1),
            }),
            config: Arc::new(config.expect("a config")),
            plugins: Arc::default(),
            faults: Arc::default(),
            partition_counts: Arc::new([1]),
            partitions: Arc::new([HostedPartition::Online(hosted.handle.clone())]),
            routed: Arc::default(),
        }]);
        let dir = hosted.handle.dir().clone();
        let stored = Stored {
            topics,
            controller: ControllerHandle::new(Arc::default(), 1),
            metadata_in: 0,
            metadata: Arc::default(),
            plugins: shipped(&dir),
        };
        let clock = Arc::new(SystemClock::new());
        (Scrubber::new(stored, clock, &[dir], settings), hosted)
    }

    fn settings() -> ScrubSettings {
        ScrubSettings {
            enabled: None,
            auto_bytes_min: 1,
            bytes_per_second: None,
            interval: Duration::ZERO,
        }
    }

    #[actix_rt::test]
    async fn what_is_stored_is_read_if_so_asked_or_left_alone_while_it_is_little() {
        let bytes = u64::from(VALUE_BYTES);
        for (enabled, auto_bytes_min, is_read) in [
            (None, bytes, true),
            (None, 2 * bytes, false),
            (Some(true), 2 * bytes, true),
            (Some(false), 0, false),
        ] {
            let (scrubber, _hosted) = scrubber(ScrubSettings {
                enabled,
                auto_bytes_min,
                ..settings()
            })
            .await;
            scrubber.round_if_due().await;
            let read = scrubber.pace.done();
            assert_eq!(
                read > bytes,
                is_read,
                "{enabled:?}, {auto_bytes_min}: {read}"
            );
        }
    }

    #[actix_rt::test]
    async fn a_round_takes_as_long_as_its_rate_says() {
        let (scrubber, _hosted) = scrubber(ScrubSettings {
            bytes_per_second: Some(1 << 20),
            ..settings()
        })
        .await;
        let began = Instant::now();
        scrubber.round_if_due().await;
        assert!(scrubber.pace.done() > u64::from(VALUE_BYTES));
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(500), "{took:?}");
    }
}
