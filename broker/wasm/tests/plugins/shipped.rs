//! The shipped plugins as the broker runs them: loaded from the bundle, one call per batch, the
//! mapping that their own tests promise.

use std::sync::Arc;

use broker_wasm::{
    Builtin, Catalog, Columns, Layout, Partitioner, Plugin, PluginSource, module_digest,
};

use crate::harness::{assign, builtins, catalog, engine, shipped_module};

fn bound(catalog: &Catalog, name: &str) -> Partitioner {
    Partitioner::new(engine(), catalog.get(name).unwrap(), "orders", &[]).unwrap()
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
    let mut key_hash = bound(catalog(), "key-hash");
    assert_eq!(key_hash.needs(), Columns::KEYS);
    let keys = [Some("21"), Some("foobar"), Some(""), None, None];
    assert_eq!(
        assign(&mut key_hash, &keys, layout(0, 0)).unwrap(),
        [4, 6, 1, 0, 0]
    );
    assert_eq!(
        assign(&mut key_hash, &keys, layout(11, 0)).unwrap(),
        [4, 6, 1, 3, 3]
    );
}

#[test]
fn round_robin_carries_on_from_batch_to_batch_and_is_given_no_column() {
    let mut round_robin = bound(catalog(), "round-robin");
    assert_eq!(round_robin.needs(), Columns::empty());
    let keys = [Some("same"); 3];
    assert_eq!(
        assign(&mut round_robin, &keys, layout(0, 6)).unwrap(),
        [6, 7, 0]
    );
    assert_eq!(
        assign(&mut round_robin, &keys, layout(1, 9)).unwrap(),
        [1, 2, 3]
    );
}

#[test]
fn the_mapping_comes_from_the_modules_bytes_and_nowhere_else() {
    let bytes = shipped_module("round-robin");
    let swapped = [Builtin {
        name: "key-hash",
        bytes,
        digest: &module_digest(bytes),
    }];
    let swapped = Catalog::load(engine(), &swapped, None).unwrap();
    let keys = [Some("21"), Some("21"), Some("21")];
    let mut right = bound(catalog(), "key-hash");
    let mut wrong = bound(&swapped, "key-hash");
    assert_eq!(assign(&mut right, &keys, layout(0, 0)).unwrap(), [4, 4, 4]);
    assert_eq!(assign(&mut wrong, &keys, layout(0, 0)).unwrap(), [0, 1, 2]);
}

#[test]
fn a_batch_is_one_call_however_many_records_it_has() {
    // A plugin of its own: the counters of the shared one count for other tests too.
    let module = catalog().get("key-hash").unwrap().module().clone();
    let plugin = Arc::new(Plugin::new("counted", module, PluginSource::Builtin));
    let mut key_hash = Partitioner::new(engine(), &plugin, "orders", &[]).unwrap();
    assign(&mut key_hash, &[Some("a"); 1_000], layout(0, 0)).unwrap();
    assign(&mut key_hash, &[Some("a"); 10], layout(1, 1_000)).unwrap();
    let usage = plugin.counters().usage();
    assert_eq!((usage.calls, usage.records, usage.errors), (2, 1_010, 0));
    assert!(usage.time_ns > 0 && usage.memory_bytes > 0, "{usage:?}");
}

#[test]
fn a_batch_that_is_too_large_for_one_call_gives_the_same_answer_in_parts() {
    let module = catalog().get("round-robin").unwrap().module().clone();
    let plugin = Arc::new(Plugin::new("counted", module, PluginSource::Builtin));
    let mut round_robin = Partitioner::new(engine(), &plugin, "orders", &[]).unwrap();
    let answer = assign(&mut round_robin, &[None; 40_000], layout(0, 5)).unwrap();
    assert!(
        answer
            .iter()
            .enumerate()
            .all(|(row, partition)| (row + 5) % 8 == *partition as usize)
    );
    assert_eq!(plugin.counters().usage().calls, 3);
    // 12 MiB of keys in a guest that has 16 MiB.
    let key: &str = &"k".repeat(100_000);
    let mut key_hash = bound(catalog(), "key-hash");
    let answer = assign(&mut key_hash, &[Some(key); 120], layout(0, 0)).unwrap();
    let alone = assign(&mut key_hash, &[Some(key)], layout(0, 0)).unwrap();
    assert_eq!(answer, [alone[0]; 120]);
}

#[test]
fn a_plugin_says_who_it_is() {
    let plugin = catalog().get("key-hash").unwrap();
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
    assert_eq!(catalog().plugins().len(), builtins().len());
}
