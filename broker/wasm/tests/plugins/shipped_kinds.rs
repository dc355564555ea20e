//! Every shipped plugin, whatever it is called, in the sandbox: it takes its options, answers by the
//! rules, and gives the same answer on a second instance, which another engine compiled from its bytes.

use std::sync::Arc;

use broker_wasm::{
    Bounds, BytesColumn, Compactor, Layout, Partitioner, Plugin, PluginEngine, PluginKind,
    PluginSource, Retention, RowError, Serializer,
};

use crate::harness::{engine, shipped_module};
use crate::samples::{Samples, log, options_of, segments, values};

/// The shipped plugins of a kind, each twice: on the engine of all tests and on one of its own.
fn twice(kind: PluginKind) -> Vec<[(Arc<PluginEngine>, Arc<Plugin>); 2]> {
    let other = PluginEngine::new().unwrap();
    let shipped = broker_plugin_bundle::modules().iter();
    let on = |engine: &Arc<PluginEngine>, name: &str| {
        let module = engine.load(shipped_module(name)).unwrap();
        let plugin = Plugin::new(name, module, PluginSource::Builtin);
        let plugin = plugin.with_options(&options_of(name));
        (Arc::clone(engine), Arc::new(plugin))
    };
    let of_kind = shipped.filter(|module| engine().load(module.bytes).unwrap().kind() == kind);
    of_kind
        .map(|module| [on(engine(), module.name), on(&other, module.name)])
        .collect()
}

/// What both instances answer, which has to be the same.
fn same<R: PartialEq + std::fmt::Debug>(
    pair: &[(Arc<PluginEngine>, Arc<Plugin>); 2],
    run: impl Fn(&Arc<PluginEngine>, &Arc<Plugin>) -> R,
) -> R {
    let [first, second] = pair;
    let answer = run(&first.0, &first.1);
    assert_eq!(answer, run(&second.0, &second.1), "{}", first.1.name());
    let usage = first.1.counters().usage();
    assert!(usage.calls > 0, "{usage:?}");
    assert_eq!((usage.errors, usage.traps), (0, 0), "{}", first.1.name());
    answer
}

#[test]
fn every_shipped_plugin_takes_its_options_and_no_others() {
    for kind in PluginKind::ALL {
        for [(engine, plugin), _] in twice(kind) {
            let checked = plugin.check_config(&engine, "orders", &[]);
            assert_eq!(checked, Ok(()), "samples.rs says which options it needs");
            let unknown = [("no.such.option".to_owned(), "1".to_owned())];
            let error = plugin
                .check_config(&engine, "orders", &unknown)
                .unwrap_err();
            assert!(error.message.contains("no.such.option"), "{error}");
        }
    }
}

#[test]
fn every_shipped_partitioner_gives_the_same_partitions_on_every_broker() {
    let plugins = twice(PluginKind::Partitioner);
    assert!(plugins.len() >= 2);
    let samples = Samples::of(20_000);
    for pair in plugins {
        let answer = same(&pair, |engine, plugin| {
            let mut partitioner = Partitioner::new(engine, plugin, "orders", &[]).unwrap();
            let layout = Layout {
                partitions: 12,
                counts: &[4, 12],
                sequence: 5,
                batches: 2,
            };
            let batch = samples.batch(PluginKind::Partitioner);
            partitioner.assign(&batch, &layout).unwrap()
        });
        assert_eq!(answer.len(), 20_000);
    }
}

#[test]
fn every_shipped_serializer_gives_the_same_bytes_and_takes_back_what_it_wrote() {
    for pair in twice(PluginKind::Serializer) {
        let convert = |rows: &BytesColumn, forth: bool| -> (Vec<RowError>, BytesColumn) {
            same(&pair, |engine, plugin| {
                let mut serializer = Serializer::new(engine, plugin, "orders", &[]).unwrap();
                let mut out = BytesColumn::default();
                let errors = match forth {
                    true => serializer.serialize(rows, &mut out),
                    false => serializer.deserialize(rows, &mut out),
                };
                (errors.unwrap(), out)
            })
        };
        let (_, written) = convert(&values(5_000), true);
        let (refused, read) = convert(&written, false);
        assert_eq!(refused, [], "{}", pair[0].1.name());
        assert_eq!(read.len(), 5_000);
        convert(&stored(5_000), false);
    }
}

#[test]
fn every_shipped_retention_policy_gives_the_same_prefix() {
    for pair in twice(PluginKind::Retention) {
        let segments = segments(5_000);
        let expired = |bounds: Bounds| {
            same(&pair, |engine, plugin| {
                let retention = Retention::new(engine, plugin, "orders", &[], bounds);
                retention.unwrap().expired(&log(&segments)).unwrap()
            })
        };
        let none = Bounds::default();
        let both = Bounds {
            retention_ms: Some(7_200_000),
            retention_bytes: Some(1_000_000_000),
        };
        assert!(expired(none) <= expired(both), "{}", pair[0].1.name());
    }
}

#[test]
fn every_shipped_compaction_policy_keeps_the_same_records() {
    let samples = Samples::of(20_000);
    for pair in twice(PluginKind::Compaction) {
        let keep = same(&pair, |engine, plugin| {
            let mut compactor = Compactor::new(engine, plugin, "orders", &[], 1_000_000).unwrap();
            let batch = samples.batch(PluginKind::Compaction);
            assert_eq!(compactor.observe(&batch), Ok(20_000));
            let mut keep = Vec::new();
            compactor.retain(&batch, &mut keep).unwrap();
            keep
        });
        assert_eq!(keep.len(), 2_500);
    }
}

/// Stored bytes of every sort, most of which are nothing to most serializers.
fn stored(records: u32) -> BytesColumn {
    let sorts: [Option<&[u8]>; 9] = [
        Some(b"hello"),
        Some(b"{\"id\":7,\"name\":\"Ada\"}"),
        Some(b"[1, 2.5, null, true]"),
        Some(b""),
        Some(b"\0\0\0\0\0\0\0\x07"),
        Some(b"-12"),
        Some(b"\xff\xfe"),
        Some(b"\x82\xa2id\x07\xa4name\xa3Ada"),
        None,
    ];
    let rows = (0..records as usize).map(|record| sorts[record % sorts.len()]);
    rows.collect()
}
