//! A log against a model, by random scripts of appends in every codec, syncs at once and later, rolls,
//! reads, lookups by time, truncations, deletions, retention, checkpoints, damage, faults, kills and
//! power losses. Proves that it catches planted bugs.
//!
//! The seed is printed; `BROKER_TEST_SEED=… cargo test -p broker-storage --test log_model` repeats it.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stdout
)]

mod model;
mod planted;
mod support;

use broker_storage::PlantedBugs;
use model::{Runner, Step};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

fn step() -> impl Strategy<Value = Step> {
    let batch = (1_u8..6, 0_u16..300, -50_i8..50);
    prop_oneof![
        10 => (vec(batch, 1..6), prop::bool::weighted(0.1), 0_u8..5).prop_map(|(batches, new_epoch, codec)| Step::Append { batches, new_epoch, codec }),
        6 => Just(Step::Sync),
        1 => Just(Step::TakeRequest),
        1 => Just(Step::RunRequest),
        3 => (0_u8..=100, 0_u8..=100, 0_u16..3000).prop_map(|(from, below, limit)| Step::Read { from, below, limit }),
        2 => (0_u8..=110, 0_u8..=100).prop_map(|(time, below)| Step::ReadTime { time, below }),
        1 => (0_u8..=100).prop_map(|to| Step::Truncate { to }),
        1 => (0_u8..=100).prop_map(|to| Step::DeleteRecords { to }),
        1 => (0_u16..8000, prop::option::of(0_u16..20_000)).prop_map(|(keep, age)| Step::Retention { keep, age }),
        1 => prop_oneof![Just(0), 1_u16..5_000].prop_map(|millis| Step::FlushEvery { millis }),
        1 => prop_oneof![Just(0), 1_u16..5_000].prop_map(|millis| Step::FlushAfterStart { millis }),
        1 => (0_u8..100, any::<u16>()).prop_map(|(at, byte)| Step::LookAtDamage { at, byte }),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::ReleaseIdle),
        1 => (1_u64..10_000).prop_map(|millis| Step::Wait { millis }),
        1 => Just(Step::CloseAndReopen),
        1 => Just(Step::Kill),
        1 => any::<u64>().prop_map(|seed| Step::PowerLoss { seed }),
        2 => (0_u8..12, 0_u16..900, prop::option::of(any::<u64>())).prop_map(|(after, torn, power)| Step::KillAt { after, torn, power }),
        1 => (0_u8..4, 0_u16..900).prop_map(|(after, short)| Step::DiskFullAt { after, short }),
    ]
}

fn seed() -> u64 {
    let seed = match std::env::var("BROKER_TEST_SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_nanos() as u64,
    };
    eprintln!("BROKER_TEST_SEED={seed}");
    seed
}

/// How many scripts are tried, unless `BROKER_TEST_CASES` says otherwise.
const CASES: u32 = 300;

fn explore(bugs: PlantedBugs) -> Result<(), TestError<Vec<Step>>> {
    let cases = std::env::var("BROKER_TEST_CASES").map(|text| text.parse().unwrap());
    explore_from(seed(), cases.unwrap_or(CASES), 3_000, bugs)
}

fn explore_from(
    seed: u64,
    cases: u32,
    max_shrink_iters: u32,
    bugs: PlantedBugs,
) -> Result<(), TestError<Vec<Step>>> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    TestRunner::new_with_rng(config, rng).run(&vec(step(), 1..60), |steps| {
        Runner::new(bugs).run(&steps).map_err(TestCaseError::fail)
    })
}

#[test]
fn the_log_agrees_with_its_model_through_crashes() {
    if let Err(error) = explore(planted::by_hand()) {
        match error {
            TestError::Fail(reason, steps) => panic!("{reason}\n{steps:?}"),
            TestError::Abort(reason) => panic!("{reason}"),
        }
    }
}

/// Scripts that are tried on a planted bug, by a fixed seed.
const CASES_OF_A_BUG: u32 = 4_000;

#[test]
fn every_planted_bug_is_caught_by_the_model() {
    let mut missed = Vec::new();
    for (name, bugs) in planted::all() {
        match explore_from(1, CASES_OF_A_BUG, 0, bugs) {
            Err(TestError::Fail(reason, steps)) => {
                println!("{name:<50} {} steps from seed 1: {reason}", steps.len());
            }
            other => missed.push((name, other)),
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

fn follow(steps: &[Step]) {
    if let Err(error) = Runner::new(PlantedBugs::default()).run(steps) {
        panic!("{error}");
    }
}

fn append(batches: &[(u8, u16)]) -> Step {
    Step::Append {
        batches: batches
            .iter()
            .map(|(records, len)| (*records, *len, 0))
            .collect(),
        new_epoch: false,
        codec: 0,
    }
}

#[test]
fn a_refused_write_does_not_come_back_with_a_power_loss() {
    follow(&[
        append(&[(5, 177)]),
        Step::DiskFullAt {
            after: 0,
            short: 152,
        },
        append(&[(1, 0), (1, 0)]),
        append(&[(5, 167)]),
        append(&[(1, 0), (2, 214), (4, 71)]),
        Step::PowerLoss {
            seed: 2_900_178_783_428_307_950,
        },
    ]);
}

#[test]
fn an_append_that_wrote_nothing_leaves_earlier_requests_as_they_are() {
    follow(&[
        append(&[(1, 120)]),
        Step::DiskFullAt { after: 3, short: 0 },
        append(&[(2, 299), (4, 243)]),
        Step::TakeRequest,
        append(&[(1, 0)]),
        Step::Sync,
    ]);
}

#[test]
fn a_segment_that_was_taken_back_keeps_no_other_of_its_name_from_being_synced() {
    follow(&[
        append(&[(2, 55), (2, 137), (4, 79), (2, 143)]),
        Step::DiskFullAt { after: 2, short: 0 },
        append(&[(4, 232), (4, 205)]),
        append(&[(2, 246)]),
        append(&[(5, 254)]),
        Step::Sync,
        Step::PowerLoss {
            seed: 7_851_534_900_473_824_110,
        },
    ]);
}

#[test]
fn a_log_start_within_a_damaged_end_keeps_no_log_from_opening() {
    follow(&[
        append(&[(2, 0)]),
        Step::Append {
            batches: vec![(3, 0, 0), (3, 128, -19)],
            new_epoch: false,
            codec: 1,
        },
        Step::DeleteRecords { to: 75 },
        Step::LookAtDamage {
            at: 0,
            byte: 23_625,
        },
    ]);
}

#[test]
fn what_recovery_found_after_a_kill_survives_a_power_loss_with_its_names() {
    follow(&[
        append(&[(3, 144)]),
        Step::Sync,
        append(&[(3, 163), (4, 182), (5, 127), (5, 46)]),
        Step::Kill,
        Step::PowerLoss {
            seed: 348_150_366_469_802_743,
        },
    ]);
}

#[test]
fn the_segment_with_the_recovery_point_may_be_deleted() {
    follow(&[
        append(&[(3, 247)]),
        Step::CloseAndReopen,
        append(&[(4, 255)]),
        Step::DeleteRecords { to: 43 },
        Step::Kill,
        append(&[(1, 0)]),
    ]);
}

#[test]
fn a_truncation_below_the_log_start_ends_the_log_there() {
    follow(&[
        append(&[(2, 0)]),
        Step::DeleteRecords { to: 50 },
        Step::Truncate { to: 0 },
        Step::Read {
            from: 0,
            below: 0,
            limit: 0,
        },
        append(&[(2, 0)]),
        Step::Kill,
    ]);
}

#[test]
fn a_truncation_that_a_kill_interrupted_is_not_undone_by_a_power_loss() {
    follow(&[
        append(&[(3, 0), (5, 7), (3, 217)]),
        Step::Sync,
        append(&[(4, 204)]),
        append(&[(1, 0)]),
        Step::Truncate { to: 69 },
        Step::PowerLoss {
            seed: 356_556_373_040_628_970,
        },
        Step::KillAt {
            after: 6,
            torn: 0,
            power: None,
        },
        Step::Truncate { to: 28 },
        Step::PowerLoss {
            seed: 14_426_792_287_299_998_867,
        },
        append(&[(1, 0)]),
    ]);
}

#[test]
fn the_segment_before_a_gap_is_written_on() {
    follow(&[
        append(&[(3, 207), (4, 285), (1, 0), (4, 130)]),
        append(&[(2, 139), (3, 288)]),
        Step::PowerLoss {
            seed: 14_224_795_530_431_858_666,
        },
        Step::KillAt {
            after: 1,
            torn: 0,
            power: None,
        },
        append(&[(1, 0)]),
        Step::Checkpoint,
    ]);
}

#[test]
fn a_segment_that_was_complete_and_is_written_on_is_not_taken_for_one_that_somebody_else_writes_to()
{
    follow(&[
        append(&[(3, 207), (4, 285), (1, 0), (4, 130)]),
        append(&[(2, 139), (3, 288)]),
        Step::PowerLoss { seed: 6 },
        append(&[(1, 0)]),
        append(&[(1, 0)]),
    ]);
}

#[test]
fn a_segment_that_comes_back_behind_a_truncation_does_not_move_the_log_start() {
    follow(&[
        append(&[(1, 191), (3, 118), (4, 75), (5, 138)]),
        Step::DeleteRecords { to: 39 },
        Step::KillAt {
            after: 4,
            torn: 0,
            power: Some(6_150_851_420_589_792_947),
        },
        Step::Truncate { to: 0 },
    ]);
}

#[test]
fn a_torn_record_of_the_durable_point_does_not_bring_back_one_from_before_a_truncation() {
    follow(&[
        append(&[(1, 0), (1, 0)]),
        Step::CloseAndReopen,
        Step::Truncate { to: 50 },
        Step::Sync,
        Step::KillAt {
            after: 2,
            torn: 36,
            power: None,
        },
        append(&[(1, 3)]),
        Step::Sync,
    ]);
}

#[test]
fn epochs_found_at_a_log_start_after_a_power_loss_are_stored() {
    follow(&[
        append(&[(1, 0), (4, 203)]),
        Step::DeleteRecords { to: 20 },
        append(&[(4, 100), (3, 112)]),
        Step::PowerLoss {
            seed: 15_590_042_870_672_233_651,
        },
        append(&[(1, 0)]),
        Step::CloseAndReopen,
    ]);
}

#[test]
fn what_a_power_loss_brings_back_of_a_truncation_below_the_log_start_is_no_damage() {
    follow(&[
        append(&[(1, 0), (3, 0), (3, 0), (1, 0)]),
        append(&[(5, 0), (1, 0), (4, 0), (4, 0)]),
        append(&[(4, 0)]),
        append(&[(1, 0)]),
        Step::Sync,
        Step::DeleteRecords { to: 34 },
        append(&[(1, 0)]),
        append(&[(1, 0)]),
        Step::KillAt {
            after: 7,
            torn: 0,
            power: Some(9_111_517_409_394_937_806),
        },
        Step::Truncate { to: 0 },
    ]);
}

/// Every change of the disk in a script that does everything once is the last one before a kill or a
/// power loss, which keeps nothing, everything, or some of what was not synced.
#[test]
fn any_change_of_the_disk_may_be_the_last() {
    let script = [
        append(&[(2, 300), (3, 200), (1, 700)]),
        Step::Sync,
        append(&[(5, 300), (1, 10)]),
        Step::Checkpoint,
        Step::Sync,
        append(&[(3, 250), (2, 40)]),
        Step::Wait { millis: 9_000 },
        Step::DeleteRecords { to: 20 },
        append(&[(1, 30)]),
        Step::Sync,
        Step::Truncate { to: 80 },
        append(&[(4, 100), (4, 100)]),
        Step::Sync,
        Step::Retention {
            keep: 1_000,
            age: None,
        },
        Step::CloseAndReopen,
        append(&[(1, 20)]),
        Step::Sync,
    ];
    for after in 0..=u8::MAX {
        for (power, torn) in [
            (None, 30),
            (Some(0), 0),
            (Some(1), 100),
            (Some(2), 7),
            (Some(3), 0),
        ] {
            let mut steps = vec![Step::KillAt { after, torn, power }];
            steps.extend_from_slice(&script);
            follow(&steps);
        }
    }
}
