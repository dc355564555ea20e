//! Tests of `TopicConfig`: layers, units, suggestions, and that every key reaches its field.

use super::*;

fn overrides(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn refused(pairs: &[(&str, &str)]) -> String {
    TopicConfig::resolve(&overrides(pairs), &TopicDefaults::default())
        .expect_err("should be refused")
        .to_string()
}

#[test]
fn nothing_set_gives_the_documented_defaults() {
    let config = TopicConfig::resolve(&BTreeMap::new(), &TopicDefaults::default()).unwrap();
    let week = Duration::from_secs(7 * 24 * 3600);
    assert_eq!(config.segment_bytes, 1 << 30);
    assert_eq!(config.roll_after, week);
    assert_eq!(config.retention, Some(week));
    assert_eq!(config.retention_bytes, None);
    assert_eq!(config.message_bytes_max, 1 << 20);
    assert_eq!(config.flush_mode, FlushMode::Sync);
    assert_eq!(config.partitioner, "key-hash");
}

#[test]
fn every_key_reaches_its_field() {
    let plain = TopicConfig::resolve(&BTreeMap::new(), &TopicDefaults::default()).unwrap();
    let other = [
        (names::BATCH_VALIDATION, "trust"),
        (names::FLUSH_MODE, "async"),
        (names::FLUSH_MS, "7s"),
        (names::INDEX_INTERVAL_BYTES, "1KiB"),
        (names::MESSAGE_MAX_BYTES, "2MiB"),
        (names::MESSAGE_TIMESTAMP_TYPE, "LogAppendTime"),
        (names::MIN_INSYNC_REPLICAS, "2"),
        (names::PARTITIONER, "round-robin"),
        (names::RETENTION_BYTES, "3MiB"),
        (names::RETENTION_MS, "-1"),
        (names::ROLL_MS, "1s"),
        (names::SEGMENT_BYTES, "1MiB"),
    ];
    for row in TOPIC_KEYS {
        let Some(changed) = other.iter().find(|(name, _)| *name == row.key.name) else {
            // It takes one value only so far.
            assert_eq!(row.key.name, names::CLEANUP_POLICY);
            continue;
        };
        let config =
            TopicConfig::resolve(&overrides(&[*changed]), &TopicDefaults::default()).unwrap();
        assert_ne!(config, plain, "{} changed nothing", row.key.name);
    }
}

#[test]
fn a_topic_wins_over_the_broker_and_the_broker_over_the_default() {
    let mut defaults = TopicDefaults::default();
    defaults.set(names::RETENTION_MS, "3d").unwrap();
    defaults.set(names::SEGMENT_BYTES, "64MiB").unwrap();
    let own = overrides(&[(names::RETENTION_MS, "1h")]);
    let config = TopicConfig::resolve(&own, &defaults).unwrap();
    assert_eq!(config.retention, Some(Duration::from_secs(3600)));
    assert_eq!(config.segment_bytes, 64 << 20);

    let own = TopicConfig::normalise(&own).unwrap();
    let described = TopicConfig::describe(&own, &defaults);
    let line = |name: &str| described.iter().find(|line| line.name == name).unwrap();
    let retention = line(names::RETENTION_MS);
    assert_eq!(retention.value, "3600000");
    assert_eq!(retention.default, "259200000");
    assert_eq!(retention.source, ConfigSource::Topic);
    assert_eq!(line(names::SEGMENT_BYTES).source, ConfigSource::Broker);
    let roll = line(names::ROLL_MS);
    assert_eq!(
        (roll.value.as_str(), roll.source),
        ("604800000", ConfigSource::Default)
    );
}

#[test]
fn unknown_keys_are_refused_with_the_name_that_was_meant() {
    let meant = [
        ("segment.ms", "roll.ms"),
        ("log.segment.ms", "roll.ms"),
        ("log.roll.ms", "roll.ms"),
        ("log.retention.ms", "retention.ms"),
        ("max.message.bytes", "message.max.bytes"),
        ("retenton.ms", "retention.ms"),
        ("partitioner.option.", "partitioner"),
    ];
    for (wrong, right) in meant {
        let text = refused(&[(wrong, "1")]);
        assert!(text.contains(&format!("{wrong:?}")), "{text}");
        if wrong != "partitioner.option." {
            assert!(text.contains(&format!("did you mean {right:?}")), "{text}");
        }
    }
    assert!(!refused(&[("colour", "red")]).contains("did you mean"));
}

#[test]
fn compaction_is_refused_as_not_available() {
    for value in ["compact", "compact,delete", "delete, compact"] {
        let text = refused(&[(names::CLEANUP_POLICY, value)]);
        assert!(text.contains("cleanup.policy"), "{text}");
        assert!(text.contains("not available in this version"), "{text}");
    }
    let text = refused(&[(names::CLEANUP_POLICY, "shred")]);
    assert!(text.contains("it takes delete"), "{text}");
}

#[test]
fn partitioner_options_are_collected_and_described() {
    let own = overrides(&[("partitioner.option.region", "eu"), ("partitioner", "mine")]);
    let config = TopicConfig::resolve(&own, &TopicDefaults::default()).unwrap();
    assert_eq!(config.partitioner_options.get("region").unwrap(), "eu");
    let described = TopicConfig::describe(&own, &TopicDefaults::default());
    assert_eq!(described.len(), TOPIC_KEYS.len() + 1);
    assert!(described.is_sorted_by(|a, b| a.name < b.name));
}
