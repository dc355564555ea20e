//! The records that a dry run looks at: of each partition the newest, below the high watermark, batch by batch.

use broker_model::{Offset, PartitionId};
use broker_record::{BatchError, Batches, Records, StoredBatch};
use broker_storage::ReadLimit;
use tokio::runtime::Handle;

use super::{DryRun, Progress, Stopped};
use crate::net::unfolding::UNFOLD_AT_ONCE_BYTES;
use crate::partition::PartitionHandle;
use crate::topics::HostedPartition;

/// Bytes read at once.
const READ_BYTES: u64 = 1 << 20;

/// The partitions that can be read, with their numbers.
pub(super) fn partitions(dry_run: &DryRun) -> Vec<(PartitionId, PartitionHandle)> {
    let partitions = (0_u32..).zip(dry_run.topic.partitions.iter());
    partitions
        .filter_map(|(number, partition)| match partition {
            HostedPartition::Online(handle) => Some((PartitionId::new(number), handle.clone())),
            HostedPartition::Offline { .. } => None,
        })
        .collect()
}

/// The records of a batch, with the room that it takes if it unfolds to much.
fn open(
    dry_run: &DryRun,
    batch: &StoredBatch,
) -> Result<(Records, Option<impl Sized + use<>>), BatchError> {
    match batch.records_within(UNFOLD_AT_ONCE_BYTES) {
        Err(error) if error.is_for_lack_of_room() => {
            let room = Handle::current().block_on(dry_run.unfolding.room_for_largest());
            Ok((batch.records()?, Some(room)))
        }
        records => Ok((records?, None)),
    }
}

/// Hands every batch to `visit`, with the first offset that counts.
pub(super) fn for_each_batch(
    dry_run: &DryRun,
    progress: &Progress,
    mut visit: impl FnMut(PartitionId, Offset, &Records) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    let partitions = partitions(dry_run);
    let ranges: Vec<(PartitionId, PartitionHandle, Offset, Offset)> = partitions
        .into_iter()
        .map(|(number, handle)| {
            let offsets = handle.offsets();
            let end = offsets.high_watermark;
            let oldest = dry_run
                .last
                .map_or(0, |last| end.get().saturating_sub(last));
            let from = Offset::new(oldest).max(offsets.start);
            progress.expect(end.get().saturating_sub(from.get()));
            (number, handle, from, end)
        })
        .collect();
    for (number, handle, from, end) in ranges {
        let mut next = from;
        while next < end {
            let read =
                Handle::current().block_on(handle.read(next, ReadLimit::OneBatchOr(READ_BYTES)));
            let slice = read.map_err(Stopped::failed)?;
            let slice = slice.verified().map_err(Stopped::failed)?;
            let bytes = slice.read().map_err(Stopped::failed)?;
            let before = next;
            for batch in Batches::new(bytes) {
                let batch = batch.map_err(Stopped::failed)?;
                let behind = batch.header.next_offset();
                if behind > next {
                    let (records, _room) = open(dry_run, &batch).map_err(Stopped::failed)?;
                    visit(number, from, &records)?;
                    progress.advance(behind.get() - next.get())?;
                    next = behind;
                }
            }
            if next == before {
                break;
            }
        }
    }
    Ok(())
}
