//! One partition of a fetch: from an offset to what is answered about it. A damaged batch is reported with
//! the place of the damage and where reading can go on; it never hides what lies before it.

use std::sync::Arc;

use broker_model::limits::FRAME_BYTES_MAX;
use broker_model::{Offset, PartitionId};
use broker_protocol::api::fetch::{
    FetchAnswer, FetchData, FetchForm, FetchPartition, RecordsWriter,
};
use broker_protocol::{ErrorCode, ErrorData, WireError};
use broker_record::Batches;
use broker_storage::FileSlice;
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::{lookup, wire};
use crate::context::Context;
use crate::partition::{PartitionError, PartitionHandle, PartitionOffsets};

/// Above this many bytes a read or a check goes to a blocking thread.
const INLINE_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of decoded records in one answer; the rest of the frame is for what is said around them.
const RECORDS_BYTES_MAX: usize = FRAME_BYTES_MAX - 2 * 1024 * 1024;

/// What was found, and what it costs to hold.
pub(super) struct Fetched {
    pub(super) answer: FetchAnswer<FileSlice>,
    /// Bytes of stored batches.
    pub(super) bytes: u64,
    /// Bytes of decoded records.
    decoded: usize,
    pub(super) memory: Option<OwnedSemaphorePermit>,
}

/// What an answer still has room for.
#[derive(Clone, Copy)]
pub(super) struct Room {
    stored: u64,
    decoded: usize,
    /// Nothing is in the answer yet: one whole batch may exceed what is left.
    empty: bool,
}

impl Room {
    /// Room for so many bytes of stored batches.
    pub(super) fn new(max_bytes: u32) -> Self {
        Self {
            stored: u64::from(max_bytes),
            decoded: RECORDS_BYTES_MAX,
            empty: true,
        }
    }

    /// What a partition has used is gone.
    pub(super) fn take(&mut self, fetched: &Fetched) {
        self.stored = self.stored.saturating_sub(fetched.bytes);
        self.decoded = self.decoded.saturating_sub(fetched.decoded);
        self.empty &= fetched.bytes == 0;
    }
}

/// Reads one partition as far as there is room.
pub(super) async fn read_partition(
    context: &Arc<Context>,
    wanted: &FetchPartition,
    form: FetchForm,
    room: Room,
) -> Fetched {
    let mut fetched = Fetched {
        answer: FetchAnswer {
            topic: wanted.topic.clone(),
            partition: wanted.partition,
            error: None,
            log_start: Offset::ZERO,
            high_watermark: Offset::ZERO,
            log_end: Offset::ZERO,
            next_offset: wanted.offset,
            data: empty(form),
        },
        bytes: 0,
        decoded: 0,
        memory: None,
    };
    if let Err(error) = fill(context, wanted, form, room, &mut fetched).await {
        fetched.answer.error = Some(error);
    }
    fetched
}

fn empty(form: FetchForm) -> FetchData<FileSlice> {
    match form {
        FetchForm::Records => FetchData::Records(RecordsWriter::new().finish()),
        FetchForm::Batch => FetchData::Batch(Vec::new()),
    }
}

async fn fill(
    context: &Arc<Context>,
    wanted: &FetchPartition,
    form: FetchForm,
    room: Room,
    fetched: &mut Fetched,
) -> Result<(), WireError> {
    let topic = lookup::topic(context, &wanted.topic, wanted.topic_id)?;
    let handle = lookup::partition(&topic, wanted.partition)?;
    let offsets = handle.offsets();
    fetched.answer.log_start = offsets.start;
    fetched.answer.high_watermark = offsets.high_watermark;
    fetched.answer.log_end = offsets.end;
    check_range(wanted, offsets)?;
    let max_bytes = room
        .stored
        .min(wanted.max_bytes.map_or(u64::MAX, u64::from));
    if wanted.offset == offsets.high_watermark || (max_bytes == 0 && !room.empty) {
        return Ok(());
    }
    let at = (wanted.topic.as_str(), wanted.partition);
    let slice = read_verified(handle, wanted.offset, max_bytes, at).await?;
    if slice.is_empty() || (!room.empty && slice.len() > max_bytes) {
        return Ok(());
    }
    let bytes = slice.len();
    match form {
        FetchForm::Batch => {
            fetched.answer.next_offset = slice.next_offset();
            fetched.answer.data = FetchData::Batch(vec![(bytes, slice)]);
        }
        FetchForm::Records => {
            let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
            let memory = context.answers.clone().acquire_many_owned(permits).await;
            fetched.memory = memory.ok();
            let (records, next) = decode(&slice, wanted.offset, room.decoded, at).await?;
            if next == wanted.offset {
                return if room.decoded == RECORDS_BYTES_MAX {
                    Err(record_too_large(at, next))
                } else {
                    Ok(())
                };
            }
            fetched.decoded = records.len();
            fetched.answer.data = FetchData::Records(records);
            fetched.answer.next_offset = next;
        }
    }
    fetched.bytes = bytes;
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

/// Finds the batches and, where this process has not seen them yet, checks their checksums.
async fn read_verified(
    handle: &PartitionHandle,
    from: Offset,
    max_bytes: u64,
    (topic, partition): (&str, PartitionId),
) -> Result<FileSlice, WireError> {
    let tell = |error: PartitionError| wire::partition_error(topic, partition, error);
    let slice = handle.read(from, max_bytes).await.map_err(tell)?;
    if slice.is_empty() || !slice.needs_verification() {
        return Ok(slice);
    }
    // What lies before a damaged batch is good and is served.
    let checked = actix_rt::task::spawn_blocking(move || slice.verified()).await;
    checked
        .map_err(|panicked| PartitionError::ReadFailed {
            reason: panicked.to_string(),
        })
        .and_then(|verified| verified.map_err(PartitionError::from))
        .map_err(tell)
}

async fn decode(
    slice: &FileSlice,
    from: Offset,
    room: usize,
    (topic, partition): (&str, PartitionId),
) -> Result<(Bytes, Offset), WireError> {
    let reading = slice.clone();
    let work = move || -> Result<(Bytes, Offset), PartitionError> {
        let bytes = reading.read().map_err(|error| PartitionError::ReadFailed {
            reason: error.to_string(),
        })?;
        write_records(bytes, from, room)
    };
    let decoded = if slice.len() <= INLINE_BYTES_MAX {
        work()
    } else {
        actix_rt::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|error| {
                Err(PartitionError::ReadFailed {
                    reason: error.to_string(),
                })
            })
    };
    decoded.map_err(|error| wire::partition_error(topic, partition, error))
}

/// Decodes batches into the records of an answer, from `from` on and as far as there is room. Answers
/// where to read on, which is `from` when not one record fits.
fn write_records(
    bytes: Bytes,
    from: Offset,
    room: usize,
) -> Result<(Bytes, Offset), PartitionError> {
    let unreadable = |problem: String| PartitionError::ReadFailed { reason: problem };
    let mut writer = RecordsWriter::new();
    let mut next = from;
    for batch in Batches::new(bytes) {
        let batch = batch.map_err(|error| unreadable(error.to_string()))?;
        let records = batch
            .records()
            .map_err(|error| unreadable(error.to_string()))?;
        for record in records.iter() {
            let record = record.map_err(|error| unreadable(error.to_string()))?;
            if record.offset < from {
                continue;
            }
            if writer.bytes_len() + record.raw().len() > room {
                return Ok((writer.finish(), next));
            }
            let (key, value) = (record.key, record.value);
            writer.push(
                record.offset,
                record.timestamp,
                key,
                value,
                record.headers(),
            );
            next = record.offset.next();
        }
        next = next.max(batch.header.next_offset());
    }
    Ok((writer.finish(), next))
}

/// A record that only decompression makes too large for a frame can be read in batch form.
fn record_too_large((topic, partition): (&str, PartitionId), offset: Offset) -> WireError {
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
