//! A retention policy that wants more gone than there is, and logs with more segments than one call takes.

use std::sync::Arc;
use std::time::Duration;

use broker_wasm::{Bounds, Limits, PluginErrorKind, PluginKind, Retention, SegmentFacts};

use crate::harness::engine;
use crate::subject::{SEGMENTS, behaviour, log, plugin, segment};

fn bind(how: &str) -> Retention {
    let limits = Limits {
        deadline: Duration::from_secs(1),
        ..Limits::default_for(PluginKind::Retention)
    };
    let plugin = Arc::new(plugin(PluginKind::Retention).with_limits(limits));
    let bounds = Bounds {
        retention_ms: Some(1),
        retention_bytes: None,
    };
    Retention::new(engine(), &plugin, "orders", &behaviour(how), bounds).unwrap()
}

#[test]
fn a_prefix_that_is_too_long_is_refused_and_nothing_goes() {
    for (how, many) in [("prefix-too-long", 3), ("far-too-long", u32::MAX)] {
        let mut retention = bind(how);
        let error = retention.expired(&log(666, &SEGMENTS)).unwrap_err();
        assert_eq!(error.kind, PluginErrorKind::InvalidAnswer);
        let text =
            format!("plugin hostile 6.6.6 answered nonsense: {many} segments may go, there are 2");
        assert_eq!(error.to_string(), text);
        assert_eq!(retention.expired(&log(600, &SEGMENTS)), Ok(1));
    }
}

#[test]
fn a_log_without_sealed_segments_can_be_asked_about() {
    assert_eq!(bind("everything").expired(&log(0, &[])), Ok(0));
    let error = bind("prefix-too-long").expired(&log(666, &[])).unwrap_err();
    assert_eq!(error.message, "1 segments may go, there are 0");
}

#[test]
fn a_log_of_many_segments_is_asked_about_in_parts() {
    let segments: Vec<SegmentFacts> = (0..10_000).map(segment_at).collect();
    let mut everything = bind("everything");
    assert_eq!(everything.expired(&log(1, &segments)), Ok(10_000));
    assert_eq!(everything.plugin().counters().usage().calls, 10);
    // Where the policy stops within a part, the rest is not asked about.
    let mut some = bind("below-600");
    assert_eq!(some.expired(&log(1, &segments)), Ok(2));
    assert_eq!(some.plugin().counters().usage().calls, 1);
}

fn segment_at(index: u64) -> SegmentFacts {
    segment(index * 300)
}
