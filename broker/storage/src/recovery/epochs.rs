//! Leader epochs from the batch headers, for when `leader-epoch-checkpoint` is lost.

use std::io;
use std::sync::Arc;

use broker_model::Offset;

use crate::segment::{ActiveSegment, BatchScanner, DataFile, ScanDepth, Scanned, SealedSegment};
use crate::small_file::LeaderEpochs;

/// Reads every header of a log. What is damaged is passed over.
pub(super) fn from_headers(
    sealed: &[SealedSegment],
    active: &ActiveSegment,
) -> io::Result<LeaderEpochs> {
    let mut epochs = LeaderEpochs::default();
    for segment in sealed {
        note(&segment.data, (segment.len, segment.next), &mut epochs)?;
    }
    note(&active.data, (active.len, active.next), &mut epochs)?;
    Ok(epochs)
}

fn note(
    data: &Arc<DataFile>,
    (len, next): (u32, Offset),
    epochs: &mut LeaderEpochs,
) -> io::Result<()> {
    if len == 0 {
        return Ok(());
    }
    let file = data.file()?;
    let end = u64::from(len);
    let mut scanner = BatchScanner::new(
        file,
        data.id().owner,
        ScanDepth::Headers,
        0..end,
        data.base(),
    )
    .up_to(next);
    while let Some(scanned) = scanner.next()? {
        if let Scanned::Batch { header, .. } = scanned {
            epochs.note(header.leader_epoch, header.base_offset);
        }
    }
    Ok(())
}
