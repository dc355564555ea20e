//! The bugs that both the crash points and the model must catch, by name.
#![allow(dead_code)]

use broker_storage::PlantedBugs;

/// A bug's name, and how it is planted.
type Row = (&'static str, fn(&mut PlantedBugs));

const ROWS: [Row; 11] = [
    ("acknowledged before the sync", |bugs| {
        bugs.ack_before_sync = true
    }),
    ("syncs forgotten", |bugs| bugs.forget_syncs = true),
    ("recovery point ahead of the data", |bugs| {
        bugs.checkpoint_ahead_of_data = true
    }),
    ("directory not synced after a roll", |bugs| {
        bugs.roll_without_directory_sync = true
    }),
    ("sealed segment not synced", |bugs| {
        bugs.seal_without_sync = true
    }),
    ("directory not synced after a creation", |bugs| {
        bugs.create_without_directory_sync = true
    }),
    ("torn tail kept", |bugs| bugs.keep_torn_tail = true),
    ("corrupt middle cut", |bugs| bugs.cut_corrupt_middle = true),
    ("offsets given out again", |bugs| {
        bugs.reuse_offsets_after_reopen = true
    }),
    ("segments deleted before the log start is stored", |bugs| {
        bugs.delete_before_log_start = true
    }),
    ("truncation ahead of the recovery point", |bugs| {
        bugs.cut_before_recovery_point = true
    }),
];

/// Names a bug to be planted into the ordinary tests.
const BY_HAND: &str = "BROKER_PLANTED_BUG";

/// Whether somebody has planted a bug by hand.
pub(crate) fn is_by_hand() -> bool {
    std::env::var_os(BY_HAND).is_some()
}

/// The bug that `BROKER_PLANTED_BUG` names, to see by hand that a test fails with it; none without it.
pub(crate) fn by_hand() -> PlantedBugs {
    let Ok(wanted) = std::env::var(BY_HAND) else {
        return PlantedBugs::default();
    };
    let all = all();
    let found = all.iter().find(|(name, _)| *name == wanted);
    let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
    found
        .unwrap_or_else(|| panic!("there is no planted bug {wanted:?}, but {names:?}"))
        .1
}

/// Every planted bug of the log. Those of the cleaner are in `compaction_crash.rs`.
pub(crate) fn all() -> Vec<(&'static str, PlantedBugs)> {
    let plant = |(name, plant): Row| {
        let mut bugs = PlantedBugs::default();
        plant(&mut bugs);
        (name, bugs)
    };
    ROWS.into_iter().map(plant).collect()
}
