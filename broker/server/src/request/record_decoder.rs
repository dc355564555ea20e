//! Decoding for a fetch with `decode`: the serializers' answers about one batch, and each record written with
//! them. A record that cannot be decoded is written raw, with the reason behind it.

use std::sync::Arc;

use broker_protocol::api::fetch::{FieldError, FieldErrors};
use broker_record::{RecordView, Records};

use super::wire;
use crate::plugins::{DecodedColumn, Fault, Field, Plugins};
use crate::topics::HostedTopic;

/// Decodes batches of one topic.
#[derive(Clone)]
pub(super) struct RecordDecoder {
    plugins: Arc<Plugins>,
    topic: Arc<HostedTopic>,
}

/// The decoded fields of one batch.
pub(super) struct DecodedBatch {
    keys: DecodedColumn,
    values: DecodedColumn,
}

impl RecordDecoder {
    pub(super) fn new(plugins: Arc<Plugins>, topic: Arc<HostedTopic>) -> Self {
        Self { plugins, topic }
    }

    /// Decodes both fields of a batch, one call each.
    pub(super) fn decode(&self, records: &Records) -> DecodedBatch {
        DecodedBatch {
            keys: self.plugins.decode(&self.topic, Field::Key, records),
            values: self.plugins.decode(&self.topic, Field::Value, records),
        }
    }
}

impl DecodedBatch {
    /// Appends record `index` of the batch as it stands in the answer.
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

fn field_error(fault: &Fault) -> FieldError {
    FieldError {
        code: wire::fault_code(fault).name().to_owned(),
        reason: fault.reason.clone(),
        plugin: fault.plugin.clone(),
    }
}
