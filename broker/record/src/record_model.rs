//! A plain model of records for tests: owned values, written and read through `rmp`, which shares
//! no code with this crate. What the model reads and what the crate reads has to be the same.

use broker_model::limits::{BATCH_RECORDS_MAX, RECORD_HEADERS_MAX};
use std::ops::Range;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use rmp::Marker;
use rmp::decode::{RmpRead, read_array_len, read_int, read_marker};
use rmp::encode::{write_array_len, write_bin, write_nil, write_sint, write_str, write_str_len};

/// One record as its producer meant it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModelRecord {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) timestamp: Option<i64>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
    pub(crate) offset_delta: Option<i64>,
}

/// How a producer writes what it means: any of these is valid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spelling {
    /// Keys and values as str instead of bin.
    as_str: bool,
    /// Nil for what could be left out from the end.
    spelled_out: bool,
}

impl ModelRecord {
    fn write(&self, spelling: Spelling, out: &mut Vec<u8>) {
        let needed = match self {
            _ if self.offset_delta.is_some() || spelling.spelled_out => 5,
            _ if !self.headers.is_empty() => 4,
            _ if self.timestamp.is_some() => 3,
            _ => 2,
        };
        write_array_len(out, needed).expect("a vec takes it");
        write_bytes(self.key.as_deref(), spelling, out);
        write_bytes(self.value.as_deref(), spelling, out);
        if needed > 2 {
            write_int(self.timestamp, out);
        }
        if needed > 3 {
            let headers = u32::try_from(self.headers.len()).expect("few");
            write_array_len(out, headers).expect("a vec takes it");
            for (name, value) in &self.headers {
                write_array_len(out, 2).expect("a vec takes it");
                write_str(out, name).expect("a vec takes it");
                write_bytes(value.as_deref(), spelling, out);
            }
        }
        if needed > 4 {
            write_int(self.offset_delta, out);
        }
    }
}

fn write_bytes(bytes: Option<&[u8]>, spelling: Spelling, out: &mut Vec<u8>) {
    match bytes {
        None => write_nil(out).expect("a vec takes it"),
        Some(bytes) if spelling.as_str => {
            write_str_len(out, u32::try_from(bytes.len()).expect("small")).expect("a vec takes it");
            out.extend_from_slice(bytes);
        }
        Some(bytes) => write_bin(out, bytes).expect("a vec takes it"),
    }
}

fn write_int(int: Option<i64>, out: &mut Vec<u8>) {
    match int {
        None => write_nil(out).expect("a vec takes it"),
        Some(int) => write_sint(out, int).map(drop).expect("a vec takes it"),
    }
}

/// The body that holds these records.
pub(crate) fn write_body(records: &[ModelRecord], spelling: Spelling) -> Vec<u8> {
    let mut out = Vec::new();
    let count = u32::try_from(records.len()).expect("few");
    write_array_len(&mut out, count).expect("a vec takes it");
    for record in records {
        record.write(spelling, &mut out);
    }
    out
}

/// The same in bin, as short as it gets.
pub(crate) fn plain_body(records: &[ModelRecord]) -> Vec<u8> {
    let spelling = Spelling {
        as_str: false,
        spelled_out: false,
    };
    write_body(records, spelling)
}

/// Reads a body by the letter of the format; `None` when it breaks any rule of a produced one.
pub(crate) fn read_body(mut body: &[u8]) -> Option<Vec<ModelRecord>> {
    let count = read_array_len(&mut body).ok()?;
    if !(1..=BATCH_RECORDS_MAX).contains(&count) {
        return None;
    }
    let mut records = Vec::new();
    for index in 0..count {
        let record = read_record(&mut body)?;
        if record
            .offset_delta
            .is_some_and(|delta| delta != i64::from(index))
        {
            return None;
        }
        records.push(record);
    }
    body.is_empty().then_some(records)
}

fn read_record(body: &mut &[u8]) -> Option<ModelRecord> {
    let elements = read_array_len(body).ok()?;
    if !(2..=5).contains(&elements) {
        return None;
    }
    Some(ModelRecord {
        key: read_bytes(body)?,
        value: read_bytes(body)?,
        timestamp: if elements > 2 {
            read_int_or_nil(body)?
        } else {
            None
        },
        headers: if elements > 3 {
            read_headers(body)?
        } else {
            Vec::new()
        },
        offset_delta: if elements > 4 {
            read_int_or_nil(body)?
        } else {
            None
        },
    })
}

fn read_headers(body: &mut &[u8]) -> Option<Vec<(String, Option<Vec<u8>>)>> {
    if take_nil(body) {
        return Some(Vec::new());
    }
    let count = read_array_len(body).ok()?;
    if count > RECORD_HEADERS_MAX {
        return None;
    }
    let mut headers = Vec::new();
    for _ in 0..count {
        if read_array_len(body).ok()? != 2 {
            return None;
        }
        let is_str = matches!(body.first()?, 0xa0..=0xbf | 0xd9..=0xdb);
        let name = read_bytes(body)?.filter(|_| is_str)?;
        headers.push((String::from_utf8(name).ok()?, read_bytes(body)?));
    }
    Some(headers)
}

fn read_bytes(body: &mut &[u8]) -> Option<Option<Vec<u8>>> {
    let len = match read_marker(body).ok()? {
        Marker::Null => return Some(None),
        Marker::FixStr(len) => usize::from(len),
        Marker::Bin8 | Marker::Str8 => usize::from(body.read_data_u8().ok()?),
        Marker::Bin16 | Marker::Str16 => usize::from(body.read_data_u16().ok()?),
        Marker::Bin32 | Marker::Str32 => usize::try_from(body.read_data_u32().ok()?).ok()?,
        _ => return None,
    };
    let (bytes, rest) = body.split_at_checked(len)?;
    *body = rest;
    Some(Some(bytes.to_vec()))
}

fn read_int_or_nil(body: &mut &[u8]) -> Option<Option<i64>> {
    if take_nil(body) {
        return Some(None);
    }
    read_int(body).ok().map(Some)
}

fn take_nil(body: &mut &[u8]) -> bool {
    let is_nil = body.first() == Some(&0xc0);
    if is_nil {
        *body = &body[1..];
    }
    is_nil
}

/// Lengths of keys and values on either side of where the marker changes.
pub(crate) fn all_lengths() -> impl Strategy<Value = usize> + Clone {
    prop_oneof![
        4 => Just(0_usize),
        20 => 1..40_usize,
        4 => 253..258_usize,
        1 => 65_534..65_538_usize,
    ]
}

/// Lengths that leave most of a body to its markers.
pub(crate) fn short_lengths() -> impl Strategy<Value = usize> + Clone {
    0..12_usize
}

/// A key or value.
fn any_bytes(lengths: impl Strategy<Value = usize>) -> impl Strategy<Value = Option<Vec<u8>>> {
    let bytes = (any::<u8>(), lengths).prop_map(|(byte, len)| {
        let mut bytes = vec![byte; len];
        if let Some(last) = bytes.last_mut() {
            *last = !byte;
        }
        bytes
    });
    option::weighted(0.8, bytes)
}

const HEADER_NAMES: [&str; 5] = [
    "",
    "trace",
    "\u{e4}\u{4f60}",
    "a name of 31 bytes, the longest.",
    "\u{1f980}",
];

fn any_headers(
    lengths: impl Strategy<Value = usize>,
) -> impl Strategy<Value = Vec<(String, Option<Vec<u8>>)>> {
    let name = (select(&HEADER_NAMES[..]), 1..4_usize).prop_map(|(name, times)| name.repeat(times));
    vec((name, any_bytes(lengths)), 0..4)
}

fn any_timestamp() -> impl Strategy<Value = Option<i64>> {
    option::weighted(
        0.7,
        prop_oneof![
            any::<i64>(),
            -40_000_i64..40_000,
            1_600_000_000_000_i64..1_800_000_000_000
        ],
    )
}

/// A record without an offset delta.
pub(crate) fn any_record(
    lengths: impl Strategy<Value = usize> + Clone,
) -> impl Strategy<Value = ModelRecord> {
    let headers =
        option::weighted(0.3, any_headers(lengths.clone())).prop_map(Option::unwrap_or_default);
    let parts = (
        any_bytes(lengths.clone()),
        any_bytes(lengths),
        any_timestamp(),
        headers,
    );
    parts.prop_map(|(key, value, timestamp, headers)| ModelRecord {
        key,
        value,
        timestamp,
        headers,
        offset_delta: None,
    })
}

/// Records that are valid as a produced batch: some say their offset delta, and say it right.
pub(crate) fn any_records(
    lengths: impl Strategy<Value = usize> + Clone,
    count: Range<usize>,
) -> impl Strategy<Value = Vec<ModelRecord>> {
    vec((any_record(lengths), any::<bool>()), count).prop_map(|records| {
        records
            .into_iter()
            .zip(0..)
            .map(|((record, says_delta), index)| ModelRecord {
                offset_delta: says_delta.then_some(index),
                ..record
            })
            .collect()
    })
}

pub(crate) fn any_spelling() -> impl Strategy<Value = Spelling> {
    any::<(bool, bool)>().prop_map(|(as_str, spelled_out)| Spelling {
        as_str,
        spelled_out,
    })
}
