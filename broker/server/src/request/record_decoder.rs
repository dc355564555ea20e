//! Decoding for a fetch with `decode`: the serializers' answers about one batch, and each record written with
//! them. A record that cannot be decoded is written raw, with the reason behind it.

use std::sync::Arc;

use broker_model::Offset;
use broker_protocol::api::fetch::{FieldError, FieldErrors};
use broker_record::{BatchError, RecordView, RecordsIter};

use super::wire;
use crate::plugins::{DecodedColumn, Fault, Field, Plugins};
use crate::topics::HostedTopic;

/// Records that are decoded in one go, and bytes of them: what decoding needs for each is many times what a small
/// one has, and an answer may have no room for more.
const RECORDS_AT_ONCE: usize = 1_000;
const BYTES_AT_ONCE: usize = 256 * 1024;

/// Decodes batches of one topic.
#[derive(Clone)]
pub(super) struct RecordDecoder {
    plugins: Arc<Plugins>,
    topic: Arc<HostedTopic>,
}

/// The decoded fields of some records of one batch.
pub(super) struct DecodedPart {
    keys: DecodedColumn,
    values: DecodedColumn,
}

impl RecordDecoder {
    pub(super) fn new(plugins: Arc<Plugins>, topic: Arc<HostedTopic>) -> Self {
        Self { plugins, topic }
    }

    /// Decodes both fields of records of a batch, one call each.
    pub(super) fn decode(&self, records: &[RecordView<'_>]) -> DecodedPart {
        DecodedPart {
            keys: self.plugins.decode(&self.topic, Field::Key, records),
            values: self.plugins.decode(&self.topic, Field::Value, records),
        }
    }
}

impl DecodedPart {
    /// Appends record `index` of the part as it stands in the answer.
    pub(super) fn write(&self, index: u32, record: &RecordView<'_>, out: &mut Vec<u8>) {
        let (key, key_fault) = self.keys.field(index, record.key);
        let (value, value_fault) = self.values.field(index, record.value);
        let errors = FieldErrors {
            key: key_fault.map(field_error),
            value: value_fault.map(field_error),
        };
        if errors == FieldErrors::default() {
            return record.encode_decoded(key, value, None, out);
        }
        let mut encoded = Vec::new();
        errors.encode(&mut encoded);
        record.encode_decoded(key, value, Some(&encoded), out);
    }
}

/// The next records to decode, from this offset on; none at the end. What cannot be read is an error once all before
/// it were answered.
pub(super) fn next_part<'a>(
    records: &mut RecordsIter<'a>,
    from: Offset,
) -> Result<Option<Vec<RecordView<'a>>>, BatchError> {
    let mut part = Vec::new();
    let mut bytes = 0;
    while part.len() < RECORDS_AT_ONCE && bytes < BYTES_AT_ONCE {
        let mut ahead = records.clone();
        match ahead.next() {
            None => break,
            Some(Ok(record)) if record.offset < from => {}
            Some(Ok(record)) => {
                bytes += record.raw().len();
                part.push(record);
            }
            Some(Err(_)) if !part.is_empty() => break,
            Some(Err(error)) => return Err(error),
        }
        *records = ahead;
    }
    Ok((!part.is_empty()).then_some(part))
}

fn field_error(fault: &Fault) -> FieldError {
    FieldError {
        code: wire::fault_code(fault).name().to_owned(),
        reason: fault.reason.clone(),
        plugin: fault.plugin.clone(),
    }
}
