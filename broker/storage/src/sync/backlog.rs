//! `Backlog`: partitions whose acknowledgements wait for the syncs of their directory although their topics
//! ask for none, because those take longer than `flush.ms` allows. Told once an episode, and not more than
//! once a minute.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Episodes that begin sooner after one that was told are counted and not told.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// What became of the directory's backlog so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncBacklog {
    /// Partitions whose acknowledgements wait now.
    pub partitions: usize,
    /// Times that it began, with the first of the partitions, since the directory was opened.
    pub episodes: u64,
}

/// The backlog of one directory.
pub(crate) struct Backlog {
    dir: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    seen: SyncBacklog,
    began: Duration,
    told: Option<Duration>,
}

/// A partition that is part of the backlog until this is dropped.
pub struct BehindSyncs {
    backlog: Arc<Backlog>,
}

impl Backlog {
    pub(crate) fn new(dir: &Path) -> Arc<Self> {
        Arc::new(Self {
            dir: dir.to_owned(),
            state: Mutex::default(),
        })
    }

    /// A partition fell behind; `now` is monotonic.
    pub(crate) fn join(self: &Arc<Self>, now: Duration) -> BehindSyncs {
        let mut state = self.lock();
        state.seen.partitions += 1;
        if state.seen.partitions == 1 {
            state.seen.episodes += 1;
            state.began = now;
            let is_due = |told: Duration| now.saturating_sub(told) >= TELL_EVERY;
            if state.told.is_none_or(is_due) {
                state.told = Some(now);
                let (dir, episodes) = (self.dir.display(), state.seen.episodes);
                tracing::warn!(%dir, episodes, "the disk syncs more slowly than flush.ms allows: acknowledgements under flush.mode = async wait for syncs until it keeps up again");
            }
        }
        BehindSyncs {
            backlog: Arc::clone(self),
        }
    }

    /// How it stands.
    pub(crate) fn seen(&self) -> SyncBacklog {
        self.lock().seen
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for BehindSyncs {
    fn drop(&mut self) {
        let mut state = self.backlog.lock();
        state.seen.partitions -= 1;
        if state.seen.partitions == 0 && state.told == Some(state.began) {
            let (dir, episodes) = (self.backlog.dir.display(), state.seen.episodes);
            tracing::info!(%dir, episodes, "the disk keeps up with flush.ms again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_episode_begins_with_the_first_partition_and_ends_with_the_last() {
        let backlog = Backlog::new(Path::new("/data"));
        let seen = |partitions, episodes| SyncBacklog {
            partitions,
            episodes,
        };
        let first = backlog.join(Duration::from_secs(1));
        let second = backlog.join(Duration::from_secs(2));
        assert_eq!(backlog.seen(), seen(2, 1));
        drop(first);
        assert_eq!(backlog.seen(), seen(1, 1));
        drop(second);
        let again = backlog.join(Duration::from_secs(3));
        assert_eq!(backlog.seen(), seen(1, 2));
        assert_eq!(
            backlog.lock().told,
            Some(Duration::from_secs(1)),
            "told once a minute"
        );
        drop(again);
        let _later = backlog.join(Duration::from_secs(62));
        assert_eq!(backlog.lock().told, Some(Duration::from_secs(62)));
    }
}
