//! Batches, values and segments of every sort, the same each time: for the tests that every shipped plugin
//! goes through and for the benches.

use broker_wasm::{BatchColumns, BytesColumn, PluginKind, RetentionView, SegmentFacts};

/// Options without which a shipped plugin does not work: plugin, option, value.
const OPTIONS: &[(&str, &str, &str)] = &[
    ("by-field", "field", "id"),
    ("by-header", "header", "version"),
    ("drop-by-header", "header", "version"),
    ("drop-by-header", "values", "7"),
    (
        "json-schema",
        "schema",
        r#"{"type": ["object", "string"], "properties": {"id": {"minimum": 1}}}"#,
    ),
    ("keep-at-least", "keep.bytes", "1000000"),
    ("newest-by-header", "header", "version"),
    ("newest-records", "records", "5000"),
    ("sample-old", "keep", "3"),
    ("sample-old", "older.than", "1m"),
    ("ttl-by-header", "header", "version"),
];

/// What a shipped plugin is given.
pub(crate) fn options_of(plugin: &str) -> Vec<(String, String)> {
    let of_plugin = OPTIONS.iter().filter(|(name, ..)| *name == plugin);
    of_plugin
        .map(|(_, option, value)| ((*option).to_owned(), (*value).to_owned()))
        .collect()
}

/// Every column of a batch.
pub(crate) struct Samples {
    keys: BytesColumn,
    values: BytesColumn,
    headers: BytesColumn,
    timestamps_ms: Vec<i64>,
    value_lens: Vec<i32>,
    offset_deltas: Vec<u32>,
}

impl Samples {
    /// So many records: keys that come again, null keys, tombstones, headers, growing timestamps.
    pub(crate) fn of(records: u32) -> Self {
        let mut samples = Samples {
            keys: BytesColumn::default(),
            values: BytesColumn::default(),
            headers: BytesColumn::default(),
            timestamps_ms: (0..i64::from(records)).map(|record| record * 10).collect(),
            value_lens: Vec::new(),
            offset_deltas: (0..records).map(|record| record * 2).collect(),
        };
        for record in 0..records {
            let key = format!("customer-{:08}", record % 100);
            samples
                .keys
                .push((record % 10 != 9).then_some(key.as_bytes()));
            let value = (record % 7 != 6).then(|| format!("{{\"id\":{record}}}"));
            samples.values.push(value.as_deref().map(str::as_bytes));
            let len = value.map_or(-1, |value| i32::try_from(value.len()).unwrap_or(-1));
            samples.value_lens.push(len);
            // [["version", "7"]] and none.
            let header: &[u8] = match record % 2 {
                0 => b"\x91\x92\xa7version\xc4\x017",
                _ => b"\x90",
            };
            samples.headers.push(Some(header));
        }
        samples
    }

    /// As a batch, as it is produced or as it is cleaned.
    pub(crate) fn batch(&self, kind: PluginKind) -> BatchColumns<'_> {
        let is_stored = kind == PluginKind::Compaction;
        BatchColumns {
            records: u32::try_from(self.keys.len()).unwrap_or(u32::MAX),
            base_offset: if is_stored { 1_000 } else { 0 },
            offset_deltas: if is_stored { &self.offset_deltas } else { &[] },
            keys: Some(&self.keys),
            values: Some(&self.values),
            headers: Some(&self.headers),
            timestamps_ms: Some(&self.timestamps_ms),
            value_lens: Some(&self.value_lens),
        }
    }
}

/// MessagePack values of every sort.
pub(crate) fn values(records: u32) -> BytesColumn {
    let sorts: [Option<&[u8]>; 11] = [
        Some(b"\xa5hello"),
        Some(b"\x07"),
        Some(b"\xd3\xff\xff\xff\xff\xff\xff\xff\x00"),
        Some(b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
        Some(b"\xcb\x3f\xf8\0\0\0\0\0\0"),
        Some(b"\xc3"),
        Some(b"\xc4\x03\0\xff\x80"),
        Some(b"\x82\xa2id\x07\xa4name\xa3Ada"),
        Some(b"\x93\x01\xc0\xa1x"),
        Some(b"\x81\x01\xa3one"),
        None,
    ];
    let rows = (0..records as usize).map(|record| sorts[record % sorts.len()]);
    rows.collect()
}

/// Segments of a thousand records each, a minute apart.
pub(crate) fn segments(count: u64) -> Vec<SegmentFacts> {
    let segment = |index: u64| SegmentFacts {
        base_offset: index * 1_000,
        next_offset: (index + 1) * 1_000,
        bytes: 1_000_000 + index,
        max_timestamp_ms: i64::try_from(index).unwrap_or(0) * 60_000,
    };
    (0..count).map(segment).collect()
}

/// A log of those segments and an active one, seen an hour after its last record.
pub(crate) fn log(segments: &[SegmentFacts]) -> RetentionView<'_> {
    let next = segments.last().map_or(0, |last| last.next_offset);
    let last_ms = segments.last().map_or(0, |last| last.max_timestamp_ms);
    RetentionView {
        now_ms: last_ms + 3_600_000,
        high_watermark: next + 10,
        log_start: 0,
        log_end: next + 10,
        log_bytes: segments.iter().map(|segment| segment.bytes).sum::<u64>() + 5_000,
        segments,
    }
}
