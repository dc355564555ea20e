//! Longer scripts: several changes and several stops, each of which begins with what the one before has left.

use broker_storage::io::recording::Survival;

use super::script::{ANEW, Break, Do, FIRST, SECOND, put, run, sync};
use super::scripts::{Named, synced_and, written_and};

/// What moves the log's ends, and stops around it.
pub(super) fn deletions_and_stops() -> Vec<Named> {
    let then = synced_and;
    vec![
        (
            "records deleted, a roll, killed, power lost",
            then(vec![
                Do::DeleteRecords(FIRST, 7),
                put(FIRST, 1_300),
                Do::Kill,
                Do::DeleteRecords(FIRST, 17),
                put(FIRST, 600),
                Do::PowerLoss(Survival::Random(3)),
                put(FIRST, 300),
                sync(FIRST),
            ]),
        ),
        (
            "all records deleted, a roll, power lost twice",
            then(vec![
                Do::DeleteRecords(FIRST, 16),
                put(FIRST, 300),
                Do::RollByAge(FIRST),
                Do::PowerLoss(Survival::Synced),
                put(FIRST, 300),
                Do::DeleteRecords(FIRST, 18),
                Do::PowerLoss(Survival::Random(17)),
                put(FIRST, 100),
                sync(FIRST),
            ]),
        ),
        (
            "retention to the end, checkpoints, killed",
            then(vec![
                Do::Checkpoint,
                put(FIRST, 1_300),
                sync(FIRST),
                Do::Retention(FIRST, 0),
                Do::Kill,
                Do::Checkpoint,
                put(FIRST, 1_300),
                sync(FIRST),
                Do::Retention(FIRST, 0),
                Do::Checkpoint,
            ]),
        ),
    ]
}

/// The end cut back to where the log begins, and topics that come again.
pub(super) fn new_beginnings() -> Vec<Named> {
    vec![
        (
            "truncated to the log start, killed, grown past where it was",
            synced_and(vec![
                Do::Checkpoint,
                Do::DeleteRecords(FIRST, 9),
                Do::Truncate(FIRST, 10),
                Do::Kill,
                Do::NewEpoch,
                run(FIRST, 5, 500),
                Do::PowerLoss(Survival::Random(29)),
                put(FIRST, 500),
                sync(FIRST),
            ]),
        ),
        (
            "a topic created anew after a kill, its checkpoint of before",
            vec![
                Do::Create(FIRST),
                run(FIRST, 6, 500),
                sync(FIRST),
                Do::Checkpoint,
                Do::Delete(FIRST),
                Do::Kill,
                Do::Create(ANEW),
                put(ANEW, 300),
                Do::Kill,
                put(ANEW, 900),
                sync(ANEW),
                Do::Checkpoint,
            ],
        ),
        (
            "a topic created anew after a power loss, and again lost",
            vec![
                Do::Create(FIRST),
                Do::Create(SECOND),
                run(FIRST, 4, 500),
                put(SECOND, 200),
                Do::Sync(vec![FIRST, SECOND]),
                Do::Checkpoint,
                Do::Delete(FIRST),
                Do::PowerLoss(Survival::Synced),
                Do::Create(ANEW),
                put(ANEW, 300),
                put(SECOND, 300),
                Do::PowerLoss(Survival::Random(7)),
                put(ANEW, 400),
                Do::Sync(vec![ANEW, SECOND]),
            ],
        ),
    ]
}

/// Longer lives: what one stop leaves is what the next begins with.
pub(super) fn longer_lives() -> Vec<Named> {
    let then = written_and;
    vec![
        (
            "clean, killed, clean, power lost",
            then(vec![
                Do::CloseAndReopen,
                put(FIRST, 700),
                Do::Kill,
                put(FIRST, 900),
                sync(FIRST),
                Do::CloseAndReopen,
                put(FIRST, 300),
                Do::PowerLoss(Survival::Random(13)),
                Do::CloseAndReopen,
                put(FIRST, 200),
            ]),
        ),
        (
            "a clean stop, a restart, nothing synced since",
            then(vec![
                Do::Reboot,
                run(FIRST, 4, 500),
                Do::PowerLoss(Survival::Everything),
                Do::Reboot,
                run(FIRST, 2, 500),
                Do::Kill,
            ]),
        ),
        (
            "indexes removed, truncated, killed, power lost",
            then(vec![
                Do::BreakIndexes("index", Break::Remove),
                Do::Truncate(FIRST, 5),
                Do::Kill,
                put(FIRST, 1_200),
                Do::PowerLoss(Survival::Random(19)),
                put(FIRST, 300),
                sync(FIRST),
            ]),
        ),
    ]
}

/// Rolls, epochs and the caller's thread between stops.
pub(super) fn busier_lives() -> Vec<Named> {
    let then = written_and;
    vec![
        (
            "time indexes damaged, a roll by age, killed",
            then(vec![
                Do::BreakIndexes("timeindex", Break::Flip),
                put(FIRST, 400),
                Do::RollByAge(FIRST),
                put(FIRST, 400),
                Do::Kill,
                Do::RollByAge(FIRST),
                sync(FIRST),
                put(FIRST, 200),
            ]),
        ),
        (
            "epochs, truncated twice, killed between",
            then(vec![
                Do::NewEpoch,
                run(FIRST, 2, 500),
                sync(FIRST),
                Do::Truncate(FIRST, 11),
                Do::NewEpoch,
                put(FIRST, 500),
                Do::Kill,
                Do::Truncate(FIRST, 8),
                Do::NewEpoch,
                run(FIRST, 3, 600),
                sync(FIRST),
            ]),
        ),
        (
            "synced on the caller's thread, a roll, killed, power lost",
            vec![
                Do::Create(FIRST),
                put(FIRST, 800),
                Do::SyncInline(FIRST),
                Do::RollByAge(FIRST),
                put(FIRST, 300),
                Do::SyncInline(FIRST),
                Do::Kill,
                put(FIRST, 300),
                Do::SyncInline(FIRST),
                Do::PowerLoss(Survival::Random(23)),
                put(FIRST, 300),
                Do::SyncInline(FIRST),
            ],
        ),
    ]
}
