//! Leader epochs from the batch headers, for when `leader-epoch-checkpoint` is lost.

use std::io;
use std::sync::Arc;

use crate::segment::{ActiveSegment, BatchScanner, DataFile, ScanDepth, Scanned, SealedSegment};
use crate::small_file::LeaderEpochs;

/// Reads every header of a log. What is damaged is passed over.
pub(super) fn from_headers(
    sealed: &[SealedSegment],
    active: &ActiveSegment,
) -> io::Result<LeaderEpochs> {
    let mut epochs = LeaderEpochs::default();
    for segment in sealed {
        note(&segment.data, segment.len, &mut epochs)?;
    }
    note(&active.data, active.len, &mut epochs)?;
    Ok(epochs)
}

fn note(data: &Arc<DataFile>, len: u32, epochs: &mut LeaderEpochs) -> io::Result<()> {
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
    );
    while let Some(scanned) = scanner.next()? {
        if let Scanned::Batch { header, .. } = scanned {
            epochs.note(header.leader_epoch, header.base_offset);
        }
    }
    Ok(())
}
