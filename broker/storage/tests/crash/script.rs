//! The language of the scripts.

use broker_model::{LeaderEpoch, PartitionId, TopicId, TopicName, TopicPartition};
use broker_record::Codec;
use broker_storage::io::recording::Survival;

/// A partition of the scripts, by its number.
pub(crate) type Part = usize;

/// Two of one topic; a log like the metadata's; and the first one, deleted and created anew.
pub(crate) const PARTS: usize = 4;
pub(crate) const FIRST: Part = 0;
pub(crate) const SECOND: Part = 1;
pub(crate) const METADATA: Part = 2;
pub(crate) const ANEW: Part = 3;

pub(crate) fn partition(part: Part) -> TopicPartition {
    let (name, number) = match part {
        METADATA => ("__cluster_metadata", 0),
        SECOND => ("orders", 1),
        _ => ("orders", 0),
    };
    TopicPartition::new(TopicName::new(name).unwrap(), PartitionId::new(number))
}

pub(crate) fn topic_id(part: Part) -> TopicId {
    match part {
        METADATA => TopicId::CLUSTER_METADATA,
        ANEW => TopicId::from_bytes(*b"once more orders"),
        _ => TopicId::from_bytes(*b"a topic's orders"),
    }
}

/// How an index file is broken.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Break {
    Remove,
    Cut,
    Flip,
}

/// One step.
#[derive(Clone, Debug)]
pub(crate) enum Do {
    Create(Part),
    /// So many batches in one call: of so many records, with so many bytes of value in all.
    Append {
        to: Part,
        batches: usize,
        records: usize,
        bytes: usize,
        codec: Codec,
    },
    NewEpoch,
    /// Requests of these partitions, carried out together.
    Sync(Vec<Part>),
    /// On the caller's thread, recorded afterwards.
    SyncInline(Part),
    /// Time passes until the active segment is too old.
    RollByAge(Part),
    Truncate(Part, u64),
    DeleteRecords(Part, u64),
    /// Keeps at least so many bytes of what is durable.
    Retention(Part, u64),
    /// The high watermarks, at the durable ends, and the recovery points.
    Checkpoint,
    Delete(Part),
    ReleaseIdle(Part),
    CloseAndReopen,
    /// A clean stop, then every index file with this extension is broken, then a start.
    BreakIndexes(&'static str, Break),
    /// A clean stop and a restart of the machine.
    Reboot,
    Kill,
    PowerLoss(Survival),
}

/// A named script.
pub(crate) struct Script {
    pub(crate) name: &'static str,
    pub(crate) steps: Vec<Do>,
}

/// One batch of two records with about so many bytes of values.
pub(crate) fn put(to: Part, bytes: usize) -> Do {
    run(to, 1, bytes)
}

/// Several such batches, in one call.
pub(crate) fn run(to: Part, batches: usize, bytes: usize) -> Do {
    Do::Append {
        to,
        batches,
        records: 2,
        bytes,
        codec: Codec::None,
    }
}

pub(crate) fn packed(to: Part, codec: Codec, bytes: usize) -> Do {
    Do::Append {
        to,
        batches: 2,
        records: 3,
        bytes,
        codec,
    }
}

pub(crate) fn sync(part: Part) -> Do {
    Do::Sync(vec![part])
}

pub(crate) fn epoch(number: u32) -> LeaderEpoch {
    LeaderEpoch::new(number)
}
