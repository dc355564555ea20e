//! What one call of the key-hash plugin costs, by the number of keys in the batch. The whole of it is
//! measured as the produce path has it: gathering the keys, the call, the checked answer. Beside it
//! stands the same hash without a plugin: figures of one run can be compared, those of two cannot.

#![allow(missing_docs)]

use std::hint::black_box;

use broker_wasm::{BatchColumns, Builtin, BytesColumn, Catalog, Layout, Partitioner, PluginEngine};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn partitioner_call(criterion: &mut Criterion) {
    let modules = broker_plugin_bundle::modules().iter();
    let builtins: Vec<_> = modules
        .map(|module| Builtin {
            name: module.name,
            bytes: module.bytes,
        })
        .collect();
    let engine = PluginEngine::new().expect("the engine starts");
    let catalog = Catalog::load(&engine, &builtins, None).expect("the shipped plugins load");
    let plugin = catalog.get("key-hash").expect("it is shipped");
    let mut partitioner =
        Partitioner::new(&engine, plugin, "bench", &[]).expect("it takes no options");
    let layout = Layout {
        partitions: 12,
        counts: &[12],
        sequence: 0,
        batches: 0,
    };

    let mut group = criterion.benchmark_group("partitioner_call");
    for records in [1_u32, 100, 1_000] {
        let keys: Vec<String> = (0..records)
            .map(|key| format!("customer-{key:08}"))
            .collect();
        let mut column = BytesColumn::default();
        group.throughput(Throughput::Elements(u64::from(records)));
        group.bench_function(BenchmarkId::new("plugin", records), |bencher| {
            bencher.iter(|| {
                column.clear();
                keys.iter()
                    .for_each(|key| column.push(Some(key.as_bytes())));
                let batch = BatchColumns {
                    records,
                    keys: Some(&column),
                    ..BatchColumns::default()
                };
                black_box(partitioner.assign(&batch, &layout).expect("it answers"))
            });
        });
        group.bench_function(BenchmarkId::new("native", records), |bencher| {
            let partitions = black_box(layout.partitions);
            bencher.iter(|| {
                let partition =
                    |key: &String| (plugin_sdk::murmur2(key.as_bytes()) & 0x7fff_ffff) % partitions;
                black_box(keys.iter().map(partition).collect::<Vec<u32>>())
            });
        });
    }
    group.finish();

    criterion.bench_function("partitioner_start", |bencher| {
        bencher.iter(|| Partitioner::new(&engine, plugin, "bench", &[]).is_ok());
    });
    criterion.bench_function("partitioner_load", |bencher| {
        // A new engine each time: one that has the module would not compile it again.
        bencher.iter_with_setup(
            || PluginEngine::new().expect("the engine starts"),
            |engine| engine.load(builtins[0].bytes).is_ok(),
        );
    });
}

criterion_group!(benches, partitioner_call);
criterion_main!(benches);
