//! Opening logs, on blocking threads. Nothing that was begun is thrown away: who waits for a log does so for a
//! moment, for others wait behind, and one that takes longer is kept for the broker actor, or for the stop of its
//! directory. Of each partition one opening is under way at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_model::{TopicId, TopicPartition};
use broker_storage::{Log, LogDir, RecoveryReport};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinError;
use tracing::{debug, error, info, warn};

use super::hanging::{MOMENT, hanging, unless};
use super::hosting::{Assignment, Hosting};
use crate::not_opened::NotOpened;
use crate::topic_settings::log_config;
use crate::topics::{HostedPartition, HostedTopic, Outlook};

/// How long a log is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Until it is plain that its disk hangs.
    UntilItHangs,
    /// Until it, or another one of its topic in its directory, has taken a moment.
    AMoment,
}

type Key = (TopicPartition, TopicId);

/// The number of its directory, and since when on the monotonic clock.
type Begun = (usize, Duration);

/// The logs that are being opened, or were and are not in service yet.
#[derive(Clone, Default)]
pub(crate) struct Openings(Arc<Shared>);

#[derive(Default)]
struct Shared {
    under_way: Mutex<HashMap<Key, Begun>>,
    /// Those that are over, and that nobody has waited for to the end.
    late: Mutex<Vec<LogOpened>>,
    /// Told whenever one is over.
    ended: Notify,
}

/// What came of opening a log, which is under way until this is dropped.
pub(super) struct LogOpened {
    assignment: Assignment,
    dir: LogDir,
    outcome: Result<Result<(Log, RecoveryReport), NotOpened>, JoinError>,
    under_way: UnderWay,
}

impl Openings {
    /// `None` when it is under way already.
    fn begin(&self, key: Key, begun: Begun) -> Option<UnderWay> {
        let mut under_way = self.under_way();
        if under_way.contains_key(&key) {
            return None;
        }
        under_way.insert(key.clone(), begun);
        let (openings, dir) = (self.clone(), begun.0);
        Some(UnderWay { openings, key, dir })
    }

    fn keep(&self, late: LogOpened) {
        unpoisoned(&self.0.late).push(late);
        self.0.ended.notify_waiters();
    }

    /// Takes what was kept, of every directory.
    fn take_late(&self) -> Vec<LogOpened> {
        std::mem::take(&mut *unpoisoned(&self.0.late))
    }

    /// Takes one that was kept of this directory, and waits for it if need be; `None` when none is under way.
    async fn next_in(&self, dir: usize) -> Option<LogOpened> {
        loop {
            let ended = self.0.ended.notified();
            {
                let mut late = unpoisoned(&self.0.late);
                let found = late.iter().position(|opened| opened.under_way.dir == dir);
                if let Some(found) = found {
                    return Some(late.swap_remove(found));
                }
            }
            if self.under_way().values().all(|begun| begun.0 != dir) {
                return None;
            }
            ended.await;
        }
    }

    /// Whether one of this topic in this directory has been under way for more than a moment.
    fn take_long(&self, topic_id: TopicId, dir: usize, now: Duration) -> bool {
        let is_long = |(key, begun): (&Key, &Begun)| {
            key.1 == topic_id && begun.0 == dir && now.saturating_sub(begun.1) >= MOMENT
        };
        self.under_way().iter().any(is_long)
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Key, Begun>> {
        unpoisoned(&self.0.under_way)
    }
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Until it is dropped, no other opening of the partition is begun.
struct UnderWay {
    openings: Openings,
    key: Key,
    /// The number of its directory.
    dir: usize,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.openings.under_way().remove(&self.key);
        self.openings.0.ended.notify_waiters();
    }
}

impl Hosting {
    /// Opens a partition's log and starts its actor. When that fails, whoever puts the answer into `Topics`
    /// tells it.
    pub(super) async fn start_partition(
        self: &Arc<Self>,
        assignment: Assignment,
        patience: Patience,
    ) -> HostedPartition {
        let (partition, topic_id) = (assignment.partition.clone(), assignment.topic_id);
        let dir = self.dirs.place(&partition, topic_id);
        let number = self.dirs.index_of(&partition);
        let is_over = || {
            let takes_long = || self.openings.take_long(topic_id, number, self.now());
            hanging(&dir).is_some() || patience == Patience::AMoment && takes_long()
        };
        let goes_on = HostedPartition::Offline {
            reason: goes_on(&dir),
            outlook: Outlook::Passing,
        };
        let is_over_before = is_over();
        let Some(mut opening) = self.begin_opening(assignment) else {
            return goes_on;
        };
        if is_over_before {
            return goes_on;
        }
        let opened = match unless(|| is_over().then_some(()), &mut opening).await {
            Ok(opened) => opened.ok(),
            Err(()) => {
                opening.close();
                opening.try_recv().ok()
            }
        };
        opened.map_or(goes_on, |opened| self.host_opened(opened))
    }

    /// Begins to open a log, unless that is under way, its disk hangs or the broker stops. Nobody has to wait for
    /// it: where the receiver is dropped, the log is kept, and the broker actor told.
    pub(super) fn begin_opening(
        self: &Arc<Self>,
        assignment: Assignment,
    ) -> Option<oneshot::Receiver<LogOpened>> {
        let key = (assignment.partition.clone(), assignment.topic_id);
        let dir = self.dirs.place(&key.0, key.1);
        if self.is_stopping() || hanging(&dir).is_some() {
            return None;
        }
        let begun = (self.dirs.index_of(&key.0), self.now());
        let under_way = self.openings.begin(key, begun)?;
        let (sender, receiver) = oneshot::channel();
        let hosting = self.clone();
        // In a box, for tasks have places of their own alignment: those of many large ones are holes when they are over.
        actix_rt::spawn(Box::pin(async move {
            let place = hosting.dirs.place_at_work(&assignment.partition).await;
            if hosting.is_stopping() {
                return;
            }
            let (dirs, to_open, wanted) = (hosting.dirs.clone(), dir.clone(), assignment.clone());
            let opening = actix_rt::task::spawn_blocking(move || {
                let _place = place;
                let config = log_config(&wanted.settings.config);
                dirs.open_log(&to_open, &wanted.partition, wanted.topic_id, config)
            });
            let outcome = opening.await;
            let opened = LogOpened {
                assignment,
                dir,
                outcome,
                under_way,
            };
            if let Err(opened) = sender.send(opened) {
                hosting.openings.keep(opened);
                hosting.handle().logs_are_late();
            }
        }));
        Some(receiver)
    }

    /// What becomes of a partition whose log was opened, or was not.
    fn host_opened(self: &Arc<Self>, opened: LogOpened) -> HostedPartition {
        let LogOpened {
            assignment,
            dir,
            outcome,
            under_way: _ended,
        } = opened;
        let (reason, outlook) = match outcome {
            Ok(Ok((log, report))) => {
                log_recovery(&assignment.partition, &dir, &report);
                return HostedPartition::Online(self.start_actor(assignment, log));
            }
            Ok(Err(problem)) if problem.is_passing() => (problem.to_string(), Outlook::Passing),
            Ok(Err(problem)) => (problem.to_string(), Outlook::Lasting),
            Err(panicked) => (panicked.to_string(), Outlook::Lasting),
        };
        HostedPartition::Offline { reason, outlook }
    }

    /// Puts the partitions into service whose logs nobody has waited for, as far as they still wait for them.
    pub(super) fn host_late(self: &Arc<Self>) {
        if self.is_stopping() {
            return;
        }
        for opened in self.openings.take_late() {
            self.host_late_one(opened);
        }
    }

    fn host_late_one(self: &Arc<Self>, opened: LogOpened) {
        let partition = opened.assignment.partition.clone();
        let Some((hosted, told)) = self.waiting_for(&opened) else {
            debug!(%partition, "a log was opened that nobody waits for any more");
            // What is left of it may be removed with it, for which a disk may take long.
            actix_rt::task::spawn_blocking(move || drop(opened));
            return;
        };
        let now = self.host_opened(opened);
        match &now {
            HostedPartition::Online(handle) => {
                // It was begun with what applied then.
                handle.configure(hosted.settings());
                info!(%partition, "a partition that was offline is open");
            }
            HostedPartition::Offline { reason, .. } if *reason == told => {
                debug!(%partition, reason, "still offline");
            }
            HostedPartition::Offline { reason, .. } => {
                error!(%partition, reason, "a partition is offline: its log cannot be opened");
            }
        }
        self.replace(&partition.topic, [(partition.partition, now)]);
    }

    /// The topic that waits for a log, and why it was told that it has to.
    fn waiting_for(&self, opened: &LogOpened) -> Option<(Arc<HostedTopic>, String)> {
        let Assignment {
            partition,
            topic_id,
            ..
        } = &opened.assignment;
        let hosted = self.topics.get(partition.topic.as_str());
        let hosted = hosted.filter(|hosted| hosted.id == *topic_id)?;
        match hosted.partition(partition.partition)? {
            HostedPartition::Offline {
                reason,
                outlook: Outlook::Passing,
            } => {
                let told = reason.clone();
                Some((hosted, told))
            }
            _ => None,
        }
    }

    /// Closes the logs of a directory that are opened while the broker stops, each when it is; nothing more is
    /// begun then. Until it is over, the directory is not cleanly stopped.
    pub(super) async fn close_late(&self, dir: usize) {
        while let Some(opened) = self.openings.next_in(dir).await {
            let is_wanted = self.waiting_for(&opened).is_some();
            let closing = actix_rt::task::spawn_blocking(move || opened.close(is_wanted));
            if let Err(panicked) = closing.await {
                error!(%panicked, "a log that was opened late is not closed");
            }
        }
    }
}

impl LogOpened {
    /// Ends it. A log that is still wanted is left as a clean stop leaves it.
    fn close(self, is_wanted: bool) {
        let partition = self.assignment.partition.clone();
        if let (Ok(Ok((log, report))), true) = (self.outcome, is_wanted) {
            log_recovery(&partition, &self.dir, &report);
            if let Err(problem) = log.close() {
                error!(%partition, %problem, "a log that was opened late is not closed: the next start recovers it");
            }
        }
    }
}

/// Why a partition is offline whose log was not waited for.
fn goes_on(dir: &LogDir) -> String {
    hanging(dir).unwrap_or_else(|| {
        let dir = dir.path().display();
        format!("the disk of log directory {dir} takes long to answer: the log is opened by and by")
    })
}

/// Says what opening a log has found, as loudly as it deserves.
fn log_recovery(partition: &TopicPartition, dir: &LogDir, report: &RecoveryReport) {
    if let Some(torn) = &report.torn {
        let (file, bytes, end) = (torn.file.display(), torn.bytes, torn.offset);
        warn!(%partition, %file, bytes, %end, "an unfinished write at the end of the log was cut off");
    }
    let (dir, scanned_bytes) = (dir.path().display(), report.scanned_bytes);
    debug!(%partition, %dir, scanned_bytes, last_stop = ?report.last_stop, "log opened");
}

#[cfg(test)]
mod tests {
    use broker_model::{PartitionId, TopicName};

    use super::*;

    fn key(topic_id: TopicId, number: u32) -> Key {
        let name = TopicName::new("t").expect("a name");
        (
            TopicPartition::new(name, PartitionId::new(number)),
            topic_id,
        )
    }

    #[test]
    fn no_second_opening_is_begun_until_the_first_is_over() {
        let (openings, id) = (Openings::default(), TopicId::random());
        let begun = (0, Duration::ZERO);
        let first = openings.begin(key(id, 0), begun).expect("the first");
        assert!(openings.begin(key(id, 0), begun).is_none());
        assert!(openings.begin(key(id, 1), begun).is_some());
        let recreated = openings.begin(key(TopicId::random(), 0), begun);
        assert!(recreated.is_some());
        drop(first);
        assert!(openings.begin(key(id, 0), begun).is_some());
    }

    #[test]
    fn only_what_takes_long_in_the_same_directory_and_topic_counts() {
        let (openings, id) = (Openings::default(), TopicId::random());
        let _opening = openings.begin(key(id, 0), (1, Duration::from_secs(9)));
        let soon = Duration::from_secs(9) + MOMENT / 2;
        let late = Duration::from_secs(9) + MOMENT;
        assert!(!openings.take_long(id, 1, soon));
        assert!(openings.take_long(id, 1, late));
        assert!(!openings.take_long(id, 0, late));
        assert!(!openings.take_long(TopicId::random(), 1, late));
    }
}
