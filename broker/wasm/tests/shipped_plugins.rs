//! The shipped plugins as the broker runs them: loaded from the bundle, one call per batch, the
//! mapping that their own tests promise.

use std::sync::Arc;

use broker_wasm::{
    BatchColumns, Builtin, BytesColumn, Catalog, Columns, Layout, Partitioner, PluginEngine,
};

fn catalog(engine: &Arc<PluginEngine>) -> Catalog {
    let modules = broker_plugin_bundle::modules();
    let builtins: Vec<_> = modules
        .iter()
        .map(|m| Builtin {
            name: m.name,
            bytes: m.bytes,
        })
        .collect();
    Catalog::load(engine, &builtins, None).unwrap()
}

fn bound(engine: &Arc<PluginEngine>, catalog: &Catalog, name: &str) -> Partitioner {
    Partitioner::new(engine, catalog.get(name).unwrap(), "orders", &[]).unwrap()
}

fn assign(partitioner: &mut Partitioner, keys: &[Option<&str>], layout: Layout<'_>) -> Vec<u32> {
    let column: BytesColumn = keys.iter().map(|key| key.map(str::as_bytes)).collect();
    let records = u32::try_from(keys.len()).unwrap();
    let batch = BatchColumns {
        records,
        keys: Some(&column),
        ..BatchColumns::default()
    };
    partitioner.assign(&batch, &layout).unwrap()
}

const fn layout(batches: u64, sequence: u64) -> Layout<'static> {
    Layout {
        partitions: 8,
        counts: &[4, 8],
        sequence,
        batches,
    }
}

#[test]
fn key_hash_answers_what_kafkas_java_client_answers() {
    let engine = PluginEngine::new().unwrap();
    let mut key_hash = bound(&engine, &catalog(&engine), "key-hash");
    assert_eq!(key_hash.needs(), Columns::KEYS);
    let keys = [Some("21"), Some("foobar"), Some(""), None, None];
    assert_eq!(assign(&mut key_hash, &keys, layout(0, 0)), [4, 6, 1, 0, 0]);
    assert_eq!(assign(&mut key_hash, &keys, layout(11, 0)), [4, 6, 1, 3, 3]);
}

#[test]
fn round_robin_carries_on_from_batch_to_batch_and_is_given_no_column() {
    let engine = PluginEngine::new().unwrap();
    let mut round_robin = bound(&engine, &catalog(&engine), "round-robin");
    assert_eq!(round_robin.needs(), Columns::empty());
    let keys = [Some("same"); 3];
    assert_eq!(assign(&mut round_robin, &keys, layout(0, 6)), [6, 7, 0]);
    assert_eq!(assign(&mut round_robin, &keys, layout(1, 9)), [1, 2, 3]);
}

#[test]
fn the_mapping_comes_from_the_modules_bytes_and_nowhere_else() {
    let engine = PluginEngine::new().unwrap();
    let modules = broker_plugin_bundle::modules();
    let bytes_of = |name| {
        modules
            .iter()
            .find(|module| module.name == name)
            .unwrap()
            .bytes
    };
    let swapped = [Builtin {
        name: "key-hash",
        bytes: bytes_of("round-robin"),
    }];
    let swapped = Catalog::load(&engine, &swapped, None).unwrap();
    let keys = [Some("21"), Some("21"), Some("21")];
    let mut right = bound(&engine, &catalog(&engine), "key-hash");
    let mut wrong = bound(&engine, &swapped, "key-hash");
    assert_eq!(assign(&mut right, &keys, layout(0, 0)), [4, 4, 4]);
    assert_eq!(assign(&mut wrong, &keys, layout(0, 0)), [0, 1, 2]);
}

#[test]
fn a_batch_is_one_call_however_many_records_it_has() {
    let engine = PluginEngine::new().unwrap();
    let mut key_hash = bound(&engine, &catalog(&engine), "key-hash");
    assign(&mut key_hash, &[Some("a"); 1_000], layout(0, 0));
    assign(&mut key_hash, &[Some("a"); 10], layout(1, 1_000));
    let usage = key_hash.plugin().counters().usage();
    assert_eq!((usage.calls, usage.records, usage.errors), (2, 1_010, 0));
    assert!(usage.time_ns > 0 && usage.memory_bytes > 0, "{usage:?}");
}

#[test]
fn a_plugin_says_who_it_is() {
    let engine = PluginEngine::new().unwrap();
    let catalog = catalog(&engine);
    let plugin = catalog.get("key-hash").unwrap();
    assert_eq!(plugin.module().name(), Some("plugin-key-hash"));
    assert_eq!(plugin.version(), env!("CARGO_PKG_VERSION"));
    assert_eq!(plugin.module().digest().len(), 64);
    let imports: Vec<_> = plugin.module().imports().collect();
    assert_eq!(imports, ["broker:plugin/log@0.1.0#write"]);
    assert!(
        plugin
            .module()
            .exports()
            .any(|export| export.ends_with("partitioner.assign"))
    );
    let names: Vec<_> = catalog.plugins().map(|plugin| plugin.name()).collect();
    assert_eq!(names, ["key-hash", "round-robin"]);
}
