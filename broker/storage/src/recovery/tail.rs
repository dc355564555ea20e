//! The part of a log above its durable point: reading it, telling what is torn from what is
//! damaged, and deciding where the log ends.
//!
//! | last stop  | incomplete last batch | bad batch with more behind it | bad to the end |
//! |------------|-----------------------|-------------------------------|----------------|
//! | other boot | cut                   | cut there                     | cut            |
//! | clean stop | cut                   | damage: stays                 | cut, if nothing but that is above the durable point |
//! | same boot  | cut                   | damage: stays                 | damage: stays, the log goes on in a new segment; zeros to the end are lost writes |
//! | unknown    | cut                   | damage: stays                 | as above, but zeros to the end are cut |
//!
//! A failed sync counts as another boot (`era`), and so does what no process leaves: those zeros, an end just where the
//! log was synced (`evidence`), empty segments behind a cut one (`segments`). An incomplete batch in a segment that is
//! not the last is damage unless the machine was restarted, for only a complete one is followed by another. Behind
//! damage that stays, nothing is cut either.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use broker_model::limits::BATCH_RECORDS_MAX;
use broker_model::{LeaderEpoch, Offset};
use broker_record::BatchHeader;

use super::LastStop;
use crate::corruption::{Corruption, Damage};
use crate::io::IoFile;
use crate::segment::{BatchScanner, DataFile, ScanDepth, Scanned};

/// How a segment's tail ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TailEnd {
    /// At the end of the file.
    Whole,
    /// Here: what follows is torn, and is cut, later segments too.
    Cut,
    /// The same, and it was lost on its way to the disk, although the machine was not restarted.
    Lost,
    /// Here: what follows is damage that may not be cut. The offsets it had are below this one.
    Damaged { offsets_below: Offset },
}

/// What was found above the durable point of one segment.
pub(super) struct Tail {
    /// Bytes up to the last good batch.
    pub(super) position: u64,
    /// The offset after the last good batch.
    pub(super) next: Offset,
    pub(super) end: TailEnd,
    pub(super) damage: Vec<Corruption>,
    /// Where leader epochs begin among the batches.
    pub(super) epochs: Vec<(LeaderEpoch, Offset)>,
}

impl Tail {
    /// Nothing but good batches, up to here.
    pub(super) fn whole(position: u64, next: Offset) -> Self {
        Self {
            position,
            next,
            end: TailEnd::Whole,
            damage: Vec::new(),
            epochs: Vec::new(),
        }
    }
}

/// Where a tail lies.
pub(super) struct TailRange {
    /// Where it begins, and with which offset.
    pub(super) from: u64,
    pub(super) expected: Offset,
    /// Where the file ends.
    pub(super) len: u64,
    /// The offset with which the next segment begins, if one follows.
    pub(super) below: Option<Offset>,
    /// Whether a cleaning has written it, which may leave one batch with the offsets of many.
    pub(super) is_cleaned: bool,
    /// Whether the log was closed where it begins, so that whatever is in it was put there since.
    pub(super) is_behind_clean_end: bool,
}

impl TailRange {
    /// No batch in it has this offset or a later one: that of the next segment, or else one that there are not bytes
    /// for.
    fn offsets_below(&self) -> Offset {
        let bytes = self.len.saturating_sub(self.from);
        match self.below {
            Some(below) => below,
            None if self.is_cleaned => Offset::MAX,
            None => behind(self.expected, bytes),
        }
    }

    /// Whether no segment follows.
    pub(super) fn is_last(&self) -> bool {
        self.below.is_none()
    }
}

/// What decides about bytes that are no batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TailRule {
    /// How the last broker stopped.
    After(LastStop),
    /// A planted bug: nothing is damage.
    CutAnything,
}

/// Reads and verifies a tail.
pub(super) fn read_tail(
    data: &Arc<DataFile>,
    range: &TailRange,
    rule: TailRule,
) -> io::Result<Tail> {
    let mut tail = Tail::whole(range.from, range.expected);
    if range.from == range.len {
        return Ok(tail);
    }
    let file = data.file()?;
    let mut verified_from = range.from;
    let mut scanner = BatchScanner::new(
        Arc::clone(&file),
        data.id().owner,
        ScanDepth::Bodies,
        range.from..range.len,
        range.expected,
    )
    .up_to(range.offsets_below());
    while let Some(scanned) = scanner.next()? {
        if let Scanned::Batch { position, header } = scanned {
            tail.position = position + header.batch_len() as u64;
            tail.next = header.next_offset();
            if tail
                .epochs
                .last()
                .is_none_or(|(epoch, _)| *epoch < header.leader_epoch)
            {
                tail.epochs.push((header.leader_epoch, header.base_offset));
            }
            continue;
        }
        data.mark_verified(verified_from..tail.position);
        let verdict = match rule {
            TailRule::CutAnything => TailEnd::Cut,
            TailRule::After(_) if is_put_there(&scanned, range) => TailEnd::Cut,
            TailRule::After(last_stop) => match judge(&scanned, &*file, range, last_stop)? {
                // What was found behind damage may be part of a value in what is damaged.
                TailEnd::Cut | TailEnd::Lost
                    if last_stop != LastStop::OtherBoot && !tail.damage.is_empty() =>
                {
                    damaged_end(tail.next, range.len - tail.position)
                }
                verdict => verdict,
            },
        };
        if matches!(verdict, TailEnd::Cut | TailEnd::Lost) {
            tail.end = verdict;
            return Ok(tail);
        }
        let resume = match &scanned {
            Scanned::Bad { resume, .. } => *resume,
            _ => None,
        };
        tail.end = verdict;
        let damage = scanned.into_corruption(data.path(), None);
        // What lies before and behind damage is never verified as one, even if it takes up no bytes.
        if damage.is_gap() {
            data.mark_gap(damage.position);
        }
        tail.damage.push(damage);
        if let Some((position, offset)) = resume {
            verified_from = position;
            tail.position = position;
            tail.next = offset;
        }
    }
    data.mark_verified(verified_from..tail.position);
    Ok(tail)
}

/// Whether there is nothing but bad bytes behind the end of a log that was stopped cleanly: nobody was told
/// of them. With batches among them, the notes of the stop are older than the log, and prove nothing.
fn is_put_there(scanned: &Scanned, range: &TailRange) -> bool {
    let is_all = matches!(
        scanned,
        Scanned::Bad { position, resume: None, .. } if *position == range.from
    );
    is_all && range.is_last() && range.is_behind_clean_end
}

fn judge(
    scanned: &Scanned,
    file: &dyn IoFile,
    range: &TailRange,
    last_stop: LastStop,
) -> io::Result<TailEnd> {
    if last_stop == LastStop::OtherBoot {
        return Ok(TailEnd::Cut);
    }
    match scanned {
        Scanned::Batch { .. } => Ok(TailEnd::Whole),
        Scanned::Bad {
            position, damage, ..
        } if last_stop == LastStop::SameBoot
            && range.is_last()
            && has_lost_its_end(file, *position..range.len, damage)? =>
        {
            Ok(TailEnd::Lost)
        }
        Scanned::Bad {
            resume: Some(_), ..
        } => Ok(TailEnd::Whole),
        Scanned::Incomplete { .. } if range.is_last() => Ok(TailEnd::Cut),
        Scanned::Bad {
            position,
            offset,
            resume: None,
            ..
        } => {
            let is_last = range.is_last() && last_stop == LastStop::Unknown;
            let zeros = is_last && zeros_from(file, *position, range.len)? == *position;
            Ok(match zeros {
                true => TailEnd::Cut,
                false => damaged_end(*offset, range.len - position),
            })
        }
        Scanned::Incomplete { position, offset } => Ok(damaged_end(*offset, range.len - position)),
    }
}

/// What a file system guarantees to write in one piece or not at all.
const SECTOR: u64 = 512;

/// Whether what is damaged here was lost on its way to the disk: all bytes are zeros, or those of the body are from
/// the beginning of a sector on, for a sector at least, with nothing behind it.
pub(crate) fn has_lost_its_end(
    file: &dyn IoFile,
    range: Range<u64>,
    damage: &Damage,
) -> io::Result<bool> {
    let (start, end) = (range.start, range.end);
    let zeros = zeros_from(file, start, end)?;
    let of_sectors = *damage == Damage::Body
        && zeros.next_multiple_of(SECTOR) + SECTOR <= end
        && is_of_body(file, start, zeros)?;
    Ok(zeros == start || of_sectors)
}

/// Whether the zeros begin within the body of the batch whose header is sound.
fn is_of_body(file: &dyn IoFile, start: u64, zeros: u64) -> io::Result<bool> {
    let mut header = [0; BatchHeader::LEN];
    file.read_exact_at(&mut header, start)?;
    let header = BatchHeader::decode(&header);
    Ok(header.is_ok_and(|header| zeros < start + header.batch_len() as u64))
}

/// No offset that the damaged bytes may have had is given out again: as many as fit are skipped.
///
/// A process that was killed leaves what it has written in the page cache: only its last write can be cut short,
/// and none of it turns into other bytes. Bad bytes above the durable point of the same boot are therefore damage
/// of what may have been acknowledged (under `async`, or by a sync whose point was not noted yet), and nobody
/// knows which offsets it had. A gap in the offsets breaks no promise; an offset given out twice would.
fn damaged_end(offset: Offset, bytes: u64) -> TailEnd {
    TailEnd::Damaged {
        offsets_below: behind(offset, bytes),
    }
}

/// Behind every offset that so many bytes of batches may have, the first of which is this one.
pub(super) fn behind(offset: Offset, bytes: u64) -> Offset {
    let batches = 1 + bytes / (BatchHeader::LEN as u64 + 1);
    let records = batches.saturating_mul(u64::from(BATCH_RECORDS_MAX));
    offset.checked_plus(records).unwrap_or(Offset::MAX)
}

/// More offsets than a log can give out between two notes of its end: five million a second, for two days.
const UNNOTED_MAX: u64 = 1 << 40;

/// Behind every offset that may have been acknowledged when what is known of a log's end is that it came this far.
/// How much was written after that note is lost with the bytes that it speaks of.
pub(crate) fn behind_unnoted(noted: Offset) -> Offset {
    noted.checked_plus(UNNOTED_MAX).unwrap_or(Offset::MAX)
}

/// Where the zeros begin with which these bytes end.
fn zeros_from(file: &dyn IoFile, from: u64, to: u64) -> io::Result<u64> {
    let mut buffer = vec![0; 64 * 1024];
    let mut zeros = to;
    while zeros > from {
        let want = usize::try_from(zeros - from)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let Some(chunk) = buffer.get_mut(..want) else {
            break;
        };
        let at = zeros - want as u64;
        file.read_exact_at(chunk, at)?;
        if let Some(last) = chunk.iter().rposition(|byte| *byte != 0) {
            return Ok(at + last as u64 + 1);
        }
        zeros = at;
    }
    Ok(zeros)
}
