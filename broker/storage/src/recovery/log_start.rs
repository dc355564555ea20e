//! The log start: what was deleted below it may come back with a power loss, and is deleted again. Not on the
//! word of a file alone: one that speaks of a start that no record ever reached is another log's.

use broker_model::Offset;

use super::point::reach_of;
use super::{OpenRequest, failed};
use crate::log::delete_segment;
use crate::log_dir::OpenLogError;
use crate::small_file::{LeaderEpochs, LogStart, RecoveryPoint, SmallFile, SmallFileError};

/// What `log-start-offset-checkpoint` says.
pub(super) enum NotedStart {
    At(Offset),
    /// There is none.
    Nothing,
    /// There is one that cannot be read.
    Damaged,
}

pub(super) fn load(request: &OpenRequest) -> Result<NotedStart, OpenLogError> {
    let file = request.dir.join(LogStart::FILE);
    match LogStart::load(&*request.shared.io, &file) {
        Err(error @ SmallFileError::Damaged { .. }) => {
            tracing::error!(%error, "deleted records may come back");
            Ok(NotedStart::Damaged)
        }
        other => Ok(other?.map_or(NotedStart::Nothing, |LogStart(start)| NotedStart::At(start))),
    }
}

/// Where the log begins, as far as files tell. Leader epochs do where there is no other word, but nothing is
/// deleted on theirs alone: those of another log begin where that one does.
pub(super) fn stored(
    request: &OpenRequest,
    noted: &NotedStart,
    epochs: Option<&LeaderEpochs>,
    files: &[(Offset, u32)],
) -> Option<Offset> {
    let of_epochs = epochs.and_then(|epochs| Some(epochs.entries().first()?.1));
    let is_below = |start: &Offset| files.first().is_none_or(|(base, _)| start <= base);
    match noted {
        NotedStart::At(start) => Some(*start),
        NotedStart::Nothing => of_epochs.filter(|start| {
            let is_own = is_below(start);
            if !is_own {
                let file = request.dir.join(LogStart::FILE);
                tracing::error!(partition = %request.partition, file = %file.display(), %start, "the leader epochs begin above the first segment: they are another log's, or the file is gone that says where the log begins, and deleted records come back below that offset");
            }
            is_own
        }),
        // There was a deletion, which may have been newer than the epochs.
        NotedStart::Damaged => of_epochs.max(files.first().map(|(base, _)| *base)),
    }
}

/// Holds a start against how far the log is known to have come, and against its data, which is all there unless
/// the machine may have lost its power.
fn check(
    request: &OpenRequest,
    noted: Option<RecoveryPoint>,
    files: &[(Offset, u32)],
    start: Offset,
) -> Result<(), OpenLogError> {
    let shared = &request.shared;
    let high_watermark = shared.high_watermarks().0.get(&request.partition).copied();
    let known = noted.map(|point| point.end).max(high_watermark);
    let is_same_boot = noted.is_some_and(|point| point.boot == shared.boot);
    let may_be_lost = !shared.was_clean && !is_same_boot;
    let has_data = files.iter().any(|(_, len)| *len > 0);
    if Some(start) <= known || may_be_lost || !has_data {
        return Ok(());
    }
    let end = reach_of(request, files).map_err(|source| failed(&request.dir, source))?;
    if start <= end {
        return Ok(());
    }
    let said_by = match load(request)? {
        NotedStart::At(_) => LogStart::FILE,
        NotedStart::Nothing | NotedStart::Damaged => LeaderEpochs::FILE,
    };
    Err(OpenLogError::StartBeyondEnd {
        file: request.dir.join(said_by),
        start,
        end,
    })
}

/// A power loss may bring back segments that were deleted.
pub(super) fn delete_again(
    request: &OpenRequest,
    noted: Option<RecoveryPoint>,
    files: &mut Vec<(Offset, u32)>,
    start: Offset,
) -> Result<(), OpenLogError> {
    check(request, noted, files, start)?;
    while let [(base, _), (next, _), ..] = files.as_slice()
        && *next <= start
    {
        let data = request.data(*base);
        delete_segment(&*request.shared.io, &data).map_err(|source| failed(data.path(), source))?;
        files.remove(0);
    }
    Ok(())
}
