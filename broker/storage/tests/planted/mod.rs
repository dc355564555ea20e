//! The bugs that both the crash points and the model must catch, by name.
#![allow(dead_code)]

use broker_storage::PlantedBugs;

/// Every planted bug of the log. Those of the cleaner are in `compaction_crash.rs`.
pub(crate) fn all() -> Vec<(&'static str, PlantedBugs)> {
    let none = PlantedBugs::default();
    vec![
        (
            "acknowledged before the sync",
            PlantedBugs {
                ack_before_sync: true,
                ..none
            },
        ),
        (
            "recovery point ahead of the data",
            PlantedBugs {
                checkpoint_ahead_of_data: true,
                ..none
            },
        ),
        (
            "directory not synced after a roll",
            PlantedBugs {
                roll_without_directory_sync: true,
                ..none
            },
        ),
        (
            "sealed segment not synced",
            PlantedBugs {
                seal_without_sync: true,
                ..none
            },
        ),
        (
            "directory not synced after a creation",
            PlantedBugs {
                create_without_directory_sync: true,
                ..none
            },
        ),
        (
            "torn tail kept",
            PlantedBugs {
                keep_torn_tail: true,
                ..none
            },
        ),
        (
            "corrupt middle cut",
            PlantedBugs {
                cut_corrupt_middle: true,
                ..none
            },
        ),
        (
            "offsets given out again",
            PlantedBugs {
                reuse_offsets_after_reopen: true,
                ..none
            },
        ),
        (
            "segments deleted before the log start is stored",
            PlantedBugs {
                delete_before_log_start: true,
                ..none
            },
        ),
        (
            "truncation ahead of the recovery point",
            PlantedBugs {
                cut_before_recovery_point: true,
                ..none
            },
        ),
    ]
}
