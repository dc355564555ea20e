//! Compaction against a model: random histories of appends, cleanings under several policies, deletions,
//! restarts, kills and full disks. Proves that it catches planted bugs.
//!
//! The seed is printed; `BROKER_TEST_SEED=… cargo test -p broker-storage --test compaction_model`
//! repeats it.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod cleaning;
mod history;
mod support;

use broker_storage::PlantedBugs;
use history::{Runner, Step, Which};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![
        4 => Just(Which::LatestByKey),
        1 => (1_u8..60).prop_map(Which::Bounded),
        3 => (1_u8..4, prop_oneof![3 => Just(u64::MAX), 1 => 1_u64..60])
            .prop_map(|(n, bound)| Which::LastN { n, bound }),
        2 => any::<u64>().prop_map(Which::Random),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    // Few keys, null among them; a value in five is null.
    let record = (0_u8..6, prop_oneof![1 => Just(0_u8), 4 => 1_u8..120]);
    let batches = vec(vec(record, 1..8), 1..8);
    prop_oneof![
        10 => (batches, any::<u8>()).prop_map(|(batches, codec)| Step::Append { batches, codec }),
        5 => Just(Step::Sync),
        3 => (1_u64..90).prop_map(|seconds| Step::Wait { seconds }),
        6 => (which(), 50_u8..=100).prop_map(|(policy, high_watermark)| Step::Clean { policy, high_watermark }),
        1 => (0_u8..60).prop_map(|to| Step::DeleteRecords { to }),
        1 => (0_u8..60).prop_map(|to| Step::CleanBesideDeletion { to }),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
        1 => any::<u64>().prop_map(|seed| Step::PowerLoss { seed }),
        4 => (0_u8..60, 0_u16..900, prop::option::of(any::<u64>()))
            .prop_map(|(after, torn, power)| Step::CleanKilledAt { after, torn, power }),
        1 => (0_u8..25).prop_map(|after| Step::CleanOnFullDisk { after }),
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

/// How many histories are tried, unless `BROKER_TEST_CASES` says otherwise.
const CASES: u32 = 150;

fn explore(bugs: PlantedBugs) -> Result<(), TestError<Vec<Step>>> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed().to_le_bytes());
    let cases = std::env::var("BROKER_TEST_CASES").map(|text| text.parse().unwrap());
    let config = Config {
        cases: cases.unwrap_or(CASES),
        failure_persistence: None,
        max_shrink_iters: 1_000,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    TestRunner::new_with_rng(config, rng).run(&vec(step(), 1..40), |steps| {
        Runner::new(bugs).run(&steps).map_err(TestCaseError::fail)
    })
}

#[test]
fn a_compacted_log_agrees_with_its_model() {
    if let Err(error) = explore(PlantedBugs::default()) {
        match error {
            TestError::Fail(reason, steps) => panic!("{reason}\n{steps:?}"),
            TestError::Abort(reason) => panic!("{reason}"),
        }
    }
}

#[test]
fn the_model_notices_segments_that_were_not_synced_before_the_swap() {
    let bugs = PlantedBugs {
        swap_unsynced_segments: true,
        ..PlantedBugs::default()
    };
    assert!(matches!(explore(bugs), Err(TestError::Fail(..))));
}

#[test]
fn the_model_notices_segments_that_go_before_the_journal_is_durable() {
    let bugs = PlantedBugs {
        swap_before_journal: true,
        ..PlantedBugs::default()
    };
    assert!(matches!(explore(bugs), Err(TestError::Fail(..))));
}

#[test]
fn the_model_notices_a_journal_that_goes_too_early() {
    let bugs = PlantedBugs {
        forget_journal_early: true,
        ..PlantedBugs::default()
    };
    assert!(matches!(explore(bugs), Err(TestError::Fail(..))));
}
