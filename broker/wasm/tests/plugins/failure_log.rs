//! Every failed call leaves its reason in the plugin's own log, where `broker plugin logs` shows it, and
//! failures while an instance is made are errors like those of a batch.

use std::sync::Arc;
use std::time::Duration;

use broker_model::ManualClock;
use broker_wasm::{Compactor, Limits, LogLine, Plugin, PluginErrorKind, PluginKind, PluginState};

use crate::harness::engine;
use crate::subject::{Subject, behaviour, plugin, retain};

/// With time to spare on a slow machine.
fn hostile(kind: PluginKind) -> Arc<Plugin> {
    let limits = Limits {
        deadline: Duration::from_secs(1),
        ..Limits::default_for(kind)
    };
    Arc::new(plugin(kind).with_limits(limits))
}

fn lines(plugin: &Plugin) -> Vec<LogLine> {
    plugin.log().after(0, usize::MAX)
}

fn texts(plugin: &Plugin) -> Vec<String> {
    lines(plugin)
        .into_iter()
        .map(|line| format!("{} {} {}", line.level, line.topic, line.message))
        .collect()
}

/// What stands in the log after one failure.
fn after_one(kind: PluginKind, how: &str) -> Vec<String> {
    let plugin = hostile(kind);
    Subject::bind(&plugin, how).unwrap().go().unwrap_err();
    texts(&plugin)
}

#[test]
fn an_answer_that_breaks_a_rule_leaves_its_reason_whatever_the_kind() {
    for (kind, how, expected) in [
        (
            PluginKind::Partitioner,
            "short-answer",
            "1 partitions for 2 records",
        ),
        (
            PluginKind::Partitioner,
            "out-of-range",
            "partition 8, the topic has 8 (record 1)",
        ),
        (
            PluginKind::Serializer,
            "null-becomes-something",
            "the row was null and became something (record 1)",
        ),
        (
            PluginKind::Retention,
            "prefix-too-long",
            "3 segments may go, there are 2",
        ),
        (
            PluginKind::Compaction,
            "takes-too-much",
            "it took in 3 records of 2",
        ),
        (
            PluginKind::Partitioner,
            "giant-answer",
            "more bytes than an answer, its refusals and log lines may have",
        ),
    ] {
        let expected = format!("error orders answered nonsense: {expected}");
        assert_eq!(after_one(kind, how), [expected], "{how}");
    }
}

#[test]
fn a_bitmap_that_is_too_long_leaves_its_reason_once_for_the_cleaning() {
    let plugin = hostile(PluginKind::Compaction);
    let options = behaviour("late-long");
    let mut compactor = Compactor::new(engine(), &plugin, "orders", &options, 0).unwrap();
    let keys = vec![Some(&b"go"[..]); 8];
    for _ in 0..3 {
        retain(&mut compactor, &keys).unwrap_err();
    }
    let text = "error orders answered nonsense: a bitmap of 2 bytes for 8 records, which take 1";
    assert_eq!(texts(&plugin), [text]);
}

#[test]
fn a_refused_batch_a_stack_and_the_memory_leave_their_reasons() {
    let refused = after_one(PluginKind::Partitioner, "refuse");
    assert_eq!(refused.len(), 1);
    let text = "warn orders refused the batch: not this batch: é";
    assert!(refused[0].starts_with(text), "{refused:?}");
    let stack = after_one(PluginKind::Retention, "recurse");
    assert!(
        stack[0].contains("trapped: wasm trap: call stack"),
        "{stack:?}"
    );
    let memory = after_one(PluginKind::Serializer, "bomb");
    let text = "error orders ran out of memory: wanted more than its limit";
    assert!(memory[0].starts_with(text), "{memory:?}");
}

#[test]
fn a_panic_stands_there_once_in_its_own_words() {
    let lines = after_one(PluginKind::Compaction, "panic");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("the roof is on fire"), "{lines:?}");
    assert!(!lines[0].contains("trapped"), "{lines:?}");
}

#[test]
fn failures_while_an_instance_is_made_are_errors_and_leave_their_reasons() {
    for kind in PluginKind::ALL {
        let plugin = hostile(kind);
        for how in ["panic-at-start", "bomb-at-start", "refuse-to-start"] {
            assert!(Subject::bind(&plugin, how).is_err(), "{how}");
        }
        let usage = plugin.counters().usage();
        assert_eq!(
            (usage.errors, usage.traps, usage.calls),
            (3, 2, 0),
            "{kind}"
        );
        let texts = texts(&plugin);
        for (text, part) in texts.iter().zip([
            "error orders panicked",
            "error orders ran out of memory: ",
            "warn orders refused its configuration: no. no. ",
        ]) {
            assert!(text.starts_with(part), "{texts:?}");
        }
        assert_eq!(texts.len(), 3);
    }
}

#[test]
fn a_configuration_that_is_only_tried_counts_when_it_traps_and_not_when_it_is_refused() {
    let plugin = hostile(PluginKind::Serializer);
    let tried = |how: &str| {
        let tried = plugin.check_config(engine(), "orders", &behaviour(how));
        tried.unwrap_err().kind
    };
    assert_eq!(tried("refuse-to-start"), PluginErrorKind::InvalidConfig);
    assert_eq!(texts(&plugin), [""; 0]);
    assert_eq!(tried("panic-at-start"), PluginErrorKind::Trapped);
    assert_eq!(texts(&plugin).len(), 1);
    let usage = plugin.counters().usage();
    assert_eq!((usage.errors, usage.traps), (1, 1));
}

#[test]
fn a_suspended_plugin_writes_no_line_for_each_call_that_is_not_made() {
    let plugin = hostile(PluginKind::Retention);
    for _ in 0..3 {
        Subject::bind(&plugin, "bomb").unwrap().go().unwrap_err();
    }
    assert_ne!(plugin.state("orders"), PluginState::Active);
    let before = texts(&plugin);
    assert_eq!(before.len(), 4, "{before:?}");
    assert!(before[3].contains("suspended, everything is kept"));
    assert!(Subject::bind(&plugin, "").is_err());
    assert_eq!(texts(&plugin), before);
    assert_eq!(plugin.counters().usage().errors, 3);
}

#[test]
fn failures_are_limited_in_number_and_not_hidden_by_what_the_plugin_writes() {
    let clock = Arc::new(ManualClock::default());
    let plugin = plugin(PluginKind::Partitioner).with_clock(clock.clone());
    let limits = Limits {
        deadline: Duration::from_secs(1),
        ..Limits::default_for(PluginKind::Partitioner)
    };
    let plugin = Arc::new(plugin.with_limits(limits));
    Subject::bind(&plugin, "flood").unwrap().go().unwrap();
    assert_eq!(plugin.log().last_sequence(), 10);
    let mut wrong = Subject::bind(&plugin, "short-answer").unwrap();
    for _ in 0..15 {
        wrong.go().unwrap_err();
    }
    // What the flood lost is said at once, in front of the first reason.
    let before = texts(&plugin);
    assert_eq!(before.len(), 21, "{before:?}");
    let note = "warn orders 9990 lines dropped: a plugin may write 10 a second";
    assert_eq!(before[10], note);
    assert!(before[11].ends_with("answered nonsense: 1 partitions for 2 records"));
    clock.advance(Duration::from_secs(1));
    wrong.go().unwrap_err();
    let after = texts(&plugin);
    assert_eq!(after.len(), 23);
    let note = "warn orders 5 lines dropped: a plugin may write 10 a second";
    assert_eq!(after[21], note);
}
