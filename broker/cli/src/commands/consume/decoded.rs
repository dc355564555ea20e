//! Records of `consume --decode`: values as JSON text, and a line on standard error for what could
//! not be decoded.

use broker_client::ConsumerRecord;
use broker_client::protocol::api::fetch::FieldError;
use bytes::Bytes;

use crate::message_pack::{BinForm, json_text};
use crate::output::{Output, number};

/// How many of them are reported one by one.
const REPORTED_MAX: u64 = 20;

/// The record with JSON text in place of MessagePack. What was not decoded stays as it is stored.
pub(super) fn shown(mut record: ConsumerRecord) -> ConsumerRecord {
    let errors = record.undecoded.as_deref();
    let key_is_raw = errors.is_some_and(|errors| errors.key.is_some());
    let value_is_raw = errors.is_some_and(|errors| errors.value.is_some());
    if !key_is_raw {
        record.key = record.key.map(as_json);
    }
    if !value_is_raw {
        record.value = record.value.map(as_json);
    }
    record
}

fn as_json(packed: Bytes) -> Bytes {
    match json_text(&packed, BinForm::Readable) {
        Ok(text) => text.into(),
        // The broker and the client have looked at it; should it be no value all the same, it is
        // shown as the text of its reason.
        Err(reason) => serde_json::Value::from(reason).to_string().into(),
    }
}

/// Counts what could not be decoded.
#[derive(Debug, Default)]
pub(super) struct Undecoded {
    fields: u64,
}

impl Undecoded {
    /// Reports the fields of a record that could not be decoded.
    pub(super) fn note(&mut self, record: &ConsumerRecord, output: &Output) {
        let Some(errors) = record.undecoded.as_deref() else {
            return;
        };
        let fields = [("key", &errors.key), ("value", &errors.value)];
        for (field, error) in fields {
            let Some(FieldError {
                code,
                reason,
                plugin,
            }) = error
            else {
                continue;
            };
            self.fields += 1;
            // With --json the reason is in the record.
            if self.fields <= REPORTED_MAX && !output.is_json() {
                output.warn(format_args!(
                    "{}-{} offset {}: the {field} cannot be decoded: {reason} ({plugin}, {code})",
                    record.topic, record.partition, record.offset
                ));
            }
        }
    }

    /// Says how many were not reported one by one.
    pub(super) fn sum_up(&self, output: &Output) {
        let more = self.fields.saturating_sub(REPORTED_MAX);
        if more > 0 && !output.is_json() {
            output.warn(format_args!(
                "and {} more could not be decoded",
                number(more)
            ));
        }
    }
}
