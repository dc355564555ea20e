//! Compaction policies that remember something per key: they stop observing before their memory is full,
//! whatever it is, and what they took in they can still decide on.

use std::sync::Arc;

use broker_wasm::{BatchColumns, BytesColumn, Compactor, Limits, Plugin, PluginKind, PluginSource};

use crate::harness::{engine, shipped_module};
use crate::samples::options_of;

const RECORDS: u32 = 16_384;

/// How many different keys the policy takes in before it says that it is full.
fn keys_taken(name: &str, memory_mib: usize) -> u64 {
    let module = engine().load(shipped_module(name)).unwrap();
    let limits = Limits {
        memory_bytes: memory_mib << 20,
        ..Limits::default_for(PluginKind::Compaction)
    };
    let plugin = Plugin::new(name, module, PluginSource::Builtin)
        .with_options(&options_of(name))
        .with_limits(limits);
    let mut compactor = Compactor::new(engine(), &Arc::new(plugin), "orders", &[], 0).unwrap();
    let value_lens = vec![1; RECORDS as usize];
    let offset_deltas: Vec<u32> = (0..RECORDS).collect();
    let (mut taken, mut keep) = (0, Vec::new());
    loop {
        let keys = (0..u64::from(RECORDS)).map(|row| (taken + row).to_be_bytes());
        let keys: Vec<_> = keys.collect();
        let keys: BytesColumn = keys.iter().map(|key| Some(&key[..])).collect();
        let header: &[u8] = b"\x91\x92\xa7version\xc4\x017";
        let headers: BytesColumn = (0..RECORDS).map(|_| Some(header)).collect();
        let batch = BatchColumns {
            records: RECORDS,
            base_offset: taken,
            offset_deltas: &offset_deltas,
            keys: Some(&keys),
            headers: Some(&headers),
            value_lens: Some(&value_lens),
            ..BatchColumns::default()
        };
        let observed = compactor.observe(&batch).unwrap();
        taken += u64::from(observed);
        if observed < RECORDS {
            compactor.retain(&batch, &mut keep).unwrap();
            return taken;
        }
    }
}

#[test]
fn about_a_million_keys_fit_into_the_default_memory() {
    let taken = keys_taken("latest-by-key", 64);
    assert!((900_000..2_000_000).contains(&taken), "{taken}");
}

#[test]
fn every_policy_with_a_table_stops_before_its_memory_is_full() {
    for (name, least) in [
        ("latest-by-key", 80_000),
        ("keep-last-n", 50_000),
        ("newest-by-header", 30_000),
    ] {
        for memory_mib in [8, 11] {
            let taken = keys_taken(name, memory_mib);
            assert!(taken >= least, "{name} with {memory_mib} MiB: {taken}");
        }
    }
}
