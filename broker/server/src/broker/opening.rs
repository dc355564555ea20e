//! Opening logs, on blocking threads. Nothing that was begun is thrown away: who waits for a log does so for a
//! moment, for others wait behind, and one that takes longer goes to the broker actor when it is there. Of each
//! partition one opening is under way at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_model::{TopicId, TopicPartition};
use broker_storage::{LogDir, RecoveryReport};
use tokio::sync::oneshot;
use tracing::{debug, error, info, warn};

use super::hanging::{MOMENT, hanging, unless};
use super::hosting::{Assignment, Hosting};
use super::messages::LogOpened;
use crate::topic_settings::log_config;
use crate::topics::{HostedPartition, Outlook};

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

/// The logs that are being opened, or were and are on their way to the broker actor.
#[derive(Clone, Default)]
pub(crate) struct Openings(Arc<Mutex<HashMap<Key, Begun>>>);

impl Openings {
    /// `None` when it is under way already.
    fn begin(&self, key: Key, begun: Begun) -> Option<UnderWay> {
        let mut under_way = self.under_way();
        if under_way.contains_key(&key) {
            return None;
        }
        under_way.insert(key.clone(), begun);
        Some(UnderWay {
            openings: self.clone(),
            key,
        })
    }

    /// Whether one of this topic in this directory has been under way for more than a moment.
    fn take_long(&self, topic_id: TopicId, dir: usize, now: Duration) -> bool {
        let is_long = |(key, begun): (&Key, &Begun)| {
            key.1 == topic_id && begun.0 == dir && now.saturating_sub(begun.1) >= MOMENT
        };
        self.under_way().iter().any(is_long)
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Key, Begun>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Until it is dropped, no other opening of the partition is begun.
pub(super) struct UnderWay {
    openings: Openings,
    key: Key,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.openings.under_way().remove(&self.key);
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

    /// Begins to open a log, unless that is under way or its disk hangs. Nobody has to wait for it: where the
    /// receiver is dropped, the log goes to the broker actor.
    pub(super) fn begin_opening(
        self: &Arc<Self>,
        assignment: Assignment,
    ) -> Option<oneshot::Receiver<LogOpened>> {
        let key = (assignment.partition.clone(), assignment.topic_id);
        let dir = self.dirs.place(&key.0, key.1);
        if hanging(&dir).is_some() {
            return None;
        }
        let begun = (self.dirs.index_of(&key.0), self.now());
        let under_way = self.openings.begin(key, begun)?;
        let (sender, receiver) = oneshot::channel();
        let hosting = self.clone();
        actix_rt::spawn(async move {
            let place = hosting.dirs.place_at_work(&assignment.partition).await;
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
                hosting.handle().log_opened(opened);
            }
        });
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

    /// Puts a partition into service whose log nobody has waited for, if there still is one that waits for it.
    pub(super) fn host_late(self: &Arc<Self>, opened: LogOpened) {
        let partition = opened.assignment.partition.clone();
        let hosted = self.topics.get(partition.topic.as_str());
        let hosted = hosted.filter(|hosted| hosted.id == opened.assignment.topic_id);
        let waits = hosted
            .as_ref()
            .and_then(|hosted| Some((hosted, hosted.partition(partition.partition)?)));
        let Some((
            hosted,
            HostedPartition::Offline {
                reason: told,
                outlook: Outlook::Passing,
            },
        )) = waits.filter(|_| !self.is_stopping())
        else {
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
            HostedPartition::Offline { reason, .. } if reason == told => {
                debug!(%partition, reason, "still offline");
            }
            HostedPartition::Offline { reason, .. } => {
                error!(%partition, reason, "a partition is offline: its log cannot be opened");
            }
        }
        self.replace(&partition.topic, [(partition.partition, now)]);
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
