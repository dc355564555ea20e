//! Dead letters: records that a serializer refused, written to the topic that `dead.letter.topic` names, with
//! the reason in their headers. They go in as they came, past that topic's own serializers.

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
    pub(super) partition: Option<u32>,
}

/// The records of the request that were refused, each once, as the array of a produce request, and the index
/// that each had. Where key and value were refused, the key's reason is told.
pub(super) fn letters(
    records: &SerializableRecords,
    refused: &[RefusedRecord],
    origin: &Origin<'_>,
) -> (Vec<u32>, Bytes) {
    let keys: Vec<_> = records.keys().collect();
    let values: Vec<_> = records.values().collect();
    let mut builder = BatchBuilder::new();
    let mut indexes: Vec<u32> = Vec::new();
    let partition = origin.partition.map(|partition| partition.to_string());
    for letter in refused {
        if indexes.last() == Some(&letter.index) {
            continue;
        }
        let row = letter.index as usize;
        let mut headers: Vec<(&str, Option<&[u8]>)> = records.headers(letter.index).collect();
        headers.push((TOPIC, Some(origin.topic.as_bytes())));
        if let Some(partition) = &partition {
            headers.push((PARTITION, Some(partition.as_bytes())));
        }
        headers.push((FIELD, Some(letter.field.name().as_bytes())));
        headers.push((PLUGIN, letter.plugin.as_deref().map(str::as_bytes)));
        headers.push((CODE, Some(refusal_code(letter).name().as_bytes())));
        headers.push((REASON, Some(letter.reason.as_bytes())));
        let key = keys.get(row).copied().flatten();
        let value = values.get(row).copied().flatten();
        let timestamp = records
            .timestamp(letter.index)
            .unwrap_or(Timestamp::from_millis(0));
        if builder.push(key, value, timestamp, headers).is_ok() {
            indexes.push(letter.index);
        }
    }
    let built = builder.build(Codec::None);
    (
        indexes,
        built.map_or_else(|_| Bytes::new(), |(body, _)| body),
    )
}
