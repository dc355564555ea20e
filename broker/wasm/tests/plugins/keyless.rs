//! Batches without keys, which a partitioner may route as a whole: the same answer as for record after
//! record, and nothing for modules that do not know of it.

use std::sync::Arc;

use broker_wasm::{Layout, Partitioner, Plugin, PluginErrorKind, PluginKind, PluginSource, Usage};

use crate::harness::{LAYOUT, assign, catalog, engine, hostile, replaced, shipped_module};

/// A plugin of its own: the counters of shared ones count for other tests too.
fn own(module: broker_wasm::Module) -> Plugin {
    Plugin::new("own", module, PluginSource::Builtin)
}

fn shipped(name: &str) -> Plugin {
    own(catalog().get(name).unwrap().module().clone())
}

fn bound(plugin: Plugin, options: &[(&str, &str)]) -> Partitioner {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let options: Vec<_> = options.iter().map(owned).collect();
    Partitioner::new(engine(), &Arc::new(plugin), "orders", &options).unwrap()
}

fn usage(partitioner: &Partitioner) -> Usage {
    partitioner.plugin().counters().usage()
}

#[test]
fn a_batch_without_keys_goes_where_each_of_its_records_would() {
    let mut partitioners = [
        bound(shipped("key-hash"), &[]),
        bound(shipped("sticky-grow"), &[("boundaries", "10")]),
    ];
    for partitioner in &mut partitioners {
        for (partitions, records) in [(1, 1), (3, 100), (8, 2), (1_000, 7)] {
            for batches in [0, 1, 2, 7, u64::from(u32::MAX), u64::MAX] {
                let layout = Layout {
                    partitions,
                    counts: &[1, partitions],
                    sequence: batches / 2,
                    batches,
                };
                let together = partitioner.keyless(records, &layout).unwrap();
                let apart = assign(partitioner, &vec![None; records as usize], layout).unwrap();
                assert_eq!(apart, vec![together.unwrap(); records as usize]);
            }
        }
        let usage = usage(partitioner);
        assert_eq!((usage.calls, usage.errors), (48, 0), "one call each");
    }
}

#[test]
fn a_module_from_before_is_asked_about_every_record() {
    // Without a function of that name, as it was built before there was one.
    let module = shipped_module("key-hash");
    let module = replaced(module, "partitioner.keyless", "partitioner.another");
    let mut old = bound(own(engine().load(&module).unwrap()), &[]);
    assert!(!old.knows_keyless());
    assert_eq!(old.keyless(2, &LAYOUT).unwrap(), None);
    let layout = Layout {
        batches: 11,
        ..LAYOUT
    };
    let keys = [Some("21"), Some("foobar"), Some(""), None, None];
    assert_eq!(assign(&mut old, &keys, layout).unwrap(), [4, 6, 1, 3, 3]);
    assert_eq!(usage(&old).calls, 1);
}

#[test]
fn a_partitioner_that_has_to_see_the_records_is_asked_for_a_whole_answer_once() {
    let mut round_robin = bound(shipped("round-robin"), &[]);
    for _ in 0..3 {
        assert_eq!(round_robin.keyless(2, &LAYOUT).unwrap(), None);
    }
    assert!(!round_robin.knows_keyless());
    let usage = usage(&round_robin);
    assert_eq!((usage.calls, usage.records, usage.time_ns), (1, 0, 0));
}

#[test]
fn one_with_a_fallback_is_given_what_the_fallback_may_need() {
    let fallback = catalog().get("round-robin").unwrap().clone();
    let mut partitioner = bound(shipped("key-hash").with_fallback(Some(fallback)), &[]);
    assert_eq!(partitioner.keyless(2, &LAYOUT).unwrap(), None);
    assert_eq!(
        assign(&mut partitioner, &[None, None], LAYOUT).unwrap(),
        [0, 0]
    );
}

#[test]
fn an_answer_of_no_use_is_an_error_and_the_next_batch_has_a_new_instance() {
    for (behaviour, kind, text) in [
        (
            "keyless-beyond",
            PluginErrorKind::InvalidAnswer,
            "partition 8, the topic has 8",
        ),
        (
            "keyless-panic",
            PluginErrorKind::Trapped,
            "no keys, no answer",
        ),
    ] {
        let plugin = own(hostile(PluginKind::Partitioner));
        let mut partitioner = bound(plugin, &[("behaviour", behaviour)]);
        let error = partitioner.keyless(3, &LAYOUT).unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(text), "{error}");
        let next = Layout {
            batches: 1,
            ..LAYOUT
        };
        assert_eq!(partitioner.keyless(4, &next).unwrap(), Some(0));
        let usage = usage(&partitioner);
        assert_eq!((usage.calls, usage.records, usage.errors), (2, 7, 1));
    }
}
