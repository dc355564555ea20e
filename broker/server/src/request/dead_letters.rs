//! Dead letters: records that a serializer refused, written to the topic that `dead.letter.topic` names, with
//! the reason in their headers. They go in as they came, past that topic's own serializers.

use std::mem;

use broker_model::Timestamp;
use broker_record::{BatchBuilder, Codec, SerializableRecords};
use bytes::Bytes;

use super::serialized_produce::refusal_code;
use crate::plugins::RefusedRecord;

/// Names of the headers that are added, in this order, behind the record's own.
const TOPIC: &str = "dead-letter.topic";
const PARTITION: &str = "dead-letter.partition";
const FIELD: &str = "dead-letter.field";
const PLUGIN: &str = "dead-letter.plugin";
const CODE: &str = "dead-letter.code";
const REASON: &str = "dead-letter.reason";

/// Where the refused records were to go.
pub(super) struct Origin<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: Option<String>,
}

/// Letters that go to their topic as one produce request.
pub(super) struct Letters {
    /// The index that each record had in its request, ascending.
    pub(super) indexes: Vec<u32>,
    /// The records as the array of a produce request.
    pub(super) body: Bytes,
}

/// The records of the request that were refused, each once, in bodies of at most so many bytes, unless a record alone
/// is larger. Where key and value were refused, the key's reason is told.
pub(super) fn letters(
    records: &SerializableRecords,
    refused: &[RefusedRecord],
    origin: &Origin<'_>,
    bytes_max: usize,
) -> Vec<Letters> {
    let keys: Vec<_> = records.keys().collect();
    let values: Vec<_> = records.values().collect();
    let mut done = Vec::new();
    let mut builder = BatchBuilder::new();
    let mut indexes: Vec<u32> = Vec::new();
    let mut last = None;
    for letter in refused {
        if last.replace(letter.index) == Some(letter.index) {
            continue;
        }
        let row = letter.index as usize;
        let headers = origin.headers(records, letter);
        let key = keys.get(row).copied().flatten();
        let value = values.get(row).copied().flatten();
        let bytes = BatchBuilder::record_bytes_max(key, value, headers.iter().copied());
        if builder.size_estimate().saturating_add(bytes) > bytes_max && !builder.is_empty() {
            let full = (mem::take(&mut indexes), mem::take(&mut builder));
            done.push(Letters::of(full));
        }
        let timestamp = records
            .timestamp(letter.index)
            .unwrap_or(Timestamp::from_millis(0));
        if builder.push(key, value, timestamp, headers).is_ok() {
            indexes.push(letter.index);
        }
    }
    if !builder.is_empty() {
        done.push(Letters::of((indexes, builder)));
    }
    done
}

impl Letters {
    fn of((indexes, builder): (Vec<u32>, BatchBuilder)) -> Self {
        let built = builder.build(Codec::None);
        let body = built.map_or_else(|_| Bytes::new(), |(body, _)| body);
        Self { indexes, body }
    }
}

impl Origin<'_> {
    /// The record's own headers, and behind them why it is there.
    fn headers<'h>(
        &'h self,
        records: &'h SerializableRecords,
        letter: &'h RefusedRecord,
    ) -> Vec<(&'h str, Option<&'h [u8]>)> {
        let mut headers: Vec<(&str, Option<&[u8]>)> = records.headers(letter.index).collect();
        headers.push((TOPIC, Some(self.topic.as_bytes())));
        if let Some(partition) = &self.partition {
            headers.push((PARTITION, Some(partition.as_bytes())));
        }
        headers.push((FIELD, Some(letter.field.name().as_bytes())));
        headers.push((PLUGIN, letter.plugin.as_deref().map(str::as_bytes)));
        headers.push((CODE, Some(refusal_code(letter).name().as_bytes())));
        headers.push((REASON, Some(letter.reason.as_bytes())));
        headers
    }
}
