//! Tests of `PartitionReplica`: single rules by example, then random event sequences against the
//! invariants. The invariants are tried on planted bugs and have to catch each.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

use super::*;

/// A rule broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlantedBug {
    AcknowledgesBeforeSync,
    HighWatermarkFollowsDown,
    ReleasesOneAtATime,
}

fn start(flush_mode: FlushMode) -> ReplicaStart {
    ReplicaStart {
        epoch: LeaderEpoch::new(0),
        log_start: Offset::ZERO,
        log_end: Offset::ZERO,
        durable_end: Offset::ZERO,
        checkpointed_high_watermark: Offset::ZERO,
        flush_mode,
    }
}

fn at(raw: u64) -> Offset {
    Offset::new(raw)
}

#[test]
fn under_sync_leader_and_all_wait_for_the_sync_and_none_does_not() {
    let mut replica = PartitionReplica::new(start(FlushMode::Sync));
    let effects = replica.on_appended(at(0), at(1), Acks::None, "none");
    assert_eq!(effects.released, ["none"]);
    let effects = replica.on_appended(at(1), at(2), Acks::Leader, "leader");
    assert_eq!(effects, Effects::default());
    let effects = replica.on_appended(at(2), at(3), Acks::All, "all");
    assert_eq!(effects, Effects::default());
    assert_eq!(replica.high_watermark(), at(0));

    let effects = replica.on_durable(at(3));
    assert_eq!(effects.released, ["leader", "all"]);
    assert_eq!(effects.high_watermark, Some(at(3)));
    assert_eq!(replica.parked(), 0);
}

#[test]
fn a_sync_releases_only_what_it_covers_and_in_order() {
    let mut replica = PartitionReplica::new(start(FlushMode::Sync));
    for (token, acks) in (0..6).zip([Acks::All, Acks::Leader].into_iter().cycle()) {
        let effects = replica.on_appended(at(token * 10), at(token * 10 + 10), acks, token);
        assert_eq!(effects, Effects::default());
    }
    assert_eq!(replica.on_durable(at(35)).released, [0, 1, 2]);
    assert_eq!(replica.on_durable(at(20)), Effects::default());
    assert_eq!(replica.on_durable(at(60)).released, [3, 4, 5]);
}

#[test]
fn under_async_nothing_waits() {
    let mut replica = PartitionReplica::new(start(FlushMode::Async));
    let effects = replica.on_appended(at(0), at(5), Acks::All, "all");
    assert_eq!(effects.released, ["all"]);
    assert_eq!(effects.high_watermark, Some(at(5)));
    assert_eq!(replica.durable_end(), at(0));
}

#[test]
fn switching_to_async_releases_and_switching_back_hides_nothing() {
    let mut replica = PartitionReplica::new(start(FlushMode::Sync));
    let _ = replica.on_appended(at(0), at(5), Acks::All, "waits");
    assert_eq!(replica.on_flush_mode(FlushMode::Async).released, ["waits"]);
    assert_eq!(replica.on_flush_mode(FlushMode::Sync), Effects::default());
    assert_eq!(replica.high_watermark(), at(5));
    let effects = replica.on_appended(at(5), at(6), Acks::Leader, "waits again");
    assert_eq!(effects, Effects::default());
    assert_eq!(replica.on_durable(at(6)).released, ["waits again"]);
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged() {
    let mut replica = PartitionReplica::new(start(FlushMode::Sync));
    let _ = replica.on_appended(at(0), at(5), Acks::All, "all");
    let _ = replica.on_appended(at(5), at(6), Acks::Leader, "leader");
    assert_eq!(replica.on_failed().failed, ["all", "leader"]);
    assert_eq!(replica.on_durable(at(6)), Effects::default());
    assert_eq!(replica.on_flush_mode(FlushMode::Async), Effects::default());
    assert_eq!(replica.high_watermark(), at(0));
    assert_eq!(replica.admit(Acks::None, 1), Err(NotAdmitted::Offline));
    let effects = replica.on_appended(at(6), at(7), Acks::None, "late");
    assert_eq!(effects.failed, ["late"]);
}

#[test]
fn a_restart_takes_the_checkpoint_and_what_is_durable() {
    let reopened = |checkpoint: u64, durable: u64| {
        PartitionReplica::<()>::new(ReplicaStart {
            log_start: at(10),
            log_end: at(100),
            durable_end: at(durable),
            checkpointed_high_watermark: at(checkpoint),
            ..start(FlushMode::Sync)
        })
        .high_watermark()
    };
    assert_eq!(reopened(40, 100), at(100));
    assert_eq!(reopened(40, 30), at(40));
    assert_eq!(reopened(4, 5), at(10), "never below the log start");
    assert_eq!(reopened(400, 50), at(100), "never beyond the log end");
}

#[test]
fn min_insync_replicas_counts_at_most_the_replicas_there_are() {
    let mut replica = PartitionReplica::<()>::new(start(FlushMode::Sync));
    assert_eq!(replica.admit(Acks::All, 2), Ok(()));
    replica.replicas = 3;
    assert_eq!(replica.admit(Acks::Leader, 2), Ok(()));
    let refused = NotAdmitted::NotEnoughReplicas {
        in_sync: 1,
        required: 2,
    };
    assert_eq!(replica.admit(Acks::All, 2), Err(refused));
}

#[test]
#[should_panic(expected = "deleted what is not committed")]
fn the_log_start_never_passes_the_high_watermark() {
    let mut replica = PartitionReplica::new(start(FlushMode::Sync));
    let _ = replica.on_appended(at(0), at(5), Acks::None, ());
    replica.on_log_start(at(3));
}

#[derive(Clone, Debug)]
enum Event {
    Append {
        records: u64,
        acks: Acks,
    },
    /// Everything up to this many records before the log end is durable.
    Durable {
        short_of_end: u64,
    },
    Flush(FlushMode),
    DeleteRecords {
        short_of_committed: u64,
    },
    Fail,
}

fn acks() -> impl Strategy<Value = Acks> {
    prop_oneof![Just(Acks::None), Just(Acks::Leader), Just(Acks::All)]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        10 => (1..20_u64, acks()).prop_map(|(records, acks)| Event::Append { records, acks }),
        6 => (0..30_u64).prop_map(|short_of_end| Event::Durable { short_of_end }),
        1 => Just(Event::Flush(FlushMode::Sync)),
        1 => Just(Event::Flush(FlushMode::Async)),
        1 => (0..9_u64).prop_map(|short_of_committed| Event::DeleteRecords { short_of_committed }),
        1 => Just(Event::Fail),
    ]
}

/// What the test knows by itself.
struct World {
    replica: PartitionReplica<usize>,
    next_token: usize,
    log_end: u64,
    durable: u64,
    flush_mode: FlushMode,
    failed: bool,
    /// Tokens without an answer, with the end of their records.
    open: BTreeMap<usize, (u64, Acks)>,
}

impl World {
    fn step(&mut self, event: &Event) -> Result<(), TestCaseError> {
        let before = self.replica.high_watermark();
        let effects = match *event {
            Event::Append { records, acks } => {
                let first = self.log_end;
                self.log_end += records;
                let token = self.next_token;
                self.next_token += 1;
                self.open.insert(token, (self.log_end, acks));
                self.replica
                    .on_appended(at(first), at(self.log_end), acks, token)
            }
            Event::Durable { short_of_end } => {
                let end = self.log_end.saturating_sub(short_of_end);
                if !self.failed {
                    self.durable = self.durable.max(end);
                }
                self.replica.on_durable(at(end))
            }
            Event::Flush(mode) => {
                self.flush_mode = mode;
                self.replica.on_flush_mode(mode)
            }
            Event::DeleteRecords { short_of_committed } => {
                let to = before.get().saturating_sub(short_of_committed);
                self.replica.on_log_start(at(to));
                Effects::default()
            }
            Event::Fail => {
                self.failed = true;
                self.replica.on_failed()
            }
        };
        self.check_answers(&effects)?;
        self.check_state(before, &effects)
    }

    fn check_answers(&mut self, effects: &Effects<usize>) -> Result<(), TestCaseError> {
        prop_assert!(effects.released.is_sorted(), "released out of order");
        for token in &effects.released {
            let (end, acks) = self
                .open
                .remove(token)
                .ok_or_else(|| TestCaseError::fail("answered twice"))?;
            prop_assert!(!self.failed, "acknowledged after a failure");
            let synced = self.flush_mode == FlushMode::Async || end <= self.durable;
            prop_assert!(acks == Acks::None || synced, "acknowledged before the sync");
        }
        for token in &effects.failed {
            prop_assert!(self.failed, "refused without a failure");
            prop_assert!(self.open.remove(token).is_some(), "answered twice");
        }
        Ok(())
    }

    fn check_state(&self, before: Offset, effects: &Effects<usize>) -> Result<(), TestCaseError> {
        let high_watermark = self.replica.high_watermark();
        prop_assert!(high_watermark >= before, "the high watermark went back");
        let moved = (high_watermark > before).then_some(high_watermark);
        prop_assert_eq!(
            effects.high_watermark,
            moved,
            "waiting fetches are not told"
        );
        prop_assert_eq!(self.replica.durable_end(), at(self.durable));
        prop_assert!(self.replica.log_start() <= high_watermark);
        prop_assert!(high_watermark <= self.replica.log_end());
        prop_assert_eq!(
            self.replica.parked(),
            self.open.len(),
            "a token was forgotten"
        );
        for (end, _) in self.open.values() {
            let waits = self.flush_mode == FlushMode::Sync && *end > self.durable;
            prop_assert!(waits && !self.failed, "a token waits for nothing");
        }
        Ok(())
    }
}

fn run(cases: u32, planted: Option<PlantedBug>) -> Result<(), TestError<(FlushMode, Vec<Event>)>> {
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let mode = prop_oneof![Just(FlushMode::Sync), Just(FlushMode::Async)];
    let script = (mode, proptest::collection::vec(event(), 1..60));
    runner.run(&script, |(flush_mode, events)| {
        let mut world = World {
            replica: PartitionReplica::new(start(flush_mode)),
            next_token: 0,
            log_end: 0,
            durable: 0,
            flush_mode,
            failed: false,
            open: BTreeMap::new(),
        };
        world.replica.planted = planted;
        events.iter().try_for_each(|event| world.step(event))
    })
}

#[test]
fn random_events_keep_every_promise() {
    if let Err(error) = run(2_000, None) {
        panic!("{error}");
    }
}

#[test]
fn the_invariants_catch_planted_bugs() {
    for bug in [
        PlantedBug::AcknowledgesBeforeSync,
        PlantedBug::HighWatermarkFollowsDown,
        PlantedBug::ReleasesOneAtATime,
    ] {
        assert!(run(2_000, Some(bug)).is_err(), "{bug:?} went unnoticed");
    }
}
