//! The scripts.

use broker_record::Codec;
use broker_storage::io::recording::Survival;

use super::histories;
use super::script::{ANEW, Break, Do, FIRST, METADATA, SECOND, Script, packed, put, run, sync};

/// All of them.
pub(crate) fn scripts() -> Vec<Script> {
    let named = |(name, steps)| Script { name, steps };
    let all = [
        appending(),
        rolling(),
        forms(),
        truncating(),
        deleting(),
        directories(),
        stops(),
        broken_indexes(),
        histories::deletions_and_stops(),
        histories::new_beginnings(),
        histories::longer_lives(),
        histories::busier_lives(),
    ];
    all.into_iter().flatten().map(named).collect()
}

pub(super) type Named = (&'static str, Vec<Do>);

fn appending() -> Vec<Named> {
    let create = Do::Create(FIRST);
    vec![
        (
            "append and sync",
            vec![
                create.clone(),
                put(FIRST, 200),
                sync(FIRST),
                put(FIRST, 700),
                sync(FIRST),
                put(FIRST, 30),
                sync(FIRST),
            ],
        ),
        (
            "appends beyond the last sync",
            vec![
                create.clone(),
                put(FIRST, 300),
                sync(FIRST),
                run(FIRST, 2, 150),
                put(FIRST, 40),
                put(FIRST, 350),
            ],
        ),
        (
            "never synced",
            vec![
                create.clone(),
                put(FIRST, 100),
                run(FIRST, 3, 250),
                put(FIRST, 900),
            ],
        ),
        (
            "one call of many batches over two rolls",
            vec![
                create.clone(),
                put(FIRST, 100),
                sync(FIRST),
                run(FIRST, 8, 400),
                sync(FIRST),
            ],
        ),
    ]
}

fn rolling() -> Vec<Named> {
    let create = Do::Create(FIRST);
    vec![
        (
            "rolls by size",
            vec![
                create.clone(),
                put(FIRST, 1_200),
                sync(FIRST),
                put(FIRST, 900),
                sync(FIRST),
                put(FIRST, 900),
                put(FIRST, 900),
                sync(FIRST),
            ],
        ),
        (
            "rolls by age",
            vec![
                create.clone(),
                put(FIRST, 100),
                sync(FIRST),
                Do::RollByAge(FIRST),
                put(FIRST, 120),
                sync(FIRST),
                Do::RollByAge(FIRST),
                sync(FIRST),
                put(FIRST, 80),
                sync(FIRST),
            ],
        ),
        (
            "rolls without a sync",
            vec![
                create.clone(),
                put(FIRST, 500),
                sync(FIRST),
                put(FIRST, 1_100),
                put(FIRST, 1_100),
                sync(FIRST),
                put(FIRST, 1_100),
            ],
        ),
    ]
}

fn forms() -> Vec<Named> {
    let create = Do::Create(FIRST);
    vec![
        (
            "every codec",
            vec![
                create.clone(),
                packed(FIRST, Codec::None, 300),
                packed(FIRST, Codec::Gzip, 300),
                sync(FIRST),
                packed(FIRST, Codec::Snappy, 600),
                packed(FIRST, Codec::Lz4, 600),
                sync(FIRST),
                packed(FIRST, Codec::Zstd, 600),
                sync(FIRST),
            ],
        ),
        (
            "synced on the caller's thread",
            vec![
                create.clone(),
                put(FIRST, 200),
                Do::SyncInline(FIRST),
                put(FIRST, 500),
                Do::SyncInline(FIRST),
                put(FIRST, 1_000),
                Do::SyncInline(FIRST),
                put(FIRST, 20),
            ],
        ),
        (
            "new leader epochs",
            vec![
                create.clone(),
                put(FIRST, 300),
                sync(FIRST),
                Do::NewEpoch,
                put(FIRST, 300),
                sync(FIRST),
                Do::NewEpoch,
                put(FIRST, 900),
                Do::NewEpoch,
                put(FIRST, 300),
                sync(FIRST),
            ],
        ),
        (
            "idle files are closed",
            vec![
                create,
                put(FIRST, 800),
                put(FIRST, 900),
                sync(FIRST),
                Do::ReleaseIdle(FIRST),
                put(FIRST, 300),
                sync(FIRST),
            ],
        ),
    ]
}

/// Four segments, synced, and then these steps.
pub(super) fn synced_and(steps: Vec<Do>) -> Vec<Do> {
    let filled = [Do::Create(FIRST), run(FIRST, 8, 500), sync(FIRST)];
    filled.into_iter().chain(steps).collect()
}

fn truncating() -> Vec<Named> {
    let then = synced_and;
    vec![
        (
            "truncation inside the active segment",
            then(vec![Do::Truncate(FIRST, 14), put(FIRST, 300), sync(FIRST)]),
        ),
        (
            "truncation over segments",
            then(vec![
                Do::Truncate(FIRST, 3),
                put(FIRST, 600),
                sync(FIRST),
                put(FIRST, 700),
                sync(FIRST),
            ]),
        ),
        (
            "truncation of what was not synced",
            then(vec![
                Do::NewEpoch,
                run(FIRST, 3, 400),
                Do::Truncate(FIRST, 16),
                Do::NewEpoch,
                put(FIRST, 250),
                sync(FIRST),
            ]),
        ),
    ]
}

fn deleting() -> Vec<Named> {
    let then = synced_and;
    vec![
        (
            "records deleted",
            then(vec![
                Do::DeleteRecords(FIRST, 7),
                put(FIRST, 200),
                sync(FIRST),
                Do::DeleteRecords(FIRST, 18),
                put(FIRST, 200),
                sync(FIRST),
            ]),
        ),
        (
            "records deleted above what is durable",
            then(vec![
                put(FIRST, 500),
                put(FIRST, 300),
                Do::DeleteRecords(FIRST, 19),
                put(FIRST, 200),
                sync(FIRST),
            ]),
        ),
        (
            "retention",
            then(vec![
                run(FIRST, 4, 600),
                sync(FIRST),
                Do::Retention(FIRST, 1_500),
                put(FIRST, 900),
                sync(FIRST),
                Do::Retention(FIRST, 500),
                sync(FIRST),
            ]),
        ),
        (
            "deleted, then truncated to the log start",
            then(vec![
                Do::DeleteRecords(FIRST, 11),
                Do::Truncate(FIRST, 11),
                put(FIRST, 500),
                sync(FIRST),
            ]),
        ),
        (
            "checkpoints",
            then(vec![
                Do::Checkpoint,
                put(FIRST, 200),
                sync(FIRST),
                Do::Checkpoint,
                Do::Truncate(FIRST, 12),
                Do::Checkpoint,
                put(FIRST, 100),
            ]),
        ),
    ]
}

fn directories() -> Vec<Named> {
    vec![
        (
            "two partitions synced together",
            vec![
                Do::Create(FIRST),
                Do::Create(SECOND),
                put(FIRST, 300),
                put(SECOND, 400),
                Do::Sync(vec![FIRST, SECOND]),
                put(SECOND, 1_300),
                Do::Sync(vec![SECOND]),
                put(FIRST, 100),
                put(SECOND, 100),
                Do::Sync(vec![SECOND, FIRST]),
            ],
        ),
        (
            "a topic is deleted",
            vec![
                Do::Create(FIRST),
                Do::Create(SECOND),
                run(FIRST, 4, 500),
                put(SECOND, 200),
                Do::Sync(vec![FIRST, SECOND]),
                Do::Checkpoint,
                Do::Delete(FIRST),
                put(SECOND, 200),
                sync(SECOND),
                Do::Delete(SECOND),
            ],
        ),
        (
            "a topic is deleted and created anew",
            vec![
                Do::Create(FIRST),
                run(FIRST, 3, 500),
                sync(FIRST),
                Do::Delete(FIRST),
                Do::Create(ANEW),
                put(ANEW, 300),
                sync(ANEW),
                Do::CloseAndReopen,
                put(ANEW, 300),
                sync(ANEW),
            ],
        ),
        (
            "a log like the metadata's",
            vec![
                Do::Create(METADATA),
                put(METADATA, 40),
                sync(METADATA),
                put(METADATA, 700),
                sync(METADATA),
                Do::Create(FIRST),
                put(METADATA, 90),
                sync(METADATA),
                put(METADATA, 900),
                sync(METADATA),
                put(FIRST, 50),
                Do::Sync(vec![FIRST, METADATA]),
            ],
        ),
    ]
}

/// A few segments, of which the last batch is not synced, and then these steps.
pub(super) fn written_and(steps: Vec<Do>) -> Vec<Do> {
    let filled = [
        Do::Create(FIRST),
        run(FIRST, 5, 500),
        sync(FIRST),
        put(FIRST, 300),
    ];
    filled.into_iter().chain(steps).collect()
}

fn stops() -> Vec<Named> {
    let then = written_and;
    vec![
        (
            "a clean stop and a start",
            then(vec![
                Do::Checkpoint,
                Do::CloseAndReopen,
                put(FIRST, 300),
                sync(FIRST),
                Do::CloseAndReopen,
            ]),
        ),
        (
            "the machine is restarted after a clean stop",
            then(vec![Do::Reboot, put(FIRST, 300), sync(FIRST)]),
        ),
        (
            "killed and started",
            then(vec![Do::Kill, put(FIRST, 600), sync(FIRST), Do::Kill]),
        ),
        (
            "power lost with a torn tail",
            then(vec![
                run(FIRST, 2, 700),
                Do::PowerLoss(Survival::Random(5)),
                put(FIRST, 400),
                sync(FIRST),
            ]),
        ),
        (
            "power lost twice",
            then(vec![
                Do::NewEpoch,
                run(FIRST, 3, 600),
                Do::PowerLoss(Survival::Random(11)),
                run(FIRST, 2, 600),
                Do::PowerLoss(Survival::Synced),
                put(FIRST, 100),
                sync(FIRST),
            ]),
        ),
        (
            "killed, then power lost",
            then(vec![
                Do::Kill,
                put(FIRST, 800),
                Do::PowerLoss(Survival::Everything),
                put(FIRST, 300),
                sync(FIRST),
            ]),
        ),
    ]
}

fn broken_indexes() -> Vec<Named> {
    let then = written_and;
    vec![
        (
            "offset indexes are removed",
            then(vec![
                Do::BreakIndexes("index", Break::Remove),
                put(FIRST, 900),
                sync(FIRST),
            ]),
        ),
        (
            "time indexes are cut",
            then(vec![
                Do::BreakIndexes("timeindex", Break::Cut),
                put(FIRST, 300),
                sync(FIRST),
            ]),
        ),
        (
            "offset indexes are damaged",
            then(vec![
                Do::BreakIndexes("index", Break::Flip),
                Do::Truncate(FIRST, 5),
                put(FIRST, 300),
                sync(FIRST),
            ]),
        ),
    ]
}
