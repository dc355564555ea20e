//! Property tests: whatever bytes are given as a module, the host answers. A module that was damaged and
//! still loads is run, and may do what it likes within its limits.

use std::sync::Arc;
use std::time::Duration;

use broker_wasm::{Inspection, Limits, Plugin, PluginKind, PluginSource};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::harness::{engine, hostile_bytes, shipped_module};
use crate::subject::Subject;

/// Loads and runs it as far as it goes.
fn poke(bytes: &[u8]) {
    let Ok(module) = engine().load(bytes) else {
        assert!(Inspection::of(engine(), bytes).problem.is_some());
        return;
    };
    let limits = Limits {
        deadline: Duration::from_millis(2),
        ..Limits::default_for(module.kind())
    };
    let plugin = Plugin::new("mutated", module, PluginSource::Builtin).with_limits(limits);
    let plugin = Arc::new(plugin);
    if let Ok(mut subject) = Subject::bind(&plugin, "flood") {
        for _ in 0..2 {
            let _ = subject.go();
        }
    }
    // A suspended plugin is one of the ways in which it can end.
    plugin.resume();
}

/// A hostile guest with some bytes overwritten, and perhaps cut.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop::sample::select(PluginKind::ALL.to_vec());
    let flips = vec((any::<prop::sample::Index>(), any::<u8>()), 1..6);
    let cut = prop::option::weighted(0.1, any::<prop::sample::Index>());
    (kind, flips, cut).prop_map(|(kind, flips, cut)| {
        let mut bytes = hostile_bytes(kind);
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_no_plugin(bytes in vec(any::<u8>(), 0..2_000)) {
        prop_assert!(engine().load(&bytes).is_err());
        let module = [b"\0asm\x01\0\0\0", &bytes[..]].concat();
        prop_assert!(engine().load(&module).is_err());
        let component = [b"\0asm\x0d\0\x01\0", &bytes[..]].concat();
        prop_assert!(engine().load(&component).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_plugin_is_refused_or_kept_within_its_limits(bytes in damaged()) {
        poke(&bytes);
        prop_assert!(engine().load(shipped_module("key-hash")).is_ok());
    }
}
