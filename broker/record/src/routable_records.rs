//! `RoutableRecords`: the records of a produce request without a partition, checked and cut apart,
//! so that the topic's partitioner can look at them and each can go its own way.
//!
//! One walk checks everything that `ProducedBatch::plain` would and notes where each record lies.
//! Keys are at hand; values, headers and timestamps are read again by whoever needs them.

use broker_model::Timestamp;
use bytes::Bytes;

use crate::body_facts::{scan_count, scan_records};
use crate::msgpack::Cursor;
use crate::scanned_record::ScannedRecord;
use crate::{BatchHeader, InvalidBatch, RecordHeaders};

/// Checked records and where each of them lies.
#[derive(Clone, Debug)]
pub struct RoutableRecords {
    pub(crate) body: Bytes,
    pub(crate) places: Vec<RecordPlace>,
}

/// Where one record lies in the body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordPlace {
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// Where its key starts, and how long it is; [`NO_KEY`] long when there is none.
    key_start: u32,
    key_len: u32,
    pub(crate) timestamp: Option<i64>,
    pub(crate) has_offset_delta: bool,
}

const NO_KEY: u32 = u32::MAX;

/// Room for places that are not known to be needed yet.
const PLACES_AT_FIRST: usize = 1_000;

impl RoutableRecords {
    /// Checks the array of records as it lies in a produce request.
    ///
    /// # Errors
    /// Says what is wrong with the records, by index, as [`crate::ProducedBatch::plain`] does.
    pub fn walk(records: Bytes) -> Result<Self, InvalidBatch> {
        let bytes = records.len();
        if u32::try_from(bytes).is_ok_and(|len| len <= BatchHeader::BODY_LEN_MAX) {
            let places = find_places(&records)?;
            return Ok(Self {
                body: records,
                places,
            });
        }
        Err(InvalidBatch::TooLarge { bytes })
    }

    /// How many records there are, at least 1.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none, which `walk` refuses.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The keys in order; the column that every partitioner needs.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = Option<&[u8]>> {
        self.places.iter().map(|place| {
            let start = place.key_start as usize;
            (place.key_len != NO_KEY).then(|| &self.body[start..start + place.key_len as usize])
        })
    }

    /// The records in order, with all their parts, for plugins that ask for more than keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RoutableRecord<'_>> {
        self.places.iter().map(|place| {
            let raw = &self.body[place.start as usize..place.end as usize];
            let record = ScannedRecord::scan(&mut Cursor::new(raw));
            let record = record.expect("walk has read these very bytes without a fault");
            RoutableRecord {
                key: record.key,
                value: record.value,
                timestamp: record.timestamp.map(Timestamp::from_millis),
                headers: record.headers,
                raw,
            }
        })
    }
}

fn find_places(body: &[u8]) -> Result<Vec<RecordPlace>, InvalidBatch> {
    let narrow = |at: usize| u32::try_from(at).expect("walk has refused larger bodies");
    let mut places = Vec::with_capacity(places_at_first(body));
    scan_records(body, |record| {
        let start = position_of(record.raw, body);
        let (key_start, key_len) = match record.key {
            Some(key) => (narrow(position_of(key, body)), narrow(key.len())),
            None => (0, NO_KEY),
        };
        places.push(RecordPlace {
            start: narrow(start),
            end: narrow(start + record.raw.len()),
            key_start,
            key_len,
            timestamp: record.timestamp,
            has_offset_delta: record.offset_delta.is_some(),
        });
    })?;
    Ok(places)
}

/// Places to make room for at once: growing to them would cost more than the records do. A count that is not true
/// gets little.
fn places_at_first(body: &[u8]) -> usize {
    let claimed = scan_count(&mut Cursor::new(body)).unwrap_or_default();
    PLACES_AT_FIRST.min(claimed as usize)
}

/// Where `part`, a slice of `whole`, starts in it; found as `Bytes::slice_ref` does.
fn position_of(part: &[u8], whole: &[u8]) -> usize {
    part.as_ptr().addr() - whole.as_ptr().addr()
}

/// One record on its way to a partition.
#[derive(Clone, Copy, Debug)]
pub struct RoutableRecord<'a> {
    /// Its key; none is not the same as an empty one.
    pub key: Option<&'a [u8]>,
    /// Its value, if it has one.
    pub value: Option<&'a [u8]>,
    /// Its own timestamp; without one it gets the broker's.
    pub timestamp: Option<Timestamp>,
    /// Its headers, in order and with duplicates.
    pub headers: RecordHeaders<'a>,
    /// Its own MessagePack bytes.
    pub raw: &'a [u8],
}
