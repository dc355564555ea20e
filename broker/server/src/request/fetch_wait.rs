//! What a fetch waits for that cannot be answered yet: until as many bytes may have come as are missing, whichever of
//! its partitions they come to, or something else has become of one of them. What cannot be enough wakes nobody and
//! asks no partition: of those that are missing each partition has an equal share, and only who gets that far tells.

use std::pin::pin;
use std::time::Duration;

use broker_protocol::api::fetch::{FetchPartition, FetchRequest};
use tokio::time::Instant;

use super::fetch::Fetch;
use super::fetch_partition::Located;
use super::lookup;
use crate::connection::Asker;
use crate::context::Context;
use crate::net::lane::Stint;
use crate::partition::{Bell, OffsetsWatch, Since};

/// How soon a partition is looked up again whose actor has ended.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// So many partitions to watch are as much work as a small request.
const WATCHED_AT_ONCE: usize = 16;

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    ByChange,
    ByTime,
    /// Nothing more is read from the client: it has closed its sending side, or the broker stops.
    ByEnd,
    NobodyAsks,
}

/// A watch on every partition asked for, none on one that was offline just then.
#[derive(Default)]
pub(super) struct Watches(Vec<Option<Watch>>);

struct Watch {
    offsets: OffsetsWatch,
    /// Bytes by which it is known to have grown; none if growth is of no use.
    grown: Option<u64>,
}

/// What is known of all of them together.
enum Together {
    /// They are to be located again.
    LookAgain,
    /// They wait; so many are not watched.
    Wait { unwatched: usize },
}

impl Watches {
    /// Taken before reading, so that nothing falls in between.
    pub(super) async fn on(context: &Context, request: &FetchRequest) -> Self {
        let mut watches = Vec::with_capacity(request.partitions.len());
        // Very many are watched in passes between which others run.
        let stint = Stint::of_task();
        for some in request.partitions.chunks(WATCHED_AT_ONCE) {
            let watching = async {
                watches.extend(some.iter().map(|wanted| watch(context, wanted)));
            };
            stint.take_in(pin!(watching)).await;
        }
        Self(watches)
    }

    /// Waits for what is missing of what was found just now.
    pub(super) fn counting_from(mut self, located: &[Located]) -> Self {
        for (watch, located) in self.0.iter_mut().zip(located) {
            if let Some(watch) = watch
                && !located.may_grow()
            {
                watch.grown = None;
            }
        }
        self
    }

    /// Waits until so many bytes more may have come or something else has become of a partition, time is up, or
    /// the client has gone or may have.
    pub(super) async fn wait(
        mut self,
        fetch: &Fetch,
        missing: u64,
        deadline: Instant,
        asker: &Asker,
    ) -> Woken {
        let bell = Bell::default();
        let woken = loop {
            let Together::Wait { unwatched } = self.begin(missing, &bell).await else {
                break Woken::ByChange;
            };
            let until = wait_until(deadline, unwatched);
            tokio::select! {
                () = bell.notified() => {}
                () = tokio::time::sleep_until(until) => break match until < deadline {
                    true => Woken::ByChange,
                    false => Woken::ByTime,
                },
                () = fetch.fetches.input_ended() => break Woken::ByEnd,
                () = asker.gone() => break Woken::NobodyAsks,
            }
        };
        self.let_go().await;
        woken
    }

    /// Has the bell rung when what is missing may have come, and before that at times, so that it is known.
    async fn begin(&mut self, missing: u64, bell: &Bell) -> Together {
        let stint = Stint::of_task();
        let (mut grown, mut growing, mut unwatched) = (0_u64, 0_u64, 0);
        for some in self.0.chunks_mut(WATCHED_AT_ONCE) {
            let counting = async {
                for watch in some {
                    let since = watch.as_ref().map(|watch| watch.offsets.since());
                    match (watch, since) {
                        (_, Some(Since::Upheaval)) => return true,
                        (Some(watch), Some(Since::Grown(bytes))) => {
                            if let Some(known) = &mut watch.grown {
                                *known = bytes;
                                grown = grown.saturating_add(bytes);
                                growing += 1;
                            }
                        }
                        (gone, _) => {
                            *gone = None;
                            unwatched += 1;
                        }
                    }
                }
                false
            };
            if stint.take_in(pin!(counting)).await || grown >= missing {
                return Together::LookAgain;
            }
        }
        // Whatever comes, as long as each gets less than that it is too little.
        let share = (missing - grown).div_ceil(growing.max(1));
        for some in self.0.chunks_mut(WATCHED_AT_ONCE) {
            let setting = async {
                for watch in some.iter_mut().flatten() {
                    let at = watch
                        .grown
                        .map_or(u64::MAX, |known| known.saturating_add(share));
                    watch.offsets.ring_at(at, bell);
                }
            };
            stint.take_in(pin!(setting)).await;
        }
        Together::Wait { unwatched }
    }

    /// Very many are let go in passes between which others run.
    async fn let_go(&mut self) {
        let stint = Stint::of_task();
        while !self.0.is_empty() {
            let letting_go = async {
                let left = self.0.len().saturating_sub(WATCHED_AT_ONCE);
                self.0.truncate(left);
            };
            stint.take_in(pin!(letting_go)).await;
        }
    }
}

fn watch(context: &Context, wanted: &FetchPartition) -> Option<Watch> {
    let topic = lookup::topic(context, &wanted.topic, wanted.topic_id).ok()?;
    let handle = lookup::partition(&topic, wanted.partition).ok()?;
    Some(Watch {
        offsets: handle.watch_offsets(),
        grown: Some(0),
    })
}

/// One that is not watched, because it was offline just then or its actor has ended, is looked up again after a moment,
/// when it may have been started again.
fn wait_until(deadline: Instant, unwatched: usize) -> Instant {
    match unwatched {
        0 => deadline,
        _ => deadline.min(Instant::now() + LOOK_AGAIN_AFTER),
    }
}

#[cfg(test)]
#[path = "fetch_wait_tests.rs"]
mod tests;
