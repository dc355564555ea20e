//! `SerializableRecords`: the records of a produce request on their way through serializer plugins. One walk
//! notes where each key, each value and the rest of each record lie; the body is made anew only when the
//! plugins changed or refused something, so a check that passes costs no copy.

use broker_model::Timestamp;
use bytes::Bytes;

use crate::body_facts::{BodyFacts, check_end, scan_count};
use crate::compression;
use crate::msgpack::{ARRAY_LEN_BYTES_MAX, Cursor, put_array_len, put_bin_or_nil};
use crate::{
    BatchHeader, Codec, InvalidBatch, MalformedReason, OpaqueClaims, ProducedBatch, RecordHeaders,
    Validation,
};

/// How keys and values stand in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldForm {
    /// As bin, str or nil: the bytes to be stored.
    Bytes,
    /// As any MessagePack value that has yet to be serialized; nil is null.
    Value,
}

/// Records and where their parts lie.
#[derive(Clone, Debug)]
pub struct SerializableRecords {
    body: Bytes,
    places: Vec<Place>,
    codec: Codec,
    /// What records without a timestamp get.
    default_timestamp: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    /// [`NULL`] for nil.
    len: u32,
}

const NULL: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Place {
    key: Span,
    value: Span,
    /// The elements behind the value, without an offset delta.
    tail: Span,
    tail_elements: u32,
    timestamp: Option<i64>,
}

impl SerializableRecords {
    /// Walks the array of records as it lies in a produce request.
    ///
    /// # Errors
    /// Says what is wrong with the records, by index.
    pub fn plain(
        records: Bytes,
        form: FieldForm,
        default_timestamp: Timestamp,
    ) -> Result<Self, InvalidBatch> {
        let bytes = records.len();
        if u32::try_from(bytes).is_ok_and(|len| len <= BatchHeader::BODY_LEN_MAX) {
            return Ok(Self {
                places: find_places(&records, form)?,
                body: records,
                codec: Codec::None,
                default_timestamp,
            });
        }
        Err(InvalidBatch::TooLarge { bytes })
    }

    /// Opens a batch that the producer built, compressed or not, if it unfolds to at most `unfolded_max` bytes.
    ///
    /// # Errors
    /// Says what is wrong with the records, by index; [`InvalidBatch::is_for_lack_of_room`] tells whether a higher
    /// limit may help.
    pub fn opaque(batch: &ProducedBatch, unfolded_max: usize) -> Result<Self, InvalidBatch> {
        let codec = batch.header.codec;
        let body = compression::decompress_bytes(codec, &batch.body, unfolded_max)?;
        // Before there is room for each of them.
        let (claimed, actual) = (
            batch.header.record_count,
            scan_count(&mut Cursor::new(&body))?,
        );
        if claimed != actual {
            return Err(InvalidBatch::CountMismatch { claimed, actual });
        }
        let default_timestamp = batch.header.base_timestamp;
        let records = Self::plain(body, FieldForm::Bytes, default_timestamp)?;
        Ok(Self { codec, ..records })
    }

    /// How many records there are, at least 1.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none, which the walk refuses.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The keys in order: their bytes, or their encoded MessagePack values.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = Option<&[u8]>> + Clone {
        self.places.iter().map(|place| self.part(place.key))
    }

    /// The values in order: their bytes, or their encoded MessagePack values.
    pub fn values(&self) -> impl ExactSizeIterator<Item = Option<&[u8]>> + Clone {
        self.places.iter().map(|place| self.part(place.value))
    }

    /// A record's own timestamp, or the one it gets.
    pub fn timestamp(&self, index: u32) -> Option<Timestamp> {
        let place = self.places.get(index as usize)?;
        let own = place.timestamp.map(Timestamp::from_millis);
        Some(own.unwrap_or(self.default_timestamp))
    }

    /// A record's headers.
    pub fn headers(&self, index: u32) -> RecordHeaders<'_> {
        let Some(place) = self.places.get(index as usize) else {
            return RecordHeaders::NONE;
        };
        let mut cursor = Cursor::new(self.part(place.tail).unwrap_or_default());
        // The walk has read these very bytes without a fault.
        let read = |cursor: &mut Cursor<'_>| cursor.int_or_nil().map(drop);
        if place.tail_elements < 2 || read(&mut cursor).is_err() {
            return RecordHeaders::NONE;
        }
        RecordHeaders::scan(&mut cursor).unwrap_or(RecordHeaders::NONE)
    }

    /// The array of those records that `keep` names, with other keys and values in place of their own.
    /// Timestamps and headers stay; `None` when no record is kept.
    pub fn rebuild<'a>(
        &self,
        keys: impl Iterator<Item = Option<&'a [u8]>>,
        values: impl Iterator<Item = Option<&'a [u8]>>,
        keep: impl Fn(u32) -> bool,
    ) -> Option<Bytes> {
        let count = (0..).zip(&self.places).filter(|(index, _)| keep(*index));
        let count = u32::try_from(count.count()).unwrap_or(u32::MAX);
        if count == 0 {
            return None;
        }
        let mut out = Vec::with_capacity(ARRAY_LEN_BYTES_MAX + self.body.len());
        put_array_len(&mut out, count);
        for (((index, place), key), value) in (0..).zip(&self.places).zip(keys).zip(values) {
            if !keep(index) {
                continue;
            }
            put_array_len(&mut out, 2 + place.tail_elements);
            put_bin_or_nil(&mut out, key);
            put_bin_or_nil(&mut out, value);
            out.extend_from_slice(self.part(place.tail).unwrap_or_default());
        }
        Some(out.into())
    }

    /// A batch of a body that [`rebuild`](Self::rebuild) made, compressed as the request was.
    ///
    /// # Errors
    /// When it got larger than a batch can be.
    pub fn batch(&self, body: Bytes) -> Result<ProducedBatch, InvalidBatch> {
        if self.codec == Codec::None {
            return ProducedBatch::plain(body, self.default_timestamp);
        }
        let facts = BodyFacts::scan(&body)?;
        let base_timestamp = facts.timestamps.required_base();
        let base_timestamp = base_timestamp.unwrap_or(self.default_timestamp);
        let packed = compression::compress(self.codec, &body);
        let body: Bytes = match packed {
            Ok(packed) => packed.into(),
            Err(_) => return ProducedBatch::plain(body, self.default_timestamp),
        };
        let claims = OpaqueClaims {
            codec: self.codec,
            record_count: facts.record_count,
            base_timestamp,
            max_timestamp: facts.timestamps.max(base_timestamp),
            body_crc: crc32fast::hash(&body),
            producer: None,
        };
        ProducedBatch::opaque(body, claims, Validation::Trust)
    }

    fn part(&self, span: Span) -> Option<&[u8]> {
        let start = span.start as usize;
        (span.len != NULL).then(|| &self.body[start..start + span.len as usize])
    }
}

/// The bytes in an encoded bin or str, for fields without a serializer; `None` for any other value.
pub fn bytes_in_value(value: &[u8]) -> Option<&[u8]> {
    Cursor::new(value).bytes_or_nil().ok().flatten()
}

fn find_places(body: &[u8], form: FieldForm) -> Result<Vec<Place>, InvalidBatch> {
    let mut cursor = Cursor::new(body);
    let count = scan_count(&mut cursor)?;
    let mut places = Vec::new();
    for index in 0..count {
        let (place, delta) = find_place(&mut cursor, body, form).map_err(|reason| {
            let position = cursor.position_in(body);
            InvalidBatch::Malformed {
                record: Some(index),
                position,
                reason,
            }
        })?;
        if let Some(claimed) = delta.filter(|claimed| *claimed != i64::from(index)) {
            return Err(InvalidBatch::OffsetDelta {
                record: index,
                claimed,
            });
        }
        places.push(place);
    }
    check_end(&cursor, body)?;
    Ok(places)
}

fn find_place(
    cursor: &mut Cursor<'_>,
    body: &[u8],
    form: FieldForm,
) -> Result<(Place, Option<i64>), MalformedReason> {
    let elements = cursor.array_len()?;
    if !(2..=5).contains(&elements) {
        return Err(MalformedReason::RecordElements { elements });
    }
    let key = find_field(cursor, body, form)?;
    let value = find_field(cursor, body, form)?;
    let behind_value = *cursor;
    let timestamp = match elements {
        2 => None,
        _ => cursor.int_or_nil()?,
    };
    if elements > 3 {
        RecordHeaders::scan(cursor)?;
    }
    let tail = cursor.since(behind_value);
    let delta = match elements {
        5 => cursor.int_or_nil()?,
        _ => None,
    };
    let place = Place {
        key,
        value,
        tail: span(behind_value.position_in(body), tail.len()),
        tail_elements: elements.min(4) - 2,
        timestamp,
    };
    Ok((place, delta))
}

fn find_field(
    cursor: &mut Cursor<'_>,
    body: &[u8],
    form: FieldForm,
) -> Result<Span, MalformedReason> {
    let start = *cursor;
    let found = match form {
        FieldForm::Bytes => cursor.bytes_or_nil()?,
        FieldForm::Value => Some(cursor.any_value()?).filter(|value| *value != [NIL]),
    };
    let end = cursor.position_in(body);
    Ok(match found {
        Some(field) => span(end - field.len(), field.len()),
        None => Span {
            start: start.position_in(body).try_into().unwrap_or(0),
            len: NULL,
        },
    })
}

/// MessagePack's nil.
const NIL: u8 = 0xc0;

fn span(start: usize, len: usize) -> Span {
    let narrow = |at: usize| u32::try_from(at).expect("larger bodies were refused");
    Span {
        start: narrow(start),
        len: narrow(len),
    }
}

#[cfg(test)]
#[path = "serializable_records_tests.rs"]
mod tests;
