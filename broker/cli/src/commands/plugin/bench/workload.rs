//! What a plugin is given to do: batches of made-up records, values or segments, the same in every
//! run, and for each kind the calls that a broker would make.

use std::sync::Arc;

use broker_wasm::{
    BatchColumns, Bounds, BytesColumn, Compactor, Layout, Partitioner, Plugin, PluginEngine,
    PluginError, Retention, RetentionView, SegmentFacts, Serializer,
};

use super::timing::{Row, Timing};
use crate::failure::Failure;
use crate::message_pack::from_json_text;

/// What to do how often.
pub(super) struct Workload<'a> {
    pub(super) engine: &'a Arc<PluginEngine>,
    pub(super) options: &'a [(String, String)],
    /// Records for each batch size.
    pub(super) records: u64,
    pub(super) value_bytes: usize,
}

/// The topic that plugins are told.
const TOPIC: &str = "bench";
/// The most calls of one size: with one record a call, more say nothing new.
const CALLS_MAX: u64 = 20_000;
/// Calls before it counts.
const WARM_UP: u64 = 3;
/// 2026-01-01 in milliseconds: the time that plugins are told.
const NOW_MS: i64 = 1_767_225_600_000;
/// Values that some serializer may take, if nobody says which.
const SAMPLES: [&str; 6] = [
    r#"{"id":123456,"name":"a name","tags":["one","two"],"amount":12.5,"ok":true}"#,
    "\"some text of a usual length\"",
    "123456",
    "12.5",
    "true",
    "[1,2,3]",
];

/// A value for a serializer.
#[derive(Default)]
pub(super) struct Sample {
    /// Its MessagePack.
    pub(super) packed: Vec<u8>,
    /// Why the plugin refuses it, if it does.
    pub(super) refused: Option<String>,
}

impl Workload<'_> {
    fn calls(&self, batch: u32) -> u64 {
        (self.records / u64::from(batch)).clamp(1, CALLS_MAX)
    }

    pub(super) fn partitioner(
        &self,
        plugin: &Arc<Plugin>,
        batch: u32,
    ) -> Result<Vec<Row>, PluginError> {
        let mut partitioner = Partitioner::new(self.engine, plugin, TOPIC, self.options)?;
        let columns = MadeUp::records(0, batch, self.value_bytes);
        let mut timing = Timing::of("assign", batch);
        for call in 0..self.calls(batch) + WARM_UP {
            if call == WARM_UP {
                timing = Timing::of("assign", batch);
            }
            let layout = Layout {
                partitions: 16,
                counts: &[8, 16],
                sequence: call * u64::from(batch),
                batches: call,
            };
            let assign = || partitioner.assign(&columns.produced(), &layout).map(drop);
            if !timing.call(assign) {
                break;
            }
        }
        Ok(vec![timing.row(plugin)])
    }

    /// The value that is serialized: the one given, or one that the plugin takes.
    pub(super) fn sample(
        &self,
        plugin: &Arc<Plugin>,
        given: Option<&str>,
    ) -> Result<Sample, Failure> {
        let failed = |error: PluginError| Failure::failed(error.to_string());
        let mut serializer =
            Serializer::new(self.engine, plugin, TOPIC, self.options).map_err(failed)?;
        let mut try_out = |packed: Vec<u8>| {
            let rows: BytesColumn = [Some(packed.as_slice())].into_iter().collect();
            let tried = serializer.serialize(&rows, &mut BytesColumn::default());
            tried.map(|refused| Sample {
                refused: refused.into_iter().next().map(|refused| refused.message),
                packed,
            })
        };
        if let Some(json) = given {
            let packed = from_json_text(json)
                .map_err(|problem| Failure::usage(format!("--value is no JSON: {problem}")))?;
            return try_out(packed).map_err(failed);
        }
        let mut reason = String::new();
        for sample in SAMPLES {
            let packed = from_json_text(sample).map_err(Failure::failed)?;
            let tried = try_out(packed).map_err(failed)?;
            match tried.refused {
                None => return Ok(tried),
                Some(refused) if reason.is_empty() => reason = refused,
                Some(_) => {}
            }
        }
        Err(
            Failure::failed(format!("the plugin refuses every sample value: {reason}"))
                .with_hint("say with --value JSON what it takes"),
        )
    }

    pub(super) fn serializer(
        &self,
        plugin: &Arc<Plugin>,
        batch: u32,
        value: &[u8],
    ) -> Result<Vec<Row>, PluginError> {
        let mut serializer = Serializer::new(self.engine, plugin, TOPIC, self.options)?;
        let values: BytesColumn = (0..batch).map(|_| Some(value)).collect();
        let (mut stored, mut back) = (BytesColumn::default(), BytesColumn::default());
        // Both directions grow the memory of one instance, which so counts for both.
        let mut timings = [
            Timing::of("serialize", batch),
            Timing::of("deserialize", batch),
        ];
        for call in 0..self.calls(batch) + WARM_UP {
            if call == WARM_UP {
                timings = [
                    Timing::of("serialize", batch),
                    Timing::of("deserialize", batch),
                ];
            }
            let [there, again] = &mut timings;
            let go_on = there.call(|| serializer.serialize(&values, &mut stored).map(drop));
            if there.failed()
                || !again.call(|| serializer.deserialize(&stored, &mut back).map(drop))
                || !go_on
            {
                break;
            }
        }
        Ok(timings.map(|timing| timing.row(plugin)).into())
    }

    pub(super) fn retention(
        &self,
        plugin: &Arc<Plugin>,
        batch: u32,
    ) -> Result<Vec<Row>, PluginError> {
        let bounds = Bounds {
            retention_ms: Some(7 * 86_400_000),
            retention_bytes: Some(u64::from(batch) << 29),
        };
        let mut retention = Retention::new(self.engine, plugin, TOPIC, self.options, bounds)?;
        let segment = |at: u32| SegmentFacts {
            base_offset: u64::from(at) * 1_000,
            next_offset: u64::from(at + 1) * 1_000,
            bytes: 1 << 30,
            max_timestamp_ms: NOW_MS - i64::from(batch - at) * 3_600_000,
        };
        let segments: Vec<_> = (0..batch).map(segment).collect();
        let end = u64::from(batch) * 1_000;
        let view = RetentionView {
            now_ms: NOW_MS,
            high_watermark: end,
            log_start: 0,
            log_end: end,
            log_bytes: u64::from(batch) << 30,
            segments: &segments,
        };
        let mut timing = Timing::of("expired", batch);
        for call in 0..self.calls(batch) + WARM_UP {
            if call == WARM_UP {
                timing = Timing::of("expired", batch);
            }
            if !timing.call(|| retention.expired(&view).map(drop)) {
                break;
            }
        }
        Ok(vec![timing.row(plugin)])
    }

    /// One cleaning of so many records, of which every other one has the key of an older one.
    pub(super) fn compaction(
        &self,
        plugin: &Arc<Plugin>,
        batch: u32,
    ) -> Result<Vec<Row>, PluginError> {
        let mut compactor = Compactor::new(self.engine, plugin, TOPIC, self.options, NOW_MS)?;
        let batches: Vec<_> = (0..self.calls(batch))
            .map(|call| MadeUp::records(call * u64::from(batch), batch, self.value_bytes))
            .collect();
        let mut observe = Timing::of("observe", batch);
        let mut observed = 0;
        for columns in &batches {
            let mut taken = 0;
            let go_on = observe.call(|| {
                taken = compactor.observe(&columns.stored())?;
                Ok(())
            });
            observed += usize::from(taken == batch);
            if !go_on || taken < batch {
                break;
            }
        }
        let mut retain = Timing::of("retain", batch);
        let mut keep = Vec::new();
        for columns in batches.iter().take(observed) {
            if !retain.call(|| compactor.retain(&columns.stored(), &mut keep)) {
                break;
            }
        }
        Ok(vec![observe.row(plugin), retain.row(plugin)])
    }
}

/// Made-up records.
struct MadeUp {
    keys: BytesColumn,
    values: BytesColumn,
    headers: BytesColumn,
    timestamps_ms: Vec<i64>,
    value_lens: Vec<i32>,
    offset_deltas: Vec<u32>,
    base_offset: u64,
}

impl MadeUp {
    fn records(base_offset: u64, count: u32, value_bytes: usize) -> Self {
        // [["tenant", "t1"]], the value as bytes.
        const HEADERS: &[u8] = b"\x91\x92\xa6tenant\xc4\x02t1";
        let value = vec![b'v'; value_bytes];
        let offsets = || (0..u64::from(count)).map(|row| base_offset + row);
        let mut keys = BytesColumn::default();
        offsets().for_each(|offset| keys.push(Some(format!("key-{}", offset / 2).as_bytes())));
        let len = i32::try_from(value_bytes).unwrap_or(i32::MAX);
        Self {
            keys,
            values: offsets().map(|_| Some(value.as_slice())).collect(),
            headers: offsets().map(|_| Some(HEADERS)).collect(),
            timestamps_ms: offsets().map(|_| NOW_MS).collect(),
            value_lens: offsets().map(|_| len).collect(),
            offset_deltas: (0..count).collect(),
            base_offset,
        }
    }

    fn stored(&self) -> BatchColumns<'_> {
        BatchColumns {
            records: u32::try_from(self.offset_deltas.len()).unwrap_or(u32::MAX),
            base_offset: self.base_offset,
            offset_deltas: &self.offset_deltas,
            keys: Some(&self.keys),
            values: Some(&self.values),
            headers: Some(&self.headers),
            timestamps_ms: Some(&self.timestamps_ms),
            value_lens: Some(&self.value_lens),
        }
    }

    fn produced(&self) -> BatchColumns<'_> {
        BatchColumns {
            base_offset: 0,
            offset_deltas: &[],
            ..self.stored()
        }
    }
}
