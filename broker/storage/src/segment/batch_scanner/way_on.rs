//! The way on behind damage. A header whose checksum fits proves little: it may be a stale copy of one from further
//! on, or part of a record's value, which whoever has produced it has chosen. So a run of batches is looked for that
//! lasts: to the end of the range, or for longer than the longest batch, in whose value it could be. What stands
//! before that has to fit in front of it.

use std::collections::HashMap;
use std::io;

use broker_model::limits::FRAME_BYTES_MAX;
use broker_model::{LeaderEpoch, Offset};
use broker_record::BatchHeader;

use super::{BatchScanner, HEADERS_CHUNK};

/// No batch is longer: it came in a frame.
const BATCH_LEN_MAX: u64 = FRAME_BYTES_MAX as u64;

/// Batches that follow each other, by their headers.
#[derive(Clone, Copy)]
struct Run {
    at: u64,
    first: BatchHeader,
    /// Where the last one ends, the offset behind it, and its epoch.
    end: u64,
    next: Offset,
    epoch: LeaderEpoch,
    /// How many there are.
    count: u64,
    lasts: bool,
}

impl Run {
    /// Whether it can stand before another one.
    fn fits_before(&self, other: &Self) -> bool {
        self.end <= other.at
            && self.next <= other.first.base_offset
            && self.epoch <= other.first.leader_epoch
    }
}

impl BatchScanner {
    /// Where it goes on behind what stands at the present position, which is not the batch that belongs there.
    pub(super) fn way_on(&mut self) -> io::Result<Option<(u64, Offset)>> {
        let here = self.run_at(self.position, u64::MAX)?;
        let found = match here {
            // Batches are missing, and this one is sound.
            Some(here) if here.lasts => Some(here),
            Some(here) if here.count > 1 => self.search()?,
            _ => match self.stated_end()? {
                // Nothing stands behind it, and what stands in it is its own.
                Some(end) if end == self.end => None,
                Some(end) => match self.run_behind_length(end, here)? {
                    Some(run) => Some(run),
                    None => self.search()?,
                },
                None => self.search()?,
            },
        };
        Ok(found.map(|run| (run.at, run.first.base_offset)))
    }

    /// Where the length leads that the header here states, be it damaged: that is the broker's own word, and nothing
    /// in front of it is another batch.
    fn stated_end(&mut self) -> io::Result<Option<u64>> {
        let position = self.position;
        let header = self.bytes(position, BatchHeader::LEN)?;
        let len = BatchHeader::stated_batch_len(header);
        Ok(len.map(|len| position.saturating_add(len)))
    }

    /// The batches there. What stands `here` is passed over only for one that belongs in front of it, and one alone
    /// has to be whole, for the length may be damaged.
    fn run_behind_length(&mut self, at: u64, here: Option<Run>) -> io::Result<Option<Run>> {
        let Some(run) = self.run_at(at, 2)? else {
            return Ok(None);
        };
        let belongs = here.is_none_or(|here| run.first.base_offset < here.first.base_offset);
        let is_one = run.lasts || run.count > 1 || self.body_is_sound(at, &run.first)?;
        Ok(Some(run).filter(|_| belongs && is_one))
    }

    /// The run at a position, or so many batches of it.
    fn run_at(&mut self, at: u64, enough: u64) -> io::Result<Option<Run>> {
        match self.header_ahead(at)? {
            Some(first) => self.run_from((at, first), enough, &[], &mut HashMap::new()),
            None => Ok(None),
        }
    }

    fn search(&mut self) -> io::Result<Option<Run>> {
        let mut runs: Vec<Run> = Vec::new();
        let mut seen = HashMap::new();
        let mut at = self.position;
        while let Some((found, first)) = self.find_header(at)? {
            at = found + 1;
            let Some(run) = self.run_from((found, first), u64::MAX, &runs, &mut seen)? else {
                continue;
            };
            runs.push(run);
            if run.lasts {
                break;
            }
            if run.count > 1 {
                at = run.end;
            }
        }
        // What is inside a batch ends before the batches behind it do.
        let lasting = runs.last().filter(|run| run.lasts);
        let Some(best) = lasting.or_else(|| runs.iter().max_by_key(|run| run.end)) else {
            return Ok(None);
        };
        let before = runs.iter().filter(|run| run.fits_before(best));
        let found = before.chain([best]).min_by_key(|run| run.first.base_offset);
        Ok(found.copied())
    }

    /// The run that begins with a header, or `enough` batches of it; none without a whole batch. It goes on as one of
    /// `others` does where it meets that, which `seen` knows by position.
    fn run_from(
        &mut self,
        (at, first): (u64, BatchHeader),
        enough: u64,
        others: &[Run],
        seen: &mut HashMap<u64, usize>,
    ) -> io::Result<Option<Run>> {
        let mut run = Run {
            at,
            first,
            end: at,
            next: first.base_offset,
            epoch: first.leader_epoch,
            count: 0,
            lasts: false,
        };
        let mut header = first;
        loop {
            let end = run.end + header.batch_len() as u64;
            if end > self.end {
                break;
            }
            let met = seen.insert(run.end, others.len());
            if let Some(other) = met.and_then(|met| others.get(met)) {
                run.end = other.end;
                run.next = other.next;
                run.epoch = other.epoch;
                run.count += 1;
                break;
            }
            run.end = end;
            run.next = header.next_offset();
            run.epoch = header.leader_epoch;
            run.count += 1;
            let is_at_end = self.end - end < BatchHeader::LEN as u64;
            if is_at_end || end - self.position > BATCH_LEN_MAX {
                run.lasts = true;
                break;
            }
            match self.header_ahead(end)? {
                Some(next) if next.base_offset == run.next && run.count < enough => header = next,
                _ => break,
            }
        }
        Ok(Some(run).filter(|run| run.count > 0))
    }

    /// The header at a position, if one stands there that may follow.
    fn header_ahead(&mut self, at: u64) -> io::Result<Option<BatchHeader>> {
        let left = self.end.saturating_sub(at);
        if left < BatchHeader::LEN as u64 {
            return Ok(None);
        }
        let wanted = (BatchHeader::LEN, HEADERS_CHUNK);
        let bytes = self.ahead.bytes(&*self.file, self.end, at, wanted)?;
        let header = BatchHeader::decode(bytes).ok();
        Ok(header.filter(self.may_follow()))
    }

    /// Whether a batch can stand behind the damage at the present position.
    fn may_follow(&self) -> impl Fn(&BatchHeader) -> bool + use<> {
        let (above, known_end, log_mark) = (self.expected, self.known_end, self.log_mark);
        move |header| {
            header.base_offset > above
                && header.batch_len() as u64 <= BATCH_LEN_MAX
                && header.next_offset() <= known_end
                && !header.log_mark.differs_from(log_mark)
        }
    }

    /// The first position from `from` on where such a header stands.
    fn find_header(&mut self, from: u64) -> io::Result<Option<(u64, BatchHeader)>> {
        let mut at = from;
        while at + BatchHeader::LEN as u64 <= self.end {
            let wanted = (self.end - at).min(super::BODIES_CHUNK as u64);
            let wanted = usize::try_from(wanted).unwrap_or(super::BODIES_CHUNK);
            let may_follow = self.may_follow();
            let bytes = self.bytes(at, wanted)?;
            let windows = bytes.windows(BatchHeader::LEN);
            let tried = windows.len();
            for (step, window) in windows.enumerate() {
                // Version and format, before the dearer checksum.
                if window.get(20..22) != Some(&[1, 1]) {
                    continue;
                }
                if let Ok(header) = BatchHeader::decode(window)
                    && may_follow(&header)
                {
                    return Ok(Some((at + step as u64, header)));
                }
            }
            at += tried as u64;
        }
        Ok(None)
    }
}
