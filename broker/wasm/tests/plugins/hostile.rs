//! A partitioner that loops, traps, hoards, recurses or answers nonsense: each gives a typed error with
//! the reason, the same partitioner works again for the next batch, and other plugins do not notice.
//! What every kind does alike is in `hostile_kinds`.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use broker_wasm::{
    Limits, Partitioner, Plugin, PluginError, PluginErrorKind, PluginKind, PluginSource, Usage,
};

use crate::events::Events;
use crate::harness::{LAYOUT, assign, catalog, engine, hostile};

const GO: &[Option<&str>] = &[Some("go"), None];
const HARMLESS: &[Option<&str>] = &[Some("a"), None, Some("b")];

/// With time to spare on a slow machine, except for a guest that loops.
fn start(behaviour: &str) -> Result<Partitioner, PluginError> {
    let mut limits = Limits::default_for(PluginKind::Partitioner);
    if !behaviour.starts_with("loop") {
        limits.deadline = Duration::from_secs(1);
    }
    let plugin = Plugin::new(
        "hostile",
        hostile(PluginKind::Partitioner),
        PluginSource::Builtin,
    )
    .with_limits(limits);
    let plugin = Arc::new(plugin);
    let options = [("behaviour".to_owned(), behaviour.to_owned())];
    Partitioner::new(engine(), &plugin, "orders", &options)
}

/// Lets the guest misbehave and checks that it is no worse than an error.
fn misbehave(behaviour: &str) -> (PluginError, Usage) {
    let mut partitioner = start(behaviour).unwrap();
    assert_eq!(
        assign(&mut partitioner, HARMLESS, LAYOUT).unwrap(),
        [0, 0, 0]
    );
    let error = assign(&mut partitioner, GO, LAYOUT).unwrap_err();
    assert_eq!(
        (error.plugin.as_str(), error.version.as_str()),
        ("hostile", "6.6.6")
    );
    assert!(
        error.message.len() <= 256 && !error.message.contains('\n'),
        "{error}"
    );
    // The same object serves the next batch ...
    assert_eq!(
        assign(&mut partitioner, HARMLESS, LAYOUT).unwrap(),
        [0, 0, 0]
    );
    // ... and another plugin on the same thread and engine has seen nothing.
    let key_hash = catalog().get("key-hash").unwrap();
    let mut key_hash = Partitioner::new(engine(), key_hash, "orders", &[]).unwrap();
    assert_eq!(assign(&mut key_hash, &[Some("21")], LAYOUT).unwrap(), [4]);
    (error, partitioner.plugin().counters().usage())
}

#[test]
fn an_endless_loop_times_out_and_may_be_tried_again() {
    let (error, usage) = misbehave("loop");
    assert_eq!(error.kind, PluginErrorKind::Timeout);
    assert!(error.retriable);
    assert_eq!(
        error.to_string(),
        "plugin hostile 6.6.6 timed out: used more than 5ms of processor time for one call"
    );
    assert_eq!((usage.calls, usage.errors, usage.traps), (3, 1, 1));
}

#[test]
fn what_the_language_traps_on_is_reported_as_well() {
    let (error, _) = misbehave("divide");
    assert!(
        error.message.contains("attempt to divide by zero"),
        "{error}"
    );
    let (error, _) = misbehave("index");
    assert!(error.message.contains("index out of bounds"), "{error}");
}

#[test]
fn endless_recursion_ends_in_a_trap_also_on_a_small_stack() {
    let small = thread::Builder::new().stack_size(1 << 20);
    let (error, _) = small
        .spawn(|| misbehave("recurse"))
        .unwrap()
        .join()
        .unwrap();
    assert_eq!(error.kind, PluginErrorKind::Trapped);
    assert!(error.message.contains("call stack exhausted"), "{error}");
}

#[test]
fn an_instance_that_filled_up_is_replaced_and_the_batch_may_be_tried_again() {
    let mut leaky = start("leak").unwrap();
    let failures: Vec<_> = (0..9)
        .map(|_| assign(&mut leaky, GO, LAYOUT).err())
        .collect();
    let failed = |at: usize| {
        failures[at]
            .as_ref()
            .map(|error| (error.kind, error.retriable))
    };
    // 16 MiB hold two of its 5 MiB; the third call fails and the next finds a new instance.
    for at in [2, 5, 8] {
        assert_eq!(
            failed(at),
            Some((PluginErrorKind::OutOfMemory, true)),
            "{failures:?}"
        );
        assert_eq!(
            (failed(at - 1), failed(at - 2)),
            (None, None),
            "{failures:?}"
        );
    }
    let mut fresh = start("bomb").unwrap();
    assert!(!assign(&mut fresh, GO, LAYOUT).unwrap_err().retriable);
}

#[test]
fn an_answer_of_the_wrong_length_is_refused() {
    assert_eq!(
        misbehave("short-answer").0.message,
        "1 partitions for 2 records"
    );
    let (error, _) = misbehave("long-answer");
    assert_eq!(error.kind, PluginErrorKind::InvalidAnswer);
    assert_eq!(error.message, "3 partitions for 2 records");
    assert!(!error.retriable);
}

#[test]
fn a_partition_that_does_not_exist_is_refused_with_its_record() {
    let (error, _) = misbehave("out-of-range");
    assert_eq!(error.kind, PluginErrorKind::InvalidAnswer);
    assert_eq!(error.record, Some(1));
    let text = "plugin hostile 6.6.6 answered nonsense: partition 8, the topic has 8 (record 1)";
    assert_eq!(error.to_string(), text);
}

#[test]
fn giant_answers_refusals_and_log_lines_are_not_even_copied() {
    for behaviour in ["giant-answer", "giant-refusal", "giant-line"] {
        let (error, _) = misbehave(behaviour);
        assert_eq!(error.kind, PluginErrorKind::InvalidAnswer, "{error}");
        assert_eq!(
            error.message,
            "more bytes than an answer, its refusals and log lines may have"
        );
    }
}

#[test]
fn a_refusal_is_in_the_plugins_words_cut_to_256_bytes() {
    let (error, usage) = misbehave("refuse");
    assert_eq!(error.kind, PluginErrorKind::Rejected);
    assert!(error.message.starts_with("not this batch: éé"), "{error}");
    assert_eq!(error.message.len(), 256);
    assert_eq!((usage.errors, usage.traps), (1, 0));
}

#[test]
fn log_lines_are_limited_in_number_and_length_and_name_plugin_and_topic() {
    let lines = Events::of(|| {
        let mut flooding = start("flood").unwrap();
        assign(&mut flooding, GO, LAYOUT).unwrap();
        let mut long = start("long-line").unwrap();
        assign(&mut long, GO, LAYOUT).unwrap();
    });
    assert!((2..=40).contains(&lines.len()), "{} lines", lines.len());
    assert!(
        lines[0].contains("line 0 ") && !lines[0].contains('\u{7}'),
        "{}",
        lines[0]
    );
    assert!(
        lines[0].contains("plugin=hostile") && lines[0].contains("topic=orders"),
        "{}",
        lines[0]
    );
    let longest = lines.iter().map(String::len).max().unwrap();
    assert!((256..400).contains(&longest), "{longest}");
}

#[test]
fn a_record_that_is_too_large_for_the_guests_memory_fails_the_batch_and_is_no_trap() {
    let large: &str = &"k".repeat(9 << 20);
    let mut partitioner = start("").unwrap();
    let error = assign(&mut partitioner, &[Some("a"), Some(large)], LAYOUT).unwrap_err();
    assert_eq!(error.kind, PluginErrorKind::OutOfMemory);
    assert!(!error.retriable);
    assert_eq!(
        error.to_string(),
        "plugin hostile 6.6.6 ran out of memory: the record has 9437184 bytes, a plugin with this memory limit takes at most 8388608 (record 1)"
    );
    let usage = partitioner.plugin().counters().usage();
    assert_eq!((usage.calls, usage.errors, usage.traps), (1, 1, 0));
}
