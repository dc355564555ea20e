//! Records in an answer to a fetch with `decode`: `[offset, timestamp, key, value, headers]` with key
//! and value as MessagePack values of any type, or with a sixth element that says which of them could
//! not be decoded. Those are given as the bytes that are stored.

use broker_model::limits::DECODED_VALUE_DEPTH_MAX;
use broker_model::{Offset, Timestamp};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::records::{FetchedHeaders, FetchedRecords};
use crate::call::{InvalidValue, decode_map, encode_map};
use crate::reader::Reader;
use crate::shape;

/// Why fields of a record could not be decoded: the sixth element of its array.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FieldErrors {
    /// Why the key could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<FieldError>,
    /// Why the value could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<FieldError>,
}

/// Why a key or a value could not be decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FieldError {
    /// Name of the error code, such as `PLUGIN_REJECTED` or `PLUGIN_SUSPENDED`.
    pub code: String,
    /// Why, in words.
    pub reason: String,
    /// The serializer.
    pub plugin: String,
}

impl FieldErrors {
    /// Appends the map as it stands in the record's array.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode_map(self, out);
    }
}

/// A key or a value of a record that was fetched with `decode`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodedField<'a> {
    /// No key, or no value.
    Null,
    /// One encoded MessagePack value, never nil.
    Value(&'a [u8]),
    /// The bytes as they are stored, and why they could not be decoded.
    Undecoded {
        /// The bytes.
        bytes: &'a [u8],
        /// Why.
        error: FieldError,
    },
}

impl DecodedField<'_> {
    /// Whether a decoded value may stand in an answer: exactly one MessagePack value without extension
    /// types, flat enough that the frame around it keeps to the limit of nesting.
    pub fn fits(value: &[u8]) -> bool {
        shape::value_end_within(value, 0, DECODED_VALUE_DEPTH_MAX)
            .is_ok_and(|end| end == value.len())
    }
}

/// A record that was fetched with `decode`.
#[derive(Clone, Debug)]
pub struct DecodedRecord<'a> {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// Its key.
    pub key: DecodedField<'a>,
    /// Its value.
    pub value: DecodedField<'a>,
    headers: &'a [u8],
}

impl<'a> DecodedRecord<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, InvalidValue> {
        let len = reader.read_array_len()?;
        if len < 5 {
            return Err(InvalidValue::new(format!(
                "a decoded record has 5 or 6 elements, this one {len}"
            )));
        }
        let offset = Offset::new(reader.read_number("an offset")?);
        let timestamp = Timestamp::from_millis(reader.read_number("a timestamp")?);
        let (key, value) = (reader.read_raw()?, reader.read_raw()?);
        let headers = reader.read_raw()?;
        let errors: FieldErrors = match len {
            5 => FieldErrors::default(),
            _ => decode_map(reader.read_raw()?)?,
        };
        for _ in 6..len {
            reader.read_raw()?;
        }
        Ok(Self {
            offset,
            timestamp,
            key: field(key, errors.key)?,
            value: field(value, errors.value)?,
            headers,
        })
    }

    /// Its headers, in order.
    pub fn headers(&self) -> FetchedHeaders<'a> {
        FetchedHeaders::of(self.headers)
    }
}

fn field(raw: &[u8], error: Option<FieldError>) -> Result<DecodedField<'_>, InvalidValue> {
    Ok(match error {
        Some(error) => DecodedField::Undecoded {
            bytes: Reader::new(raw).read_bytes()?,
            error,
        },
        None if raw == [0xC0] => DecodedField::Null,
        None => DecodedField::Value(raw),
    })
}

impl FetchedRecords {
    /// The records of an answer to a fetch with `decode`, in order of offset; ends after the first that
    /// is malformed.
    pub fn iter_decoded(
        &self,
    ) -> impl Iterator<Item = Result<DecodedRecord<'_>, InvalidValue>> + '_ {
        let mut reader = Reader::new(self.as_bytes());
        let mut left = reader.read_array_len().unwrap_or(0);
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let record = DecodedRecord::read(&mut reader);
            if record.is_err() {
                left = 0;
            }
            Some(record)
        })
    }

    /// Shares the memory of a slice that one of its records lent out.
    pub fn share(&self, slice: &[u8]) -> Bytes {
        self.as_bytes().slice_ref(slice)
    }
}

#[cfg(test)]
mod tests {
    use super::super::RecordsWriter;
    use super::*;

    fn records(encoded: &[&[u8]]) -> FetchedRecords {
        let mut writer = RecordsWriter::new();
        for record in encoded {
            writer.push_encoded(|out| out.extend_from_slice(record));
        }
        FetchedRecords::new(writer.finish()).unwrap()
    }

    #[test]
    fn keys_and_values_are_values_of_any_type() {
        let records = records(&[
            b"\x95\x07\x09\x05\x82\xA1a\x01\xA1b\xC3\x90",
            b"\x95\x08\x09\xC0\xC0\x90",
        ]);
        let read: Vec<_> = records.iter_decoded().map(Result::unwrap).collect();
        assert_eq!(read[0].key, DecodedField::Value(b"\x05"));
        assert_eq!(
            read[0].value,
            DecodedField::Value(b"\x82\xA1a\x01\xA1b\xC3")
        );
        assert_eq!(
            (read[1].key.clone(), read[1].value.clone()),
            (DecodedField::Null, DecodedField::Null)
        );
        assert_eq!(read[1].offset, Offset::new(8));
    }

    #[test]
    fn what_could_not_be_decoded_comes_as_bytes_with_the_reason() {
        let error = FieldError {
            code: "PLUGIN_REJECTED".to_owned(),
            reason: "no JSON".to_owned(),
            plugin: "json".to_owned(),
        };
        let errors = FieldErrors {
            key: None,
            value: Some(error.clone()),
        };
        let mut record = b"\x96\x07\x09\x05\xC4\x01{\x91\x92\xA1h\xC4\x011".to_vec();
        errors.encode(&mut record);
        let records = records(&[&record]);
        let read = records.iter_decoded().next().unwrap().unwrap();
        assert_eq!(read.key, DecodedField::Value(b"\x05"));
        assert_eq!(read.value, DecodedField::Undecoded { bytes: b"{", error });
        let headers: Vec<_> = read.headers().map(Result::unwrap).collect();
        let expected: [(&str, Option<&[u8]>); 1] = [("h", Some(b"1"))];
        assert_eq!(headers, expected);
    }

    #[test]
    fn a_malformed_record_ends_the_iteration_with_an_error() {
        let bad: [&[u8]; 4] = [
            b"\x94\x07\x09\xC0\xC0",
            b"\x95\xFF\x09\xC0\xC0\x90",
            b"\x96\x07\x09\xC0\xC0\x90\x05",
            b"\x96\x07\x09\x05\xC0\x90\x81\xA3key\x81\xA4code\xA1x",
        ];
        for record in bad {
            let records = records(&[record, b"\x95\x08\x09\xC0\xC0\x90"]);
            let read: Vec<bool> = records.iter_decoded().map(|read| read.is_ok()).collect();
            assert_eq!(read, [false], "{record:02x?}");
        }
    }

    #[test]
    fn a_value_fits_while_the_frame_around_it_is_flat_enough() {
        let nested = |levels: usize| {
            let mut value = vec![0x91; levels];
            value.push(0x01);
            value
        };
        assert!(DecodedField::fits(&nested(DECODED_VALUE_DEPTH_MAX)));
        assert!(!DecodedField::fits(&nested(DECODED_VALUE_DEPTH_MAX + 1)));
        assert!(!DecodedField::fits(b"\x01\x01"));
        assert!(!DecodedField::fits(b""));
        assert!(!DecodedField::fits(b"\xC7\x01\x05\x00"));
        let deepest = nested(DECODED_VALUE_DEPTH_MAX);
        let record = [&b"\x95\x07\x09"[..], &deepest, b"\xC0\x90"].concat();
        let partition = super::super::FetchedPartition {
            data: super::super::FetchedData::Records(records(&[&record])),
            ..Default::default()
        };
        let frame = crate::response_frame(
            1,
            &super::super::FetchResponse {
                partitions: vec![partition],
            },
        );
        assert!(crate::Answer::parse(&frame.slice(crate::FRAME_HEADER_LEN..)).is_ok());
    }
}
