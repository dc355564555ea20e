//! `Cleaner`: compaction in the background. Every `log.cleaner.backoff.ms` it asks the partitions of compacted
//! topics how dirty they are and cleans those that are due, dirtiest first, on blocking threads and at
//! `log.cleaner.io.max.bytes.per.second` at most. Each log directory has rounds of its own: a disk that hangs keeps
//! nothing but its own partitions from being cleaned. The mechanics are the log's, the choice of records the
//! topic's compaction plugin's; where that fails, the data is kept.

use std::sync::{Arc, Mutex, MutexGuard, Weak};

use broker_model::{Clock, PartitionId, TopicPartition};
use broker_storage::{
    CleaningFailed, CleaningOutcome, CleaningState, DueReason, LogDir, Pace, Throttle,
};
use futures::StreamExt;
use tokio::sync::Semaphore;
use tracing::{debug, info, warn};

use crate::broker::unless_it_hangs;
use crate::partition::{CleaningPurpose, PartitionHandle};
use crate::plugins::Plugins;
use crate::topic_settings::TopicSettings;
use crate::topics::{HostedPartition, Topics};

/// The broker's cleaner.
pub(crate) struct Cleaner {
    topics: Arc<Topics>,
    plugins: Arc<Plugins>,
    clock: Arc<dyn Clock>,
    throttle: Arc<Throttle>,
    threads: usize,
    /// As many cleanings as there may be at once; those that wait for a disk that hangs do not count.
    free: Semaphore,
    under_way: Mutex<UnderWay>,
    lanes: Vec<Lane>,
}

/// A log directory, as far as the cleaner has to do with it.
struct Lane {
    dir: LogDir,
    /// One round at a time.
    busy: tokio::sync::Mutex<()>,
}

/// The cleanings under way.
#[derive(Default)]
struct UnderWay {
    paces: Vec<Weak<Pace>>,
    stopped: bool,
}

/// A partition that is due.
struct Due {
    partition: TopicPartition,
    settings: Arc<TopicSettings>,
    handle: PartitionHandle,
    state: CleaningState,
}

impl Cleaner {
    /// A cleaner of so many partitions at once.
    pub(crate) fn new(
        topics: Arc<Topics>,
        plugins: Arc<Plugins>,
        clock: Arc<dyn Clock>,
        dirs: &[LogDir],
        (threads, bytes_per_second): (usize, Option<u64>),
    ) -> Self {
        let lanes = dirs.iter().map(|dir| Lane {
            dir: dir.clone(),
            busy: tokio::sync::Mutex::new(()),
        });
        Self {
            topics,
            plugins,
            clock,
            throttle: Throttle::new(bytes_per_second),
            threads,
            free: Semaphore::new(threads),
            under_way: Mutex::default(),
            lanes: lanes.collect(),
        }
    }

    /// Cleans everything that is due now. Does nothing in a directory where an earlier round is under way.
    pub(crate) async fn round(&self) {
        let each = self.lanes.iter().map(|lane| self.round_in(lane));
        futures::future::join_all(each).await;
    }

    async fn round_in(&self, lane: &Lane) {
        let Ok(_cleaning) = lane.busy.try_lock() else {
            return;
        };
        if lane.dir.hangs() {
            return;
        }
        let due = self.due(&lane.dir).await;
        let cleaning = futures::stream::iter(due).map(|due| self.clean(due));
        cleaning
            .buffer_unordered(self.threads)
            .for_each(|()| async {})
            .await;
    }

    /// Ends what is under way at the next batch, none of which takes effect, and waits until it has ended.
    pub(crate) async fn stop(&self) {
        {
            let mut under_way = self.under_way();
            under_way.stopped = true;
            let paces = under_way.paces.iter().filter_map(Weak::upgrade);
            paces.for_each(|pace| pace.cancel());
        }
        let ended = self.lanes.iter().map(|lane| lane.busy.lock());
        futures::future::join_all(ended).await;
    }

    /// The pace of a cleaning that begins now.
    fn begin(&self) -> Arc<Pace> {
        let pace = Arc::new(Pace::new(self.throttle.clone()));
        let mut under_way = self.under_way();
        if under_way.stopped {
            pace.cancel();
        }
        under_way.paces.retain(|pace| pace.strong_count() > 0);
        under_way.paces.push(Arc::downgrade(&pace));
        pace
    }

    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way
            .lock()
            .expect("no code panics while it holds this lock")
    }

    /// Of one directory.
    async fn due(&self, dir: &LogDir) -> Vec<Due> {
        let topics = self.topics.all().clone();
        let mut due = Vec::new();
        for topic in topics.values() {
            if !topic.config.cleanup_policy.compact {
                continue;
            }
            let settings = topic.settings();
            for (number, partition) in (0_u32..).zip(topic.partitions.iter()) {
                let HostedPartition::Online(handle) = partition else {
                    continue;
                };
                if handle.dir().path() != dir.path() {
                    continue;
                }
                let Ok(state) = handle.cleaning_state().await else {
                    continue;
                };
                if state.due.is_some() {
                    due.push(Due {
                        partition: TopicPartition::new(
                            topic.name.clone(),
                            PartitionId::new(number),
                        ),
                        settings: settings.clone(),
                        handle: handle.clone(),
                        state,
                    });
                }
            }
        }
        due.sort_by(|a, b| {
            let late = |due: &Due| due.state.due == Some(DueReason::MaxLag);
            let by_lag = late(b).cmp(&late(a));
            by_lag.then(b.state.ratio.total_cmp(&a.state.ratio))
        });
        due
    }

    async fn clean(&self, due: Due) {
        let (partition, fault) = (&due.partition, &due.settings.faults.compaction);
        let now = self.clock.now();
        let mut policy = match self.plugins.compaction(&due.settings, now) {
            Ok(policy) => policy,
            Err(error) => {
                fault.failed(partition, self.clock.monotonic(), &error);
                return;
            }
        };
        // It is there for as long as the cleaner is.
        let free = self.free.acquire().await.ok();
        // With another policy than the partition has by now it would count as clean for that one.
        let purpose = CleaningPurpose::Clean(due.settings.plugins.clone());
        let cleaning = match due.handle.begin_cleaning(purpose).await {
            Ok(Some(cleaning)) => cleaning,
            Ok(None) => return,
            Err(error) => {
                debug!(%partition, %error, "compaction is put off");
                return;
            }
        };
        let pace = self.begin();
        let mut run = actix_rt::task::spawn_blocking(move || cleaning.run(&mut policy, &pace));
        let done = unless_it_hangs(due.handle.dir(), &mut run).await;
        drop(free);
        let done = match done {
            Ok(done) => done,
            Err(_) => run.await,
        };
        let cleaned = match done {
            Ok(Ok(cleaned)) => {
                fault.worked(partition);
                cleaned
            }
            Ok(Err(CleaningFailed::Cancelled)) => return,
            Ok(Err(
                error @ (CleaningFailed::Policy(_)
                | CleaningFailed::TookTooLittle { .. }
                | CleaningFailed::FullInCleanPart { .. }),
            )) => {
                fault.failed(partition, self.clock.monotonic(), &error);
                return;
            }
            Ok(Err(error)) => {
                warn!(%partition, %error, "compaction failed, all records are kept");
                return;
            }
            Err(panicked) => {
                warn!(%partition, %panicked, "compaction panicked, all records are kept");
                return;
            }
        };
        match due.handle.finish_cleaning(cleaned).await {
            Ok(outcome) => tell(partition, &outcome),
            Err(error) => {
                warn!(%partition, %error, "the result of a compaction was not put in place")
            }
        }
    }
}

fn tell(partition: &TopicPartition, outcome: &CleaningOutcome) {
    let CleaningOutcome {
        bytes_before,
        bytes_after,
        records_before,
        records_removed,
        ..
    } = *outcome;
    let (to, took) = (outcome.cleaned_to, outcome.took);
    info!(
        %partition, records_before, records_removed, bytes_before, bytes_after, %to, ?took,
        "compaction replaced segments"
    );
}
