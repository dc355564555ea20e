//! What everybody may know of a partition without asking its actor: published after every change, so that long polls
//! wait in their own task and never in the mailbox. Like a `tokio::sync::watch`, which has places for waiters that
//! take most of the room of a partition that nobody reads: there may be many thousand.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use broker_model::Offset;
use tokio::sync::Notify;

/// The offsets of a partition at one moment: `start ≤ high watermark ≤ end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartitionOffsets {
    /// The first offset that can still be read.
    pub(crate) start: Offset,
    /// Consumers read below it.
    pub(crate) high_watermark: Offset,
    /// The offset the next record gets.
    pub(crate) end: Offset,
}

/// Says what the offsets are; when it is dropped, nobody does any more.
pub(crate) struct OffsetsPublisher(Arc<Published>);

/// Tells what was published last.
#[derive(Clone)]
pub(crate) struct OffsetsReader(Arc<Published>);

/// Waits for what was not seen yet.
#[derive(Clone)]
pub(crate) struct OffsetsWatch {
    published: Arc<Published>,
    /// The number of the last change that was.
    seen: u64,
}

/// The publisher has gone: nothing changes any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PublisherGone;

struct Published {
    newest: Mutex<Newest>,
    changed: Notify,
}

struct Newest {
    offsets: PartitionOffsets,
    /// How many changes there were.
    change: u64,
    is_last: bool,
}

impl OffsetsPublisher {
    /// Begins with these.
    pub(crate) fn new(offsets: PartitionOffsets) -> Self {
        let newest = Newest {
            offsets,
            change: 0,
            is_last: false,
        };
        Self(Arc::new(Published {
            newest: Mutex::new(newest),
            changed: Notify::new(),
        }))
    }

    /// Tells others of it, and of these if they are news.
    pub(crate) fn publish(&self, offsets: PartitionOffsets) {
        {
            let mut newest = self.0.newest();
            if newest.offsets == offsets {
                return;
            }
            newest.offsets = offsets;
            newest.change += 1;
        }
        self.0.changed.notify_waiters();
    }

    pub(crate) fn reader(&self) -> OffsetsReader {
        OffsetsReader(Arc::clone(&self.0))
    }
}

impl Drop for OffsetsPublisher {
    fn drop(&mut self) {
        self.0.newest().is_last = true;
        self.0.changed.notify_waiters();
    }
}

impl OffsetsReader {
    /// The offsets now.
    pub(crate) fn offsets(&self) -> PartitionOffsets {
        self.0.newest().offsets
    }

    /// A watch of what comes after them.
    pub(crate) fn watch(&self) -> OffsetsWatch {
        OffsetsWatch {
            published: Arc::clone(&self.0),
            seen: self.0.newest().change,
        }
    }
}

impl OffsetsWatch {
    /// Waits until there is a change that was not seen, and sees it.
    ///
    /// # Errors
    /// When all were seen, and there will be no other.
    pub(crate) async fn changed(&mut self) -> Result<(), PublisherGone> {
        loop {
            // Before the look: it is woken by what comes after this, also before it waits.
            let changed = self.published.changed.notified();
            {
                let newest = self.published.newest();
                if newest.change != self.seen {
                    self.seen = newest.change;
                    return Ok(());
                }
                if newest.is_last {
                    return Err(PublisherGone);
                }
            }
            changed.await;
        }
    }
}

impl Published {
    fn newest(&self) -> MutexGuard<'_, Newest> {
        // Nothing panics while it is held.
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn ending_at(end: u64) -> PartitionOffsets {
        PartitionOffsets {
            end: Offset::new(end),
            ..PartitionOffsets::default()
        }
    }

    #[test]
    fn a_watch_sees_what_comes_after_it_once_however_many_changes_there_were() {
        let publisher = OffsetsPublisher::new(ending_at(1));
        let reader = publisher.reader();
        publisher.publish(ending_at(2));
        let mut watch = reader.watch();
        assert_eq!(watch.changed().now_or_never(), None, "that was before");
        publisher.publish(ending_at(2));
        assert_eq!(watch.changed().now_or_never(), None, "that is no change");
        publisher.publish(ending_at(3));
        publisher.publish(ending_at(4));
        assert_eq!(watch.changed().now_or_never(), Some(Ok(())));
        assert_eq!(watch.changed().now_or_never(), None);
        assert_eq!(reader.offsets(), ending_at(4));
    }

    #[test]
    fn the_last_change_is_seen_before_the_end() {
        let publisher = OffsetsPublisher::new(ending_at(0));
        let mut watch = publisher.reader().watch();
        publisher.publish(ending_at(1));
        drop(publisher);
        assert_eq!(watch.changed().now_or_never(), Some(Ok(())));
        assert_eq!(watch.changed().now_or_never(), Some(Err(PublisherGone)));
    }

    #[actix_rt::test]
    async fn everybody_who_waits_is_woken_by_a_change_and_by_the_end() {
        let publisher = OffsetsPublisher::new(ending_at(0));
        let waiting = || {
            let mut watch = publisher.reader().watch();
            actix_rt::spawn(async move { watch.changed().await })
        };
        let all = [waiting(), waiting()];
        tokio::task::yield_now().await;
        std::thread::scope(|scope| scope.spawn(|| publisher.publish(ending_at(1))).join())
            .expect("it is published");
        for one in all {
            assert_eq!(one.await.expect("it ends"), Ok(()));
        }
        let last = waiting();
        tokio::task::yield_now().await;
        drop(publisher);
        assert_eq!(last.await.expect("it ends"), Err(PublisherGone));
    }

    #[test]
    fn a_partition_that_nobody_reads_takes_little_for_it() {
        assert!(size_of::<Published>() <= 96);
    }
}
