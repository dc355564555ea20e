//! The columns of a fixture's records, as a broker would gather them.

use broker_wasm::{BatchColumns, BytesColumn};
use rmp::encode;

use super::fixture::{Headers, Record};

/// The columns of some records; all of them, whatever the plugin asks for.
#[derive(Default)]
pub(super) struct Columns {
    keys: BytesColumn,
    values: BytesColumn,
    headers: BytesColumn,
    timestamps_ms: Vec<i64>,
    value_lens: Vec<i32>,
    base_offset: u64,
    offset_deltas: Vec<u32>,
}

impl Columns {
    /// Records without offsets, as they are produced.
    pub(super) fn produced(records: &[Record]) -> Self {
        let mut columns = Columns::default();
        for record in records {
            let value = record.value.0.as_deref();
            columns.keys.push(record.key.0.as_deref());
            columns.values.push(value);
            let headers = packed(&record.headers);
            columns.headers.push(headers.as_deref());
            columns.timestamps_ms.push(record.timestamp_ms);
            let len = value.map_or(-1, |value| i32::try_from(value.len()).unwrap_or(i32::MAX));
            columns.value_lens.push(len);
        }
        columns
    }

    /// Records with the offsets of the same places.
    pub(super) fn stored(records: &[Record], offsets: &[u64]) -> Self {
        let mut columns = Columns::produced(records);
        columns.base_offset = offsets.first().copied().unwrap_or_default();
        let deltas = offsets
            .iter()
            .map(|offset| offset.saturating_sub(columns.base_offset));
        columns.offset_deltas = deltas
            .map(|delta| u32::try_from(delta).unwrap_or(u32::MAX))
            .collect();
        columns
    }

    /// The batch.
    pub(super) fn batch(&self) -> BatchColumns<'_> {
        BatchColumns {
            records: u32::try_from(self.keys.len()).unwrap_or(u32::MAX),
            base_offset: self.base_offset,
            offset_deltas: &self.offset_deltas,
            keys: Some(&self.keys),
            values: Some(&self.values),
            headers: Some(&self.headers),
            timestamps_ms: Some(&self.timestamps_ms),
            value_lens: Some(&self.value_lens),
        }
    }
}

/// Headers as MessagePack; nothing where there are none. Writing into a vector cannot fail.
fn packed(headers: &Headers) -> Option<Vec<u8>> {
    let count = u32::try_from(headers.0.len())
        .ok()
        .filter(|count| *count > 0)?;
    let mut out = Vec::new();
    let _ = encode::write_array_len(&mut out, count);
    for (name, value) in &headers.0 {
        let _ = encode::write_array_len(&mut out, 2);
        let _ = encode::write_str(&mut out, name);
        match &value.0 {
            Some(value) => drop(encode::write_bin(&mut out, value)),
            None => drop(encode::write_nil(&mut out)),
        }
    }
    Some(out)
}
