//! What one call of every shipped plugin costs, for 1 and for 1,000 rows (segments, for a retention
//! policy): a warm instance, the columns gathered before. Beside key-hash stands the same hash without a
//! plugin: figures of one run can be compared, those of two cannot. Then what an instance and a module
//! cost.

#![allow(missing_docs)]

#[path = "../tests/plugins/samples.rs"]
mod samples;

use std::hint::black_box;
use std::sync::Arc;

use broker_wasm::{
    Bounds, BytesColumn, Compactor, Layout, Partitioner, Plugin, PluginEngine, PluginKind,
    PluginSource, Retention, Serializer,
};
use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};

use samples::Samples;

const ROWS: [u32; 2] = [1, 1_000];

const LAYOUT: Layout<'static> = Layout {
    partitions: 12,
    counts: &[12],
    sequence: 0,
    batches: 0,
};

fn shipped(engine: &Arc<PluginEngine>) -> Vec<Arc<Plugin>> {
    let plugins = broker_plugin_bundle::modules().iter().map(|shipped| {
        let module = engine.load(shipped.bytes).expect("a shipped plugin loads");
        let plugin = Plugin::new(shipped.name, module, PluginSource::Builtin);
        Arc::new(plugin.with_options(&samples::options_of(shipped.name)))
    });
    plugins.collect()
}

fn calls(criterion: &mut Criterion) {
    let engine = PluginEngine::new().expect("the engine starts");
    for plugin in shipped(&engine) {
        let mut group = criterion.benchmark_group(format!("{}_call", plugin.kind()));
        for rows in ROWS {
            group.throughput(Throughput::Elements(u64::from(rows)));
            match plugin.kind() {
                PluginKind::Partitioner => partitioner(&mut group, &engine, &plugin, rows),
                PluginKind::Serializer => serializer(&mut group, &engine, &plugin, rows),
                PluginKind::Retention => retention(&mut group, &engine, &plugin, rows),
                PluginKind::Compaction => compaction(&mut group, &engine, &plugin, rows),
            }
        }
        group.finish();
    }
}

type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn partitioner(group: &mut Group<'_>, engine: &Arc<PluginEngine>, plugin: &Arc<Plugin>, rows: u32) {
    let mut partitioner =
        Partitioner::new(engine, plugin, "bench", &[]).expect("it takes its options");
    let samples = Samples::of(rows);
    let batch = samples.batch(PluginKind::Partitioner);
    group.bench_function(BenchmarkId::new(plugin.name(), rows), |bencher| {
        bencher.iter(|| black_box(partitioner.assign(&batch, &LAYOUT).expect("it answers")));
    });
    if plugin.name() != "key-hash" {
        return;
    }
    let keys = batch.keys.expect("samples have every column");
    let partition = |key: &[u8]| (plugin_sdk::murmur2(key) & 0x7fff_ffff) % black_box(12);
    group.bench_function(BenchmarkId::new("native-key-hash", rows), |bencher| {
        bencher.iter(|| {
            let partitions = keys.rows().map(|key| key.map_or(0, partition));
            black_box(partitions.collect::<Vec<u32>>())
        });
    });
}

fn serializer(group: &mut Group<'_>, engine: &Arc<PluginEngine>, plugin: &Arc<Plugin>, rows: u32) {
    let mut serializer =
        Serializer::new(engine, plugin, "bench", &[]).expect("it takes its options");
    let (values, mut stored, mut read) = (
        samples::values(rows),
        BytesColumn::default(),
        BytesColumn::default(),
    );
    let name = format!("{}-serialize", plugin.name());
    group.bench_function(BenchmarkId::new(name, rows), |bencher| {
        bencher.iter(|| {
            serializer
                .serialize(&values, &mut stored)
                .expect("it answers")
        });
    });
    serializer
        .serialize(&values, &mut stored)
        .expect("it answers");
    let name = format!("{}-deserialize", plugin.name());
    group.bench_function(BenchmarkId::new(name, rows), |bencher| {
        bencher.iter(|| {
            serializer
                .deserialize(&stored, &mut read)
                .expect("it answers")
        });
    });
}

fn retention(group: &mut Group<'_>, engine: &Arc<PluginEngine>, plugin: &Arc<Plugin>, rows: u32) {
    let bounds = Bounds {
        retention_ms: Some(7_200_000),
        retention_bytes: Some(1 << 30),
    };
    let mut retention =
        Retention::new(engine, plugin, "bench", &[], bounds).expect("it takes its options");
    let segments = samples::segments(u64::from(rows));
    group.bench_function(BenchmarkId::new(plugin.name(), rows), |bencher| {
        bencher.iter(|| {
            retention
                .expired(&samples::log(&segments))
                .expect("it answers")
        });
    });
}

fn compaction(group: &mut Group<'_>, engine: &Arc<PluginEngine>, plugin: &Arc<Plugin>, rows: u32) {
    let samples = Samples::of(rows);
    let batch = samples.batch(PluginKind::Compaction);
    let mut keep = Vec::new();
    // Both passes; a new instance for each cleaning is part of the cost, and shows at one row.
    group.bench_function(BenchmarkId::new(plugin.name(), rows), |bencher| {
        bencher.iter(|| {
            let mut compactor =
                Compactor::new(engine, plugin, "bench", &[], 0).expect("it takes its options");
            compactor.observe(&batch).expect("it answers");
            compactor.retain(&batch, &mut keep).expect("it answers");
            black_box(keep.len())
        });
    });
}

fn starts(criterion: &mut Criterion) {
    let engine = PluginEngine::new().expect("the engine starts");
    let plugins = shipped(&engine);
    for plugin in &plugins {
        let name = format!("{}_start", plugin.name());
        criterion.bench_function(&name, |bencher| {
            bencher.iter(|| plugin.check_config(&engine, "bench", &[]).is_ok());
        });
    }
    let Some(module) = broker_plugin_bundle::modules().first() else {
        return;
    };
    criterion.bench_function(&format!("{}_load", module.name), |bencher| {
        // A new engine each time: one that has the module would not compile it again.
        bencher.iter_with_setup(
            || PluginEngine::new().expect("the engine starts"),
            |engine| engine.load(module.bytes).is_ok(),
        );
    });
}

criterion_group!(benches, calls, starts);
criterion_main!(benches);
