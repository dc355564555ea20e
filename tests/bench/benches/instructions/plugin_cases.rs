//! The partitioner: the default plugin called for one key, for a thousand and for a batch without keys, and
//! the same hash without a plugin.

use std::hint::black_box;
use std::sync::Arc;

use broker_wasm::{
    BatchColumns, BytesColumn, Layout, Partitioner, Plugin, PluginEngine, PluginSource,
};

use crate::cases::{Case, Round};

const LAYOUT: Layout<'static> = Layout {
    partitions: 12,
    counts: &[12],
    sequence: 0,
    batches: 0,
};

fn keys(count: u32) -> BytesColumn {
    let mut keys = BytesColumn::default();
    for record in 0..count {
        keys.push(Some(format!("customer-{record:08}").as_bytes()));
    }
    keys
}

fn partitioner() -> Partitioner {
    let engine = PluginEngine::new().expect("the engine starts");
    let shipped = broker_plugin_bundle::modules().iter();
    let shipped = shipped
        .into_iter()
        .find(|shipped| shipped.name == "key-hash");
    let shipped = shipped.expect("the default partitioner is shipped");
    let module = engine.load(shipped.bytes).expect("a shipped plugin loads");
    let plugin = Arc::new(Plugin::new(shipped.name, module, PluginSource::Builtin));
    Partitioner::new(&engine, &plugin, "bench", &[]).expect("it takes its options")
}

fn called(count: u32) -> Round {
    let (mut partitioner, keys) = (partitioner(), keys(count));
    Box::new(move || {
        let batch = BatchColumns {
            records: count,
            base_offset: 0,
            offset_deltas: &[],
            keys: Some(&keys),
            values: None,
            headers: None,
            timestamps_ms: None,
            value_lens: None,
        };
        black_box(partitioner.assign(&batch, &LAYOUT).expect("it answers"));
    })
}

pub(crate) fn all() -> Vec<Case> {
    vec![
        Case::new("partitioner/plugin-1", || called(1)),
        Case::new("partitioner/plugin-1000", || called(1000)),
        Case::new("partitioner/plugin-keyless", || {
            let mut partitioner = partitioner();
            Box::new(move || {
                let answer = partitioner.keyless(black_box(1000), &LAYOUT);
                assert!(black_box(answer).is_ok_and(|partition| partition.is_some()));
            })
        }),
        Case::new("partitioner/native-1000", || {
            let keys = keys(1000);
            Box::new(move || {
                let partition =
                    |key: &[u8]| (plugin_sdk::murmur2(key) & 0x7fff_ffff) % black_box(12);
                let partitions = keys.rows().map(|key| key.map_or(0, partition));
                black_box(partitions.collect::<Vec<u32>>());
            })
        }),
    ]
}
