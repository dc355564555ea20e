//! What a watch counts, and when it rings: never too late, and by what cannot be enough only where nobody can know.

use super::*;

/// Up to a high watermark and an end.
fn offsets(high_watermark: u64, end: u64) -> PartitionOffsets {
    PartitionOffsets {
        start: Offset::ZERO,
        high_watermark: Offset::new(high_watermark),
        end: Offset::new(end),
    }
}

fn empty() -> OffsetsPublisher {
    OffsetsPublisher::new(offsets(0, 0), 0)
}

/// Whether it has rung since it was asked last.
fn rings(bell: &Bell) -> bool {
    use futures::FutureExt;
    bell.notified().now_or_never().is_some()
}

#[test]
fn a_watch_counts_what_comes_after_it() {
    let publisher = OffsetsPublisher::new(offsets(1, 1), 10);
    let reader = publisher.reader();
    publisher.publish(offsets(2, 2), 10);
    let watch = reader.watch();
    assert_eq!(watch.since(), Since::Grown(0), "that was before");
    publisher.publish(offsets(2, 2), 0);
    assert_eq!(watch.since(), Since::Grown(0), "that is no change");
    publisher.publish(offsets(3, 3), 10);
    publisher.publish(offsets(4, 4), 5);
    assert_eq!(watch.since(), Since::Grown(15));
    assert_eq!(reader.offsets(), offsets(4, 4));
}

#[test]
fn a_bell_rings_when_enough_has_come_and_not_before() {
    let publisher = empty();
    let mut watch = publisher.reader().watch();
    let bell = Bell::default();
    watch.ring_at(100, &bell);
    publisher.publish(offsets(1, 1), 60);
    assert!(!rings(&bell), "60 bytes are too little");
    publisher.publish(offsets(2, 2), 39);
    assert!(!rings(&bell), "and so are 99");
    publisher.publish(offsets(3, 3), 1);
    assert!(rings(&bell));
    watch.ring_at(100, &bell);
    assert!(rings(&bell), "it was reached already");
    watch.ring_at(u64::MAX, &bell);
    publisher.publish(offsets(4, 4), 1_000_000);
    assert!(!rings(&bell), "no growth is of use");
}

#[test]
fn what_is_not_below_the_high_watermark_does_not_count() {
    let publisher = empty();
    let mut watch = publisher.reader().watch();
    let bell = Bell::default();
    watch.ring_at(20, &bell);
    publisher.publish(offsets(0, 1), 10);
    // A sync of the first begins; what follows is for the next.
    publisher.publish(offsets(0, 2), 10);
    publisher.publish(offsets(0, 3), 10);
    assert_eq!(watch.since(), Since::Grown(0));
    publisher.publish(offsets(1, 3), 0);
    assert_eq!(watch.since(), Since::Grown(10));
    assert!(!rings(&bell), "one can be read");
    publisher.publish(offsets(3, 3), 0);
    assert_eq!(watch.since(), Since::Grown(30));
    assert!(rings(&bell));
}

#[test]
fn what_was_appended_before_a_watch_and_can_be_read_after_it_counts() {
    let publisher = OffsetsPublisher::new(offsets(2, 7), 70);
    let mut watch = publisher.reader().watch();
    let bell = Bell::default();
    watch.ring_at(50, &bell);
    publisher.publish(offsets(7, 7), 0);
    assert!(rings(&bell));
}

#[test]
fn everything_but_growth_rings_and_is_told_apart() {
    let start_moves = |publisher: &OffsetsPublisher| {
        let start = Offset::new(1);
        let moved = PartitionOffsets {
            start,
            ..offsets(5, 5)
        };
        publisher.publish(moved, 0);
    };
    let is_cut = |publisher: &OffsetsPublisher| publisher.publish(offsets(4, 4), 0);
    let is_behind = |publisher: &OffsetsPublisher| publisher.publish(offsets(4, 5), 0);
    let is_told = OffsetsPublisher::note_upheaval;
    type Upheaval = fn(&OffsetsPublisher);
    let upheavals: [(&str, Upheaval); 4] = [
        ("the start moves", start_moves),
        ("the end goes back", is_cut),
        ("the high watermark goes back", is_behind),
        ("something else becomes known", is_told),
    ];
    for (what, upheaval) in upheavals {
        let publisher = OffsetsPublisher::new(offsets(5, 5), 50);
        let mut watch = publisher.reader().watch();
        let bell = Bell::default();
        watch.ring_at(u64::MAX, &bell);
        upheaval(&publisher);
        assert!(rings(&bell), "{what}");
        assert_eq!(watch.since(), Since::Upheaval, "{what}");
        watch.ring_at(u64::MAX, &bell);
        assert!(rings(&bell), "{what}, before it was set");
        let next = publisher.reader().watch();
        assert_eq!(next.since(), Since::Grown(0), "{what}, and that was before");
    }
}

#[test]
fn the_end_of_the_publisher_rings() {
    let publisher = empty();
    let mut watches = [publisher.reader().watch(), publisher.reader().watch()];
    let bells = [Bell::default(), Bell::default()];
    for (watch, bell) in watches.iter_mut().zip(&bells) {
        watch.ring_at(1, bell);
    }
    std::thread::scope(|scope| scope.spawn(|| drop(publisher)).join()).expect("it is dropped");
    for (watch, bell) in watches.iter_mut().zip(&bells) {
        assert!(rings(bell));
        assert_eq!(watch.since(), Since::Gone);
        watch.ring_at(1, bell);
        assert!(rings(bell), "it has gone before it was set");
    }
}

#[test]
fn who_waits_no_more_leaves_nothing_behind() {
    let publisher = empty();
    let bells = [Bell::default(), Bell::default()];
    let mut watches: Vec<_> = bells.iter().map(|_| publisher.reader().watch()).collect();
    for (watch, bell) in watches.iter_mut().zip(&bells) {
        watch.ring_at(1, bell);
        watch.ring_at(10, bell);
    }
    publisher.publish(offsets(1, 1), 1);
    assert!(!bells.iter().any(rings), "they were set anew");
    watches.pop();
    let waiting = || publisher.0.newest().bells.as_ref().map(|bells| bells.len());
    assert_eq!(waiting(), Some(1));
    watches.pop();
    assert_eq!(waiting(), None);
    assert!(bells.iter().all(|bell| Arc::strong_count(bell) == 1));
}

/// A log that is written and synced in some order, with the true count of what lies below its high watermark.
struct Story {
    seed: u64,
    /// Bytes up to each offset.
    bytes: Vec<u64>,
    high_watermark: usize,
    syncing: Option<usize>,
}

impl Story {
    fn random(&mut self, below: u64) -> u64 {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.seed >> 33) % below
    }

    fn readable(&self) -> u64 {
        self.bytes[self.high_watermark]
    }

    fn goes_on(&mut self, publisher: &OffsetsPublisher) {
        let end = self.bytes.len() - 1;
        let mut appended = 0;
        match (self.random(3), self.syncing) {
            (0, Some(synced)) => {
                self.high_watermark = synced;
                self.syncing = None;
            }
            (0 | 1, None) => self.syncing = Some(end),
            _ => {
                appended = 1 + self.random(20);
                self.bytes.push(self.bytes[end] + appended);
            }
        }
        let end = self.bytes.len() - 1;
        publisher.publish(offsets(self.high_watermark as u64, end as u64), appended);
    }
}

#[test]
fn no_bell_is_late_whatever_is_written_and_synced_in_between() {
    for seed in 0..300 {
        let mut story = Story {
            seed,
            bytes: vec![0],
            high_watermark: 0,
            syncing: None,
        };
        let publisher = empty();
        let mut waiting: Vec<(OffsetsWatch, Bell, u64, u64)> = Vec::new();
        for _ in 0..200 {
            story.goes_on(&publisher);
            let readable = story.readable();
            waiting.retain(|(watch, bell, before, wanted)| {
                let has_rung = rings(bell);
                let Since::Grown(grown) = watch.since() else {
                    panic!("seed {seed}: it only grows");
                };
                let truly = readable - before;
                assert!(has_rung || truly < *wanted, "seed {seed}: it is late");
                assert!(grown >= truly, "seed {seed}: {grown} of {truly} bytes");
                !has_rung
            });
            let (mut watch, bell) = (publisher.reader().watch(), Bell::default());
            let wanted = 1 + story.random(200);
            watch.ring_at(wanted, &bell);
            waiting.push((watch, bell, readable, wanted));
        }
    }
}

#[test]
fn a_partition_that_nobody_reads_takes_little_for_it() {
    assert!(size_of::<Published>() <= 80);
    assert!(size_of::<OffsetsWatch>() <= 48);
}
