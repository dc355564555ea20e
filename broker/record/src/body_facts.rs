//! `BodyFacts`: what one full walk over an uncompressed body finds out, which is what a batch header
//! states. The walk is a single pass over the markers, without a structure or an allocation for a
//! record: it is on the path of every produce request.

use broker_model::limits::{BATCH_RECORDS_MAX, PLUGIN_BATCH_RECORDS_MAX};

use crate::InvalidBatch;
use crate::msgpack::Cursor;
use crate::scanned_record::ScannedRecord;
use crate::timestamp_span::TimestampSpan;

/// How many records a body has, and their timestamps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyFacts {
    pub(crate) record_count: u32,
    pub(crate) timestamps: TimestampSpan,
}

impl BodyFacts {
    /// Checks a body as it was produced: shape, count, offset deltas, nothing behind it.
    pub(crate) fn scan(body: &[u8]) -> Result<Self, InvalidBatch> {
        let mut timestamps = TimestampSpan::default();
        let record_count = scan_records(body, |record| timestamps.add(record.timestamp))?;
        Ok(Self {
            record_count,
            timestamps,
        })
    }

    /// The same for a body without a single key; `None` at the first key.
    pub(crate) fn scan_keyless(body: &[u8]) -> Result<Option<Self>, InvalidBatch> {
        let mut timestamps = TimestampSpan::default();
        let record_count = scan_records_while(body, |record| {
            timestamps.add(record.timestamp);
            record.key.is_none()
        })?;
        Ok(record_count.map(|record_count| Self {
            record_count,
            timestamps,
        }))
    }
}

/// The walk itself: checks every record and hands it to `visit`; returns how many there were.
#[inline(always)]
pub(crate) fn scan_records<'a>(
    body: &'a [u8],
    mut visit: impl FnMut(&ScannedRecord<'a>),
) -> Result<u32, InvalidBatch> {
    let record_count = scan_records_while(body, |record| {
        visit(record);
        true
    })?;
    Ok(record_count.expect("no visit ended it"))
}

/// The walk for as long as `visit` says so; `None` if that ended it.
#[inline(always)]
fn scan_records_while<'a>(
    body: &'a [u8],
    mut visit: impl FnMut(&ScannedRecord<'a>) -> bool,
) -> Result<Option<u32>, InvalidBatch> {
    let mut cursor = Cursor::new(body);
    let record_count = scan_count(&mut cursor)?;
    for index in 0..record_count {
        let record = match ScannedRecord::scan(&mut cursor) {
            Ok(record) => record,
            Err(reason) => {
                return Err(InvalidBatch::Malformed {
                    record: Some(index),
                    position: cursor.position_in(body),
                    reason,
                });
            }
        };
        if let Some(claimed) = record.offset_delta
            && claimed != i64::from(index)
        {
            return Err(InvalidBatch::OffsetDelta {
                record: index,
                claimed,
            });
        }
        if !visit(&record) {
            return Ok(None);
        }
    }
    check_end(&cursor, body)?;
    Ok(Some(record_count))
}

/// Reads the marker of the array around the records.
pub(crate) fn scan_count(cursor: &mut Cursor<'_>) -> Result<u32, InvalidBatch> {
    let records = cursor
        .array_len()
        .map_err(|reason| InvalidBatch::Malformed {
            record: None,
            position: 0,
            reason,
        })?;
    match records {
        0 => Err(InvalidBatch::Empty),
        1..=BATCH_RECORDS_MAX => Ok(records),
        _ => Err(InvalidBatch::TooManyRecords { records }),
    }
}

/// How many records a body says that it has, which are no more than plugins are asked about at once.
///
/// # Errors
/// When there is no array, and when it has none or too many.
pub fn count_for_plugins(body: &[u8]) -> Result<u32, InvalidBatch> {
    match scan_count(&mut Cursor::new(body))? {
        records @ ..=PLUGIN_BATCH_RECORDS_MAX => Ok(records),
        records => Err(InvalidBatch::TooManyForPlugins { records }),
    }
}

/// Checks that nothing follows the array.
pub(crate) fn check_end(cursor: &Cursor<'_>, body: &[u8]) -> Result<(), InvalidBatch> {
    match cursor.rest().len() {
        0 => Ok(()),
        bytes => Err(InvalidBatch::TrailingBytes {
            position: cursor.position_in(body),
            bytes,
        }),
    }
}
