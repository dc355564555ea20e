//! What a fetch of several partitions waits for: counted in bells and in turns of others, not measured.

use broker_model::Offset;
use broker_model::limits::FETCH_WAIT_MAX;
use futures::FutureExt;

use super::*;
use crate::partition::{OffsetsPublisher, PartitionOffsets};
use crate::turn::count_turns;

/// A partition that only grows.
struct Growing {
    publisher: OffsetsPublisher,
    end: u64,
}

impl Growing {
    fn new() -> Self {
        Self {
            publisher: OffsetsPublisher::new(PartitionOffsets::default(), 0),
            end: 0,
        }
    }

    fn watch(&self) -> Option<Watch> {
        Some(Watch {
            offsets: self.publisher.reader().watch(),
            grown: Some(0),
        })
    }

    fn grows(&mut self, bytes: u64) {
        self.end += 1;
        let offsets = PartitionOffsets {
            start: Offset::ZERO,
            high_watermark: Offset::new(self.end),
            end: Offset::new(self.end),
        };
        self.publisher.publish(offsets, bytes);
    }
}

fn rings(bell: &Bell) -> bool {
    bell.notified().now_or_never().is_some()
}

fn looks_again(together: &Together) -> bool {
    matches!(together, Together::LookAgain)
}

#[actix_rt::test]
async fn waiting_for_very_many_partitions_begins_and_ends_in_passes() {
    let mut partition = Growing::new();
    let mut watches = Watches((0..10_000).map(|_| partition.watch()).collect());
    let bell = Bell::default();
    let (turns, others) = count_turns();
    assert!(!looks_again(&watches.begin(1, &bell).await));
    assert!(turns.get() >= 20, "others had {} turns", turns.get());
    partition.grows(1);
    assert!(rings(&bell), "all of them are watched");
    turns.set(0);
    watches.let_go().await;
    others.abort();
    assert!(turns.get() >= 20, "others had {} turns", turns.get());
}

#[actix_rt::test]
async fn a_change_before_a_wait_begins_is_seen() {
    let mut partition = Growing::new();
    let mut watches = Watches((0..100).map(|_| partition.watch()).collect());
    partition.grows(1);
    assert!(looks_again(&watches.begin(1, &Bell::default()).await));
}

#[actix_rt::test]
async fn what_comes_to_several_partitions_is_added_up() {
    let mut partitions = [Growing::new(), Growing::new(), Growing::new()];
    let mut watches = Watches(partitions.iter().map(Growing::watch).collect());
    let (bell, missing) = (Bell::default(), 1_000);
    let (mut grown, mut rung) = (0, 0);
    loop {
        let together = watches.begin(missing, &bell).await;
        assert_eq!(looks_again(&together), grown >= missing, "{grown} bytes");
        if looks_again(&together) {
            break;
        }
        while !rings(&bell) {
            assert!(grown < missing, "it was not rung");
            let at = usize::try_from(grown % 3).expect("it is small");
            partitions[at].grows(1);
            grown += 1;
        }
        rung += 1;
    }
    assert!(rung <= 30, "it was rung {rung} times");
}

#[actix_rt::test]
async fn one_partition_is_told_of_once_however_many_appends_it_takes() {
    let mut partitions = [Growing::new(), Growing::new()];
    let mut watches = Watches(partitions.iter().map(Growing::watch).collect());
    // The first is full: what comes to it is of no use to this fetch.
    if let Some(watch) = &mut watches.0[0] {
        watch.grown = None;
    }
    let bell = Bell::default();
    assert!(!looks_again(&watches.begin(1_000, &bell).await));
    for _ in 0..999 {
        partitions[0].grows(1_000);
        partitions[1].grows(1);
        assert!(!rings(&bell), "that is not enough");
    }
    partitions[1].grows(1);
    assert!(rings(&bell));
    assert!(looks_again(&watches.begin(1_000, &bell).await));
}

#[actix_rt::test]
async fn a_partition_whose_actor_ends_is_looked_up_again_soon() {
    let (kept, ended) = (Growing::new(), Growing::new());
    let mut watches = Watches(vec![kept.watch(), ended.watch()]);
    let bell = Bell::default();
    let begun = watches.begin(1, &bell).await;
    assert!(matches!(begun, Together::Wait { unwatched: 0 }));
    drop(ended);
    assert!(rings(&bell));
    let begun = watches.begin(1, &bell).await;
    assert!(matches!(begun, Together::Wait { unwatched: 1 }));
    assert!(!rings(&bell), "it is known");
    kept.publisher.note_upheaval();
    assert!(rings(&bell));
    assert!(looks_again(&watches.begin(1, &bell).await));
}

#[test]
fn partitions_that_cannot_be_watched_are_looked_up_again_soon() {
    let deadline = Instant::now() + FETCH_WAIT_MAX;
    assert_eq!(wait_until(deadline, 0), deadline);
    assert!(wait_until(deadline, 1) < deadline - FETCH_WAIT_MAX / 2);
    let soon = Instant::now();
    assert_eq!(wait_until(soon, 1), soon);
}
