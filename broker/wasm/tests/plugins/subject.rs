//! The hostile guest of each kind behind one face: it is bound, made to misbehave, and asked something
//! harmless.

use std::sync::Arc;

use broker_wasm::{
    BatchColumns, Bounds, BytesColumn, Compactor, Partitioner, Plugin, PluginError, PluginKind,
    PluginSource, Retention, RetentionView, SegmentFacts, Serializer,
};

use crate::harness::{LAYOUT, assign, engine, hostile};

pub(crate) enum Subject {
    Partitioner(Partitioner),
    Serializer(Serializer),
    Retention(Retention),
    /// One instance is one cleaning: what binds the next one comes along.
    Compaction(Compactor, Arc<Plugin>, String),
}

/// The hostile plugin of a kind, with the default limits.
pub(crate) fn plugin(kind: PluginKind) -> Plugin {
    Plugin::new("hostile", hostile(kind), PluginSource::Builtin)
}

/// The option that makes the guest do something.
pub(crate) fn behaviour(behaviour: &str) -> Vec<(String, String)> {
    vec![("behaviour".to_owned(), behaviour.to_owned())]
}

impl Subject {
    /// Binds the plugin, which is to misbehave like that, to the topic `orders`.
    pub(crate) fn bind(plugin: &Arc<Plugin>, how: &str) -> Result<Self, PluginError> {
        Self::bind_to("orders", plugin, how)
    }

    /// Binds it to that topic.
    pub(crate) fn bind_to(
        topic: &str,
        plugin: &Arc<Plugin>,
        how: &str,
    ) -> Result<Self, PluginError> {
        let (engine, options) = (engine(), &behaviour(how)[..]);
        Ok(match plugin.kind() {
            PluginKind::Partitioner => {
                Subject::Partitioner(Partitioner::new(engine, plugin, topic, options)?)
            }
            PluginKind::Serializer => {
                Subject::Serializer(Serializer::new(engine, plugin, topic, options)?)
            }
            PluginKind::Retention => {
                let bounds = Bounds::default();
                Subject::Retention(Retention::new(engine, plugin, topic, options, bounds)?)
            }
            PluginKind::Compaction => {
                let compactor = Compactor::new(engine, plugin, topic, options, 0)?;
                Subject::Compaction(compactor, Arc::clone(plugin), topic.to_owned())
            }
        })
    }

    /// Lets it misbehave.
    pub(crate) fn go(&mut self) -> Result<(), PluginError> {
        match self {
            Subject::Partitioner(partitioner) => {
                assign(partitioner, &[Some("go"), None], LAYOUT).map(drop)
            }
            Subject::Serializer(serializer) => {
                let rows = column(&[Some(b"\xa2go"), None, Some(b"\x07")]);
                let mut out = BytesColumn::default();
                serializer.serialize(&rows, &mut out).map(drop)
            }
            Subject::Retention(retention) => retention.expired(&log(666, &SEGMENTS)).map(drop),
            Subject::Compaction(compactor, ..) => {
                observe(compactor, &[Some(b"go"), None]).map(drop)
            }
        }
    }

    /// Asks something to which it gives a good answer, which is checked.
    pub(crate) fn ask_harmlessly(&mut self) -> Result<(), PluginError> {
        match self {
            Subject::Partitioner(partitioner) => {
                let answer = assign(partitioner, &[Some("a"), None, Some("b")], LAYOUT)?;
                assert_eq!(answer, [0, 0, 0]);
            }
            Subject::Serializer(serializer) => {
                let rows = column(&[Some(b"\x07"), None]);
                let mut out = BytesColumn::default();
                assert_eq!(serializer.serialize(&rows, &mut out)?, []);
                assert_eq!(out, rows);
            }
            Subject::Retention(retention) => {
                assert_eq!(retention.expired(&log(600, &SEGMENTS))?, 1);
            }
            Subject::Compaction(compactor, plugin, topic) => {
                *compactor = Compactor::new(engine(), plugin, topic, &[], 0)?;
                assert_eq!(observe(compactor, &[Some(b"a"), None])?, 2);
                assert_eq!(retain(compactor, &[Some(b"a"), None])?, [0b11]);
            }
        }
        Ok(())
    }
}

/// A column of rows.
pub(crate) fn column(rows: &[Option<&[u8]>]) -> BytesColumn {
    rows.iter().copied().collect()
}

/// Two segments.
pub(crate) const SEGMENTS: [SegmentFacts; 2] = [segment(0), segment(300)];

/// A segment of 300 records.
pub(crate) const fn segment(base_offset: u64) -> SegmentFacts {
    SegmentFacts {
        base_offset,
        next_offset: base_offset + 300,
        bytes: 1_000,
        max_timestamp_ms: 0,
    }
}

/// A log that ends there.
pub(crate) fn log(log_end: u64, segments: &[SegmentFacts]) -> RetentionView<'_> {
    RetentionView {
        now_ms: 1_000,
        high_watermark: log_end,
        log_start: 0,
        log_end,
        log_bytes: 2_500,
        segments,
    }
}

/// First pass over records with these keys.
pub(crate) fn observe(
    compactor: &mut Compactor,
    keys: &[Option<&[u8]>],
) -> Result<u32, PluginError> {
    with_keys(keys, |batch| compactor.observe(batch))
}

/// Second pass over records with these keys.
pub(crate) fn retain(
    compactor: &mut Compactor,
    keys: &[Option<&[u8]>],
) -> Result<Vec<u8>, PluginError> {
    let mut keep = vec![0xff; 3];
    let retained = with_keys(keys, |batch| compactor.retain(batch, &mut keep));
    assert!(retained.is_ok() || keep.is_empty());
    retained.map(|()| keep)
}

fn with_keys<R>(keys: &[Option<&[u8]>], ask: impl FnOnce(&BatchColumns<'_>) -> R) -> R {
    let column = column(keys);
    let records = u32::try_from(keys.len()).unwrap();
    let offset_deltas: Vec<u32> = (0..records).collect();
    ask(&BatchColumns {
        records,
        base_offset: 30,
        offset_deltas: &offset_deltas,
        keys: Some(&column),
        ..BatchColumns::default()
    })
}
