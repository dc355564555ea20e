//! One partition of a fetch: from an offset to what is answered about it. A damaged batch is reported with
//! the place of the damage and where reading can go on; it never hides what lies before it.

use std::path::Path;
use std::sync::Arc;

use broker_model::limits::FRAME_BYTES_MAX;
use broker_model::{Offset, PartitionId};
use broker_protocol::api::fetch::{
    FetchAnswer, FetchData, FetchForm, FetchPartition, RecordsWriter,
};
use broker_protocol::{ErrorCode, ErrorData, WireError};
use broker_record::{BatchError, Batches, Records, StoredBatch};
use broker_storage::{FileSlice, ReadLimit};
use bytes::Bytes;

use super::decoding::{
    DECODED_HERE_BYTES, Decode, NotDecoded, Unfolded, decode_little, decode_much, unreadable,
};
use super::record_decoder::{RecordDecoder, next_part};
use super::{lookup, wire};
use crate::cold_reads::ColdReads;
use crate::context::Context;
use crate::net::unfolding::Unfolding;
use crate::partition::{PartitionError, PartitionOffsets};
use crate::plugins::Plugins;
use crate::topics::HostedTopic;

/// Bytes of decoded records in one answer; the rest of the frame is for what is said around them.
pub(super) const RECORDS_BYTES_MAX: usize = FRAME_BYTES_MAX - 2 * 1024 * 1024;

/// What there is to read of one partition: found, not yet read.
pub(super) struct Located {
    answer: FetchAnswer<FileSlice>,
    /// And how to read what is on the disk alone.
    slice: Option<(FileSlice, Arc<ColdReads>)>,
    topic: Option<Arc<HostedTopic>>,
    /// Whether it has all that it may take.
    is_full: bool,
}

impl Located {
    /// Bytes of stored batches that were found.
    pub(super) fn bytes(&self) -> u64 {
        self.slice.as_ref().map_or(0, |(slice, _)| slice.len())
    }

    /// Whether there can be more when more is appended: what was found goes up to the high watermark. It does not at the
    /// end of a segment, or where an answer takes no more.
    pub(super) fn may_grow(&self) -> bool {
        let slice = self.slice.as_ref();
        let next = slice.map_or(self.answer.next_offset, |(slice, _)| slice.next_offset());
        next >= self.answer.high_watermark && !self.is_full
    }

    /// What a partition that has these batches gives.
    #[cfg(test)]
    pub(super) fn of_slice(slice: FileSlice, cold: Arc<ColdReads>) -> Self {
        let answer = FetchAnswer {
            topic: "t".to_owned(),
            partition: PartitionId::new(0),
            error: None,
            log_start: Offset::ZERO,
            high_watermark: slice.next_offset(),
            log_end: slice.next_offset(),
            next_offset: slice.first_offset(),
            data: FetchData::Records(RecordsWriter::new().finish()),
        };
        Self {
            answer,
            slice: Some((slice, cold)),
            topic: None,
            is_full: false,
        }
    }

    /// Memory that it takes, about.
    pub(super) fn occupies(&self) -> usize {
        size_of::<Self>() + self.answer.topic.len()
    }

    /// Whether there is an error to be told.
    pub(super) fn is_failed(&self) -> bool {
        self.answer.error.is_some()
    }
}

/// What an answer still has room for.
pub(super) struct Room {
    stored: u64,
    /// Nothing is in the answer yet: one whole batch may exceed what is left.
    empty: bool,
}

impl Room {
    /// Room for so many bytes of stored batches.
    pub(super) fn new(max_bytes: u32) -> Self {
        Self {
            stored: u64::from(max_bytes),
            empty: true,
        }
    }

    /// How much of it a partition may take.
    fn of(&self, wanted: &FetchPartition) -> u64 {
        self.stored
            .min(wanted.max_bytes.map_or(u64::MAX, u64::from))
    }
}

/// Finds what there is to read of one partition, as far as there is room. Touches no data.
pub(super) async fn locate(
    context: &Context,
    wanted: &FetchPartition,
    form: FetchForm,
    room: &mut Room,
) -> Located {
    let mut located = Located {
        answer: FetchAnswer {
            topic: wanted.topic.clone(),
            partition: wanted.partition,
            error: None,
            log_start: Offset::ZERO,
            high_watermark: Offset::ZERO,
            log_end: Offset::ZERO,
            next_offset: wanted.offset,
            data: match form {
                FetchForm::Records => FetchData::Records(RecordsWriter::new().finish()),
                FetchForm::Batch => FetchData::Batch(Vec::new()),
            },
        },
        slice: None,
        topic: None,
        is_full: false,
    };
    let max_bytes = room.of(wanted);
    match find_slice(context, wanted, room, &mut located.answer).await {
        Ok((topic, slice, cold)) => {
            located.topic = Some(topic);
            // A first batch there is always room for.
            let is_first = slice.is_empty() && room.empty;
            located.is_full = slice.len() >= max_bytes && !is_first;
            room.stored = room.stored.saturating_sub(slice.len());
            room.empty &= slice.is_empty();
            located.slice = (!slice.is_empty()).then_some((slice, cold));
        }
        Err(error) => located.answer.error = Some(error),
    }
    located
}

async fn find_slice(
    context: &Context,
    wanted: &FetchPartition,
    room: &Room,
    answer: &mut FetchAnswer<FileSlice>,
) -> Result<(Arc<HostedTopic>, FileSlice, Arc<ColdReads>), WireError> {
    let topic = lookup::topic(context, &wanted.topic, wanted.topic_id)?;
    let handle = lookup::partition(&topic, wanted.partition)?;
    let offsets = handle.offsets();
    let cold = handle.cold_reads().clone();
    answer.log_start = offsets.start;
    answer.high_watermark = offsets.high_watermark;
    answer.log_end = offsets.end;
    check_range(wanted, offsets)?;
    let max_bytes = room.of(wanted);
    if wanted.offset == offsets.high_watermark || (max_bytes == 0 && !room.empty) {
        return Ok((topic, FileSlice::empty(wanted.offset), cold));
    }
    let limit = if room.empty {
        ReadLimit::OneBatchOr(max_bytes)
    } else {
        ReadLimit::Strict(max_bytes)
    };
    let slice = handle.read(wanted.offset, limit).await;
    match slice {
        Ok(slice) => Ok((topic, slice, cold)),
        Err(error) => Err(wire::partition_error(
            &wanted.topic,
            wanted.partition,
            error,
        )),
    }
}

/// How an answer wants its data.
#[derive(Clone)]
pub(super) enum Wanted {
    Batches,
    Records(Unfolding),
    /// Keys and values as the topic's serializers decode them.
    Decoded(Arc<Plugins>, Unfolding),
}

/// What the whole answer may still take, and what may be done for it.
pub(super) struct RecordsRoom {
    /// Of decoded records.
    pub(super) bytes: usize,
    /// Whether it is the turn of this fetch to unfold much. Without it, nothing is read from where it would have to.
    pub(super) may_unfold_much: bool,
    /// Whether it would have had to, or has done so.
    pub(super) unfolds_much: bool,
}

impl RecordsRoom {
    /// For so many bytes; nothing may be unfolded to much yet.
    pub(super) fn of(bytes: usize) -> Self {
        Self {
            bytes,
            may_unfold_much: false,
            unfolds_much: false,
        }
    }

    /// Whether reading on takes a turn that this fetch has not.
    pub(super) fn needs_turn(&self) -> bool {
        self.unfolds_much && !self.may_unfold_much
    }
}

/// Reads what was located into an answer, as far as there is `room`. Answers as well how many bytes were decoded on
/// this thread.
pub(super) async fn read(
    located: Located,
    form: &Wanted,
    room: &mut RecordsRoom,
) -> (FetchAnswer<FileSlice>, usize) {
    let Located {
        mut answer,
        slice,
        topic,
        ..
    } = located;
    let Some((slice, cold)) = slice else {
        return (answer, 0);
    };
    let mut worked_on = 0;
    let serializing = topic.filter(|topic| topic.plugins.serializes());
    let decoder = match (form, serializing) {
        (Wanted::Decoded(plugins, _), Some(topic)) => {
            Some(RecordDecoder::new(plugins.clone(), topic))
        }
        _ => None,
    };
    let at = (answer.topic.clone(), answer.partition);
    let filled = match cold.verified(slice).await {
        Ok(slice) => match form {
            Wanted::Batches => {
                answer.next_offset = slice.next_offset();
                answer.data = FetchData::Batch(vec![(slice.len(), slice)]);
                Ok(())
            }
            Wanted::Records(unfolding) | Wanted::Decoded(_, unfolding) => {
                let reading = Reading {
                    slice,
                    from: answer.next_offset,
                    decoder,
                    room: room.bytes,
                };
                fill(&mut answer, (reading, unfolding), room, &mut worked_on).await
            }
        },
        Err(error) => Err(error),
    };
    if let Err(error) = filled {
        answer.error = Some(wire::partition_error(&at.0, at.1, error));
    }
    (answer, worked_on)
}

async fn fill(
    answer: &mut FetchAnswer<FileSlice>,
    (reading, unfolding): (Reading, &Unfolding),
    room: &mut RecordsRoom,
    worked_on: &mut usize,
) -> Result<(), PartitionError> {
    let from = answer.next_offset;
    let Written { records, next, .. } = match decode_little(&reading, unfolding, worked_on).await {
        Ok(written) => written,
        Err(NotDecoded::Failed(error)) => return Err(error),
        Err(NotDecoded::UnfoldsToMore) => {
            room.unfolds_much = true;
            if room.needs_turn() {
                return Ok(());
            }
            decode_much(reading, unfolding).await?
        }
    };
    if next == from && room.bytes == RECORDS_BYTES_MAX {
        answer.error = Some(record_too_large(&answer.topic, answer.partition, next));
        return Ok(());
    }
    room.bytes = room.bytes.saturating_sub(records.len());
    answer.data = FetchData::Records(records);
    answer.next_offset = next;
    Ok(())
}

fn check_range(wanted: &FetchPartition, offsets: PartitionOffsets) -> Result<(), WireError> {
    if (offsets.start..=offsets.high_watermark).contains(&wanted.offset) {
        return Ok(());
    }
    let error = PartitionError::OffsetOutOfRange {
        asked: wanted.offset,
        earliest: offsets.start,
        latest: offsets.high_watermark,
    };
    Err(wire::partition_error(
        &wanted.topic,
        wanted.partition,
        error,
    ))
}

/// What is to be decoded.
#[derive(Clone)]
struct Reading {
    slice: FileSlice,
    from: Offset,
    decoder: Option<RecordDecoder>,
    /// Bytes that the records may take.
    room: usize,
}

/// Decoded records.
struct Written {
    records: Bytes,
    /// Where to read on.
    next: Offset,
    /// Bytes that their batches unfolded to.
    unfolded: usize,
}

impl Decode for Reading {
    type Decoded = Written;

    fn bytes(&self) -> u64 {
        self.slice.len()
    }

    fn here_bytes(&self) -> usize {
        match self.decoder {
            None => DECODED_HERE_BYTES,
            // Serializers take longer.
            Some(_) => DECODED_HERE_BYTES / 4,
        }
    }

    fn decode(&self, limit: Unfolded) -> Result<Written, NotDecoded> {
        write_records(self, limit)
    }

    fn work(decoded: &Written) -> usize {
        decoded.unfolded + decoded.records.len()
    }
}

/// Decodes batches into the records of an answer, from `from` on and as far as there is room. Answers
/// where to read on, which is `from` when not one record fits. A batch that cannot be decoded (checksums fit,
/// but it was taken unchecked) ends the answer, or is the error when nothing lies before it.
fn write_records(reading: &Reading, limit: Unfolded) -> Result<Written, NotDecoded> {
    let Reading { slice, from, .. } = reading;
    let failed = |problem: &dyn std::fmt::Display| NotDecoded::Failed(unreadable(problem));
    let bytes = slice.read().map_err(|error| failed(&error))?;
    let mut batches = Batches::new(bytes);
    let mut decoded = Decoded {
        writer: RecordsWriter::new(),
        next: *from,
        room: reading.room,
    };
    let mut unfolded = 0;
    loop {
        let position = slice.position() + batches.position() as u64;
        let Some(batch) = batches.next() else { break };
        let batch = batch.map_err(|error| failed(&error))?;
        let records = batch.records_within(limit.batch.min(limit.in_all - unfolded));
        let taken = records.and_then(|records| {
            unfolded = limit.in_all.min(unfolded + records.body().len());
            match &reading.decoder {
                None => decoded.take(&batch, &records),
                Some(decoder) => decoded.take_decoded(&batch, &records, decoder),
            }
        });
        match taken {
            Ok(Fits::Whole) => {}
            Ok(Fits::InPart) => break,
            Err(_) if decoded.writer.count() > 0 => break,
            Err(error) if error.is_for_lack_of_room() => {
                return Err(NotDecoded::UnfoldsToMore);
            }
            Err(error) => {
                return Err(NotDecoded::Failed(PartitionError::Corrupt {
                    file: slice.path().map(Path::to_owned).unwrap_or_default(),
                    position,
                    offset: batch.header.base_offset.max(*from),
                    next_good: Some(batch.header.next_offset()),
                    reason: error.to_string(),
                }));
            }
        }
    }
    Ok(Written {
        records: decoded.writer.finish(),
        next: decoded.next,
        unfolded,
    })
}

/// Records of an answer while they are gathered.
struct Decoded {
    writer: RecordsWriter,
    /// The first offset that is not in it; earlier records are not wanted.
    next: Offset,
    room: usize,
}

/// Whether there was room for all of a batch.
enum Fits {
    Whole,
    InPart,
}

impl Decoded {
    /// Adds a batch's records as far as they can be decoded and have room.
    fn take(&mut self, batch: &StoredBatch, records: &Records) -> Result<Fits, BatchError> {
        for record in records.iter() {
            let record = record?;
            if record.offset < self.next {
                continue;
            }
            if self.writer.bytes_len() + record.raw().len() > self.room {
                return Ok(Fits::InPart);
            }
            let (key, value) = (record.key, record.value);
            let writer = &mut self.writer;
            writer.push(
                record.offset,
                record.timestamp,
                key,
                value,
                record.headers(),
            );
            self.next = record.offset.next();
        }
        self.next = self.next.max(batch.header.next_offset());
        Ok(Fits::Whole)
    }

    /// The same with keys and values as the serializers decode them.
    fn take_decoded(
        &mut self,
        batch: &StoredBatch,
        records: &Records,
        decoder: &RecordDecoder,
    ) -> Result<Fits, BatchError> {
        let mut left = records.iter();
        while let Some(part) = next_part(&mut left, self.next)? {
            let columns = decoder.decode(&part);
            let mut encoded = Vec::new();
            for (index, record) in (0..).zip(&part) {
                encoded.clear();
                columns.write(index, record, &mut encoded);
                if self.writer.bytes_len() + encoded.len() > self.room {
                    return Ok(Fits::InPart);
                }
                self.writer
                    .push_encoded(|out| out.extend_from_slice(&encoded));
                self.next = record.offset.next();
            }
        }
        self.next = self.next.max(batch.header.next_offset());
        Ok(Fits::Whole)
    }
}

/// A record that only decompression makes too large for a frame can be read in batch form.
fn record_too_large(topic: &str, partition: PartitionId, offset: Offset) -> WireError {
    let message = format!(
        "the record at offset {offset} of {topic}-{partition} does not fit an answer once it is \
         decompressed: fetch it with form = batch"
    );
    WireError::new(ErrorCode::MessageTooLarge, message).with_data(ErrorData {
        topic: Some(topic.to_owned()),
        partition: Some(partition),
        offset: Some(offset),
        next_offset: Some(offset.next()),
        ..ErrorData::default()
    })
}
