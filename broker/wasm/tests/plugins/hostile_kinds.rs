//! What a guest of any kind can do wrong, for each kind: the words that a person reads, that nobody else
//! notices, and that the same binding works for the next question.

use std::sync::Arc;
use std::time::Duration;

use broker_wasm::{Limits, Partitioner, PluginError, PluginErrorKind, PluginKind};

use crate::harness::{LAYOUT, assign, catalog, engine};
use crate::subject::{Subject, behaviour, plugin};

/// Time to spare on a slow machine, except for a guest that loops.
fn limits(kind: PluginKind, how: &str) -> Limits {
    let mut limits = Limits::default_for(kind);
    if !how.contains("loop") {
        limits.deadline = Duration::from_secs(1);
    }
    limits
}

/// Lets a guest of that kind misbehave and checks that it is no worse than an error.
#[track_caller]
fn misbehave(kind: PluginKind, how: &str) -> PluginError {
    let plugin = Arc::new(plugin(kind).with_limits(limits(kind, how)));
    let mut subject = Subject::bind(&plugin, how).unwrap();
    subject.ask_harmlessly().unwrap();
    if kind == PluginKind::Compaction {
        subject = Subject::bind(&plugin, how).unwrap();
    }
    let error = subject.go().expect_err(how);
    assert!(error.message.len() <= 256, "{error}");
    assert!(!error.message.contains(char::is_control), "{error:?}");
    subject.ask_harmlessly().unwrap();
    let usage = plugin.counters().usage();
    assert_eq!((usage.errors, usage.traps), (1, 1), "{kind} {how}");
    others_work();
    error
}

/// Another plugin on the same thread and engine has seen nothing.
fn others_work() {
    let key_hash = catalog().get("key-hash").unwrap();
    let mut key_hash = Partitioner::new(engine(), key_hash, "orders", &[]).unwrap();
    assert_eq!(assign(&mut key_hash, &[Some("21")], LAYOUT).unwrap(), [4]);
}

/// Checks kind and words, which are the same for every kind of plugin.
#[track_caller]
fn every_kind(how: &str, expected: PluginErrorKind, words: impl Fn(PluginKind) -> String) {
    for kind in PluginKind::ALL {
        let error = misbehave(kind, how);
        assert_eq!(error.kind, expected, "{kind} {how}: {error}");
        assert_eq!(error.to_string(), words(kind), "{kind} {how}");
    }
}

#[test]
fn an_endless_loop_times_out() {
    every_kind("loop", PluginErrorKind::Timeout, |kind| {
        let deadline = Limits::default_for(kind).deadline;
        format!(
            "plugin hostile 6.6.6 timed out: used more than {deadline:?} of processor time for one call"
        )
    });
}

#[test]
fn endless_recursion_ends_in_a_trap() {
    every_kind("recurse", PluginErrorKind::Trapped, |_| {
        "plugin hostile 6.6.6 trapped: wasm trap: call stack exhausted".to_owned()
    });
}

#[test]
fn memory_beyond_the_limit_is_refused_in_small_steps_and_in_one() {
    for how in ["bomb", "huge-allocation"] {
        every_kind(how, PluginErrorKind::OutOfMemory, |kind| {
            let most = Limits::default_for(kind).memory_bytes;
            format!(
                "plugin hostile 6.6.6 ran out of memory: wanted more than its limit of {most} bytes"
            )
        });
    }
}

#[test]
fn a_panic_is_reported_with_its_place_and_text_in_one_short_line() {
    for kind in PluginKind::ALL {
        let error = misbehave(kind, "panic");
        assert_eq!(error.kind, PluginErrorKind::Trapped);
        let text = error.to_string();
        let begin = "plugin hostile 6.6.6 trapped: panicked at orders/src/lib.rs:";
        assert!(text.starts_with(begin), "{text}");
        assert!(text.contains(": the roof is on fire !!!"), "{text}");
    }
}

#[test]
fn a_giant_line_for_the_log_is_an_error_where_answers_are_small() {
    for kind in [
        PluginKind::Partitioner,
        PluginKind::Retention,
        PluginKind::Compaction,
    ] {
        let error = misbehave(kind, "giant-line");
        assert_eq!(
            error.to_string(),
            "plugin hostile 6.6.6 answered nonsense: more bytes than an answer, its refusals and log lines may have"
        );
    }
}

#[test]
fn a_flood_of_log_lines_is_cut_and_kept_within_bounds() {
    for kind in PluginKind::ALL {
        let flooding = Arc::new(plugin(kind).with_limits(limits(kind, "flood")));
        let mut subject = Subject::bind(&flooding, "flood").unwrap();
        subject.go().unwrap();
        let lines = flooding.log().after(0, usize::MAX);
        // Ten a second, and the 10,000 lines take less than two.
        assert!((1..=40).contains(&lines.len()), "{} lines", lines.len());
        let first = &lines[0];
        assert_eq!((first.sequence, first.level), (1, "warn"));
        assert_eq!(
            (first.topic.as_str(), first.message.as_str()),
            ("orders", "line 0 ")
        );
        let long = Arc::new(plugin(kind).with_limits(limits(kind, "long-line")));
        Subject::bind(&long, "long-line").unwrap().go().unwrap();
        assert_eq!(long.log().after(0, 1)[0].message, "x".repeat(256));
    }
}

#[test]
fn a_constructor_that_fails_gives_no_binding_and_says_why() {
    for kind in PluginKind::ALL {
        let start = |how: &str| {
            let plugin = Arc::new(plugin(kind).with_limits(limits(kind, how)));
            let error = Subject::bind(&plugin, how).err().unwrap();
            let tried = plugin.check_config(engine(), "", &behaviour(how));
            assert_eq!(tried.unwrap_err(), error, "{kind} {how}");
            others_work();
            error.to_string()
        };
        let text = start("refuse-to-start");
        let begin = "plugin hostile 6.6.6 refused its configuration: no. no. no. ";
        assert!(text.starts_with(begin) && text.len() < 320, "{text}");
        let text = start("panic-at-start");
        let begin = "plugin hostile 6.6.6 trapped: panicked at orders/src/lib.rs:";
        assert!(text.starts_with(begin), "{text}");
        assert!(text.ends_with(": cannot even start"), "{text}");
        let deadline = Limits::default_for(kind).deadline;
        assert_eq!(
            start("loop-at-start"),
            format!(
                "plugin hostile 6.6.6 timed out: used more than {deadline:?} of processor time for one call"
            )
        );
        let most = Limits::default_for(kind).memory_bytes;
        assert_eq!(
            start("bomb-at-start"),
            format!(
                "plugin hostile 6.6.6 ran out of memory: wanted more than its limit of {most} bytes"
            )
        );
        assert_eq!(
            start("giant-refusal-to-start"),
            "plugin hostile 6.6.6 answered nonsense: more bytes than an answer, its refusals and log lines may have"
        );
    }
}

#[test]
fn an_unknown_option_is_refused_by_its_name() {
    for kind in PluginKind::ALL {
        let options = [("behavior".to_owned(), "loop".to_owned())];
        let error = Arc::new(plugin(kind)).check_config(engine(), "", &options);
        assert_eq!(
            error.unwrap_err().to_string(),
            "plugin hostile 6.6.6 refused its configuration: unknown option behavior; known options: behaviour"
        );
    }
}

#[test]
fn a_plugin_of_another_kind_cannot_be_bound() {
    let retention = Arc::new(plugin(PluginKind::Retention));
    let error = Partitioner::new(engine(), &retention, "orders", &[])
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        "plugin hostile 6.6.6 refused its configuration: it is a retention plugin and cannot be a partitioner"
    );
}

#[test]
fn a_loop_of_any_kind_does_not_stop_a_plugin_on_another_thread() {
    let looping = std::thread::spawn(|| PluginKind::ALL.map(|kind| misbehave(kind, "loop").kind));
    while !looping.is_finished() {
        others_work();
    }
    assert_eq!(looping.join().unwrap(), [PluginErrorKind::Timeout; 4]);
}
