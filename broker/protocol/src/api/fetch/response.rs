//! Result of `fetch`, as the client reads it: records and batches are slices of the frame, decoded
//! when they are iterated. How the broker writes it is in `answer`.

use broker_model::{Offset, PartitionId};
use bytes::Bytes;

use super::answer::{FetchAnswer, FetchData, encode_result};
use super::records::FetchedRecords;
use crate::call::{InvalidValue, Response, decode_map};
use crate::reader::Reader;
use crate::wire_error::WireError;

/// Result of `fetch`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchResponse {
    /// One answer for each partition asked for, in order.
    pub partitions: Vec<FetchedPartition>,
}

/// What was read of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedPartition {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: PartitionId,
    /// Why nothing could be read.
    pub error: Option<WireError>,
    /// First offset that can be read.
    pub log_start: Offset,
    /// Records below it can be read.
    pub high_watermark: Offset,
    /// Offset the next record will get.
    pub log_end: Offset,
    /// Where to read on; the offset asked for when nothing was read.
    pub next_offset: Offset,
    /// The records, in the form asked for.
    pub data: FetchedData,
}

/// Records of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchedData {
    /// Form `records`.
    Records(FetchedRecords),
    /// Form `batch`: stored batches back to back.
    Batch(Bytes),
}

impl FetchedData {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Records(records) => records.is_empty(),
            Self::Batch(bytes) => bytes.is_empty(),
        }
    }
}

impl Default for FetchedPartition {
    fn default() -> Self {
        Self {
            topic: String::new(),
            partition: PartitionId::default(),
            error: None,
            log_start: Offset::ZERO,
            high_watermark: Offset::ZERO,
            log_end: Offset::ZERO,
            next_offset: Offset::ZERO,
            data: FetchedData::Records(FetchedRecords::empty()),
        }
    }
}

impl Response for FetchResponse {
    fn encode(&self, out: &mut Vec<u8>) {
        let answers: Vec<FetchAnswer<Bytes>> = self
            .partitions
            .iter()
            .map(FetchedPartition::to_answer)
            .collect();
        encode_result(answers, out, |out, bytes: Bytes| {
            out.extend_from_slice(&bytes)
        });
    }

    fn decode(result: &Bytes) -> Result<Self, InvalidValue> {
        let mut reader = Reader::new(result);
        let mut partitions = Vec::new();
        for _ in 0..reader.read_map_len()? {
            if reader.read_str()? != "partitions" {
                reader.read_raw()?;
                continue;
            }
            for _ in 0..reader.read_array_len()? {
                partitions.push(FetchedPartition::read(&mut reader, result)?);
            }
        }
        Ok(Self { partitions })
    }
}

impl FetchedPartition {
    fn read(reader: &mut Reader<'_>, frame: &Bytes) -> Result<Self, InvalidValue> {
        let mut found = Self::default();
        for _ in 0..reader.read_map_len()? {
            let key = reader.read_str()?;
            if reader.take_nil()? {
                continue;
            }
            match key {
                "topic" => found.topic = reader.read_str()?.to_owned(),
                "partition" => {
                    found.partition = PartitionId::new(reader.read_number("a partition number")?);
                }
                "error" => found.error = Some(decode_map(reader.read_raw()?)?),
                "log_start" => found.log_start = read_offset(reader)?,
                "high_watermark" => found.high_watermark = read_offset(reader)?,
                "log_end" => found.log_end = read_offset(reader)?,
                "next_offset" => found.next_offset = read_offset(reader)?,
                "records" => {
                    let array = frame.slice_ref(reader.read_raw()?);
                    found.data = FetchedData::Records(FetchedRecords::new(array)?);
                }
                "batch" => {
                    found.data = FetchedData::Batch(frame.slice_ref(reader.read_bytes()?));
                }
                _ => {
                    reader.read_raw()?;
                }
            }
        }
        Ok(found)
    }

    fn to_answer(&self) -> FetchAnswer<Bytes> {
        let data = match &self.data {
            FetchedData::Records(records) => FetchData::Records(records.as_bytes().clone()),
            FetchedData::Batch(bytes) => {
                FetchData::Batch(vec![(bytes.len() as u64, bytes.clone())])
            }
        };
        FetchAnswer {
            topic: self.topic.clone(),
            partition: self.partition,
            error: self.error.clone(),
            log_start: self.log_start,
            high_watermark: self.high_watermark,
            log_end: self.log_end,
            next_offset: self.next_offset,
            data,
        }
    }
}

fn read_offset(reader: &mut Reader<'_>) -> Result<Offset, InvalidValue> {
    reader.read_number("an offset").map(Offset::new)
}
