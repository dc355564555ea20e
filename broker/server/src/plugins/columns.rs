//! The columns of one batch on its way to a plugin: only what the plugin asked for is copied, into buffers
//! that are kept from batch to batch.

use broker_record::{BatchError, RecordHeaders, Records, RoutableRecords};
use broker_wasm::{BatchColumns, BytesColumn, Columns as Needs};
use bytes::Bytes;

/// What a column keeps for the next batch.
const KEPT_BYTES: usize = 1 << 20;

/// Column buffers of one arbiter.
#[derive(Default)]
pub(crate) struct Columns {
    keys: BytesColumn,
    values: BytesColumn,
    headers: BytesColumn,
    timestamps_ms: Vec<i64>,
    value_lens: Vec<i32>,
    offset_deltas: Vec<u32>,
    scratch: Vec<u8>,
}

impl Columns {
    /// Forgets the last batch.
    pub(crate) fn clear(&mut self) {
        self.keys.clear();
        self.values.clear();
        self.headers.clear();
        self.timestamps_ms.clear();
        self.value_lens.clear();
        self.offset_deltas.clear();
    }

    /// Gives back what a large batch needed.
    pub(super) fn shed(&mut self) {
        for column in [&mut self.keys, &mut self.values, &mut self.headers] {
            column.shrink_to(KEPT_BYTES);
        }
    }

    /// What was gathered, as the plugin takes it.
    pub(crate) fn batch(&self, records: u32, needs: Needs) -> BatchColumns<'_> {
        BatchColumns {
            records,
            base_offset: 0,
            offset_deltas: &[],
            keys: needs.contains(Needs::KEYS).then_some(&self.keys),
            values: needs.contains(Needs::VALUES).then_some(&self.values),
            headers: needs.contains(Needs::HEADERS).then_some(&self.headers),
            timestamps_ms: needs
                .contains(Needs::TIMESTAMPS)
                .then_some(&self.timestamps_ms[..]),
            value_lens: needs
                .contains(Needs::VALUE_LENS)
                .then_some(&self.value_lens[..]),
        }
    }

    /// What was gathered from stored batches, of which the first begins at `base`.
    pub(crate) fn stored_batch(&self, records: u32, base: u64, needs: Needs) -> BatchColumns<'_> {
        BatchColumns {
            base_offset: base,
            offset_deltas: &self.offset_deltas,
            ..self.batch(records, needs)
        }
    }

    /// Adds the columns of a stored batch. The caller sees to it that its offsets are within a `u32` of
    /// `base`.
    pub(crate) fn gather_stored(
        &mut self,
        needs: Needs,
        base: u64,
        records: &Records,
    ) -> Result<(), BatchError> {
        for record in records {
            let record = record?;
            let delta = record.offset.get().saturating_sub(base);
            self.offset_deltas
                .push(u32::try_from(delta).unwrap_or(u32::MAX));
            if needs.contains(Needs::KEYS) {
                self.keys.push(record.key);
            }
            if needs.contains(Needs::TIMESTAMPS) {
                self.timestamps_ms.push(record.timestamp.as_millis());
            }
            self.gather_contents(needs, record.value, record.headers());
        }
        Ok(())
    }

    fn gather_contents(&mut self, needs: Needs, value: Option<&[u8]>, headers: RecordHeaders<'_>) {
        if needs.contains(Needs::VALUES) {
            self.values.push(value);
        }
        if needs.contains(Needs::HEADERS) {
            encode_headers(headers, &mut self.scratch);
            self.headers.push(Some(&self.scratch));
        }
        if needs.contains(Needs::VALUE_LENS) {
            let len = value.map_or(-1, |value| i32::try_from(value.len()).unwrap_or(i32::MAX));
            self.value_lens.push(len);
        }
    }

    /// The columns of produced records. A record without a timestamp shows as 0: it has none yet.
    pub(crate) fn gather_records(&mut self, needs: Needs, records: &RoutableRecords) {
        if needs.contains(Needs::KEYS) {
            records.keys().for_each(|key| self.keys.push(key));
        }
        let more = Needs::VALUES | Needs::HEADERS | Needs::TIMESTAMPS | Needs::VALUE_LENS;
        if !needs.intersects(more) {
            return;
        }
        for record in records.iter() {
            if needs.contains(Needs::TIMESTAMPS) {
                let timestamp = record
                    .timestamp
                    .map_or(0, broker_model::Timestamp::as_millis);
                self.timestamps_ms.push(timestamp);
            }
            self.gather_contents(needs, record.value, record.headers);
        }
    }

    /// The columns of records of which only the keys are known.
    pub(crate) fn gather_keys(&mut self, needs: Needs, keys: &[Option<Bytes>]) {
        for key in keys {
            if needs.contains(Needs::KEYS) {
                self.keys.push(key.as_deref());
            }
            if needs.contains(Needs::VALUES) {
                self.values.push(None);
            }
            if needs.contains(Needs::HEADERS) {
                self.headers.push(Some(&[EMPTY_ARRAY]));
            }
            if needs.contains(Needs::TIMESTAMPS) {
                self.timestamps_ms.push(0);
            }
            if needs.contains(Needs::VALUE_LENS) {
                self.value_lens.push(-1);
            }
        }
    }
}

/// MessagePack's array of nothing.
const EMPTY_ARRAY: u8 = 0x90;

/// A record's headers as one MessagePack array `[[name, value], …]`.
fn encode_headers(headers: RecordHeaders<'_>, out: &mut Vec<u8>) {
    out.clear();
    let pairs: Vec<(&str, Option<&serde_bytes::Bytes>)> = headers
        .map(|(name, value)| (name, value.map(serde_bytes::Bytes::new)))
        .collect();
    rmp_serde::encode::write(out, &pairs).expect("pairs of text and bytes always encode");
}
