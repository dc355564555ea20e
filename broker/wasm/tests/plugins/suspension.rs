//! Three traps within a minute in one topic suspend a plugin there: what its callers get then, what is said about
//! it, and how it comes back.

use std::sync::Arc;
use std::time::Duration;

use broker_model::{ManualClock, Timestamp};
use broker_wasm::{Partitioner, Plugin, PluginErrorKind, PluginKind, PluginState};

use crate::events::Events;
use crate::harness::{LAYOUT, assign, catalog, engine};
use crate::subject::{Subject, behaviour, plugin};

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_millis(5_000)))
}

fn hostile(kind: PluginKind, clock: &Arc<ManualClock>) -> Arc<Plugin> {
    Arc::new(plugin(kind).with_clock(clock.clone()))
}

/// One trap, on a binding of its own.
fn trap(plugin: &Arc<Plugin>) -> PluginErrorKind {
    Subject::bind(plugin, "loop")
        .unwrap()
        .go()
        .unwrap_err()
        .kind
}

fn trap_thrice(plugin: &Arc<Plugin>) {
    for _ in 0..3 {
        trap(plugin);
    }
}

#[test]
fn the_third_trap_within_a_minute_suspends_a_plugin_of_any_kind_for_all_bindings_of_the_topic() {
    for kind in PluginKind::ALL {
        let clock = clock();
        let plugin = hostile(kind, &clock);
        let mut elsewhere = Subject::bind(&plugin, "").unwrap();
        trap(&plugin);
        trap(&plugin);
        assert_eq!(plugin.state("orders"), PluginState::Active);
        elsewhere.ask_harmlessly().unwrap();
        clock.advance(Duration::from_secs(59));
        assert_eq!(trap(&plugin), PluginErrorKind::Timeout);
        let deadline = plugin.limits().deadline;
        let reason = format!(
            "3 traps within 60s, the last: timed out: used more than {deadline:?} of processor time for one call"
        );
        let since = 64_000;
        let suspended = PluginState::Suspended {
            since,
            reason: reason.clone(),
        };
        assert_eq!(plugin.state("orders"), suspended);
        let error = elsewhere.ask_harmlessly().unwrap_err();
        assert_eq!(error.kind, PluginErrorKind::Suspended);
        assert!(error.retriable);
        assert_eq!(
            error.to_string(),
            format!(
                "plugin hostile 6.6.6 is suspended for this topic until `resume_plugin`: {reason}"
            )
        );
        let refused = Subject::bind(&plugin, "").err().unwrap();
        assert_eq!(refused.kind, PluginErrorKind::Suspended);
        let usage = plugin.counters().usage();
        assert_eq!((usage.traps, usage.suspensions), (3, 1));
    }
}

#[test]
fn a_topic_that_a_plugin_fails_does_not_take_it_from_others() {
    for kind in PluginKind::ALL {
        let plugin = hostile(kind, &clock());
        let mut other = Subject::bind_to("other", &plugin, "").unwrap();
        trap_thrice(&plugin);
        assert_ne!(plugin.state("orders"), PluginState::Active);
        assert_eq!(plugin.state("other"), PluginState::Active);
        other.ask_harmlessly().unwrap();
        Subject::bind_to("a third", &plugin, "").unwrap();
        let (state, topics) = plugin.suspended_topics();
        assert_eq!(
            (state.name(), topics),
            ("suspended", vec!["orders".to_owned()])
        );
        assert!(plugin.resume());
        let (state, topics) = plugin.suspended_topics();
        assert_eq!((state.name(), topics), ("active", Vec::new()));
        Subject::bind(&plugin, "")
            .unwrap()
            .ask_harmlessly()
            .unwrap();
    }
}

#[test]
fn traps_that_lie_a_minute_apart_do_not_suspend() {
    let clock = clock();
    let plugin = hostile(PluginKind::Retention, &clock);
    for _ in 0..4 {
        trap(&plugin);
        clock.advance(Duration::from_secs(30));
    }
    assert_eq!(plugin.state("orders"), PluginState::Active);
    assert_eq!(plugin.counters().usage().suspensions, 0);
}

#[test]
fn a_resumed_plugin_works_again_on_the_bindings_it_had() {
    for kind in PluginKind::ALL {
        let plugin = hostile(kind, &clock());
        let mut subject = Subject::bind(&plugin, "").unwrap();
        trap_thrice(&plugin);
        subject.ask_harmlessly().unwrap_err();
        assert!(plugin.resume());
        assert!(!plugin.resume());
        assert_eq!(plugin.state("orders"), PluginState::Active);
        // A compactor that failed stays finished; the harmless question binds a new one.
        subject.ask_harmlessly().unwrap();
        trap(&plugin);
        trap(&plugin);
        assert_eq!(
            plugin.state("orders"),
            PluginState::Active,
            "the traps of before are forgotten"
        );
        trap(&plugin);
        assert_eq!(plugin.counters().usage().suspensions, 2);
    }
}

#[test]
fn panics_memory_stack_and_unreadable_answers_are_traps_and_wrong_answers_are_not() {
    for (how, counts) in [
        ("panic", true),
        ("bomb", true),
        ("recurse", true),
        ("giant-answer", true),
        ("short-answer", false),
        ("out-of-range", false),
        ("refuse", false),
    ] {
        let plugin = hostile(PluginKind::Partitioner, &clock());
        let mut subject = Subject::bind(&plugin, how).unwrap();
        for _ in 0..3 {
            subject.go().unwrap_err();
        }
        assert_eq!(
            plugin.state("orders") != PluginState::Active,
            counts,
            "{how}"
        );
    }
}

#[test]
fn a_constructor_that_traps_counts_and_a_configuration_that_is_tried_does_not() {
    let plugin = hostile(PluginKind::Serializer, &clock());
    for _ in 0..5 {
        let tried = plugin.check_config(engine(), "orders", &behaviour("panic-at-start"));
        assert_eq!(tried.unwrap_err().kind, PluginErrorKind::Trapped);
    }
    assert_eq!(plugin.state("orders"), PluginState::Active);
    for _ in 0..3 {
        let error = Subject::bind(&plugin, "panic-at-start").err().unwrap();
        assert_eq!(error.kind, PluginErrorKind::Trapped);
    }
    assert_ne!(plugin.state("orders"), PluginState::Active);
    plugin.check_config(engine(), "orders", &[]).unwrap();
}

#[test]
fn the_fallback_answers_for_a_suspended_partitioner_also_on_new_bindings() {
    let fallback = catalog().get("key-hash").unwrap();
    let plugin = plugin(PluginKind::Partitioner).with_clock(clock());
    let plugin = Arc::new(plugin.with_fallback(Some(Arc::clone(fallback))));
    let options = behaviour("loop");
    let bind = || Partitioner::new(engine(), &plugin, "orders", &options).unwrap();
    let mut early = bind();
    for _ in 0..3 {
        assert_eq!(
            assign(&mut early, &[Some("go"), Some("21")], LAYOUT).unwrap()[1],
            4
        );
    }
    assert_ne!(plugin.state("orders"), PluginState::Active);
    let mut late = bind();
    for partitioner in [&mut early, &mut late] {
        assert_eq!(assign(partitioner, &[Some("21")], LAYOUT).unwrap(), [4]);
    }
    let usage = plugin.counters().usage();
    assert_eq!((usage.calls, usage.fallbacks), (3, 5));
    plugin.resume();
    for partitioner in [&mut early, &mut late] {
        assert_eq!(assign(partitioner, &[Some("21")], LAYOUT).unwrap(), [0]);
    }
}

#[test]
fn a_suspension_is_an_event_with_what_happens_now_and_a_line_in_the_plugins_log() {
    for (kind, consequence) in [
        (
            PluginKind::Partitioner,
            "batches without a partition are refused, to be sent again",
        ),
        (
            PluginKind::Serializer,
            "batches are refused, to be sent again; a fetch with decode gives the stored bytes",
        ),
        (PluginKind::Retention, "everything is kept"),
        (PluginKind::Compaction, "everything is kept"),
    ] {
        let plugin = hostile(kind, &clock());
        let events = Events::of(|| {
            trap_thrice(&plugin);
            plugin.resume();
        });
        let suspended: Vec<_> = events
            .iter()
            .filter(|text| text.contains("plugin suspended"))
            .collect();
        assert_eq!(suspended.len(), 1, "{events:?}");
        for part in [
            "plugin=hostile ".to_owned(),
            format!("kind={kind} "),
            "topic=orders ".to_owned(),
            "reason=3 traps within 60s, the last: timed out".to_owned(),
            format!("consequence={consequence} "),
        ] {
            assert!(
                suspended[0].contains(&part),
                "{} has no {part}",
                suspended[0]
            );
        }
        assert!(
            events.iter().any(|text| text.contains("plugin resumed")),
            "{events:?}"
        );
        let lines = plugin.log().after(0, 10);
        let text = format!("suspended, {consequence}: 3 traps within 60s, the last: ");
        let [first, _, third, suspended, resumed] = &lines[..] else {
            panic!("three traps and two notes: {lines:?}");
        };
        assert!(first.message.starts_with("timed out: "), "{lines:?}");
        assert_eq!(first.message, third.message);
        assert!(suspended.message.starts_with(&text), "{lines:?}");
        assert_eq!((suspended.level, suspended.at_ms), ("error", 5_000));
        assert_eq!(resumed.message, "resumed");
    }
}
