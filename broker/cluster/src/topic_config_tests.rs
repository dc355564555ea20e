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
    assert_eq!(
        config.cleanup_policy,
        CleanupPolicy {
            delete: true,
            compact: false
        }
    );
    assert_eq!(config.min_cleanable_dirty_ratio, 0.5);
    assert_eq!(config.min_compaction_lag, Duration::ZERO);
    assert_eq!(config.max_compaction_lag, None);
    assert_eq!(config.delete_retention, Duration::from_secs(24 * 3600));
    assert_eq!(config.dead_letter_topic, None);
    let plugins = PluginSlot::ALL.map(|slot| config.slot_plugin(slot));
    let expected = [
        Some("key-hash"),
        None,
        None,
        Some("time-and-size"),
        Some("latest-by-key"),
    ];
    assert_eq!(plugins, expected);
}

#[test]
fn every_key_reaches_its_field() {
    let plain = TopicConfig::resolve(&BTreeMap::new(), &TopicDefaults::default()).unwrap();
    let other = [
        (names::BATCH_VALIDATION, "trust"),
        (names::CLEANUP_POLICY, "compact"),
        (names::COMPACTION_POLICY, "mine"),
        (names::DEAD_LETTER_TOPIC, "refused"),
        (names::DELETE_RETENTION_MS, "2d"),
        (names::KEY_SERIALIZER, "string"),
        (names::MAX_COMPACTION_LAG_MS, "1d"),
        (names::MIN_CLEANABLE_DIRTY_RATIO, "0.25"),
        (names::MIN_COMPACTION_LAG_MS, "1h"),
        (names::RETENTION_POLICY, "mine"),
        (names::VALUE_SERIALIZER, "json"),
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
        let changed = other.iter().find(|(name, _)| *name == row.key.name);
        let changed = changed.unwrap_or_else(|| panic!("{} is not tried", row.key.name));
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
fn cleanup_policies_are_one_or_both_in_any_order() {
    let policy = |value| {
        let own = overrides(&[(names::CLEANUP_POLICY, value)]);
        let config = TopicConfig::resolve(&own, &TopicDefaults::default()).unwrap();
        (config.cleanup_policy.delete, config.cleanup_policy.compact)
    };
    assert_eq!(policy("delete"), (true, false));
    assert_eq!(policy("compact"), (false, true));
    for both in ["compact,delete", "delete, compact"] {
        assert_eq!(policy(both), (true, true));
    }
    let text = refused(&[(names::CLEANUP_POLICY, "shred")]);
    assert!(
        text.contains("it takes one or more of compact, delete"),
        "{text}"
    );
}

#[test]
fn a_topic_that_was_accepted_resolves_under_any_defaults() {
    let own = overrides(&[(names::MAX_COMPACTION_LAG_MS, "1h")]);
    let mut defaults = TopicDefaults::default();
    assert!(TopicConfig::check(&own, &defaults).is_ok());
    defaults.set(names::MIN_COMPACTION_LAG_MS, "2h").unwrap();
    let text = TopicConfig::check(&own, &defaults).unwrap_err().to_string();
    assert!(
        text.contains("max.compaction.lag.ms cannot be \"3600000\""),
        "{text}"
    );
    let config = TopicConfig::resolve(&own, &defaults).unwrap();
    assert_eq!(config.max_compaction_lag, Some(config.min_compaction_lag));
}

#[test]
fn what_is_set_for_a_topic_has_a_bound() {
    let defaults = TopicDefaults::default();
    let key = "value.serializer.option.schema";
    let with = |bytes: usize| overrides(&[(key, &"x".repeat(bytes))]);
    let most = CONFIG_BYTES_MAX - key.len();
    assert!(TopicConfig::check(&with(most), &defaults).is_ok());
    let error = TopicConfig::check(&with(most + 1), &defaults).unwrap_err();
    assert_eq!(error.key(), key);
    let text = error.to_string();
    assert!(text.contains("at most 262144 are allowed"), "{text}");
    assert!(text.len() < 500, "it does not repeat the value");
    // One that was accepted before there was a bound goes on.
    assert!(TopicConfig::resolve(&with(most + 1), &defaults).is_ok());
}

#[test]
fn refused_records_never_go_back_to_where_they_were_refused() {
    let mut defaults = TopicDefaults::default();
    defaults.set(names::DEAD_LETTER_TOPIC, "refused").unwrap();
    let config = TopicConfig::resolve(&BTreeMap::new(), &defaults).unwrap();
    assert_eq!(config.dead_letters_of("orders"), Some("refused"));
    assert_eq!(config.dead_letters_of("refused"), None);
    let own = overrides(&[(names::DEAD_LETTER_TOPIC, "")]);
    let config = TopicConfig::resolve(&own, &defaults).unwrap();
    assert_eq!(config.dead_letters_of("orders"), None);
}

#[test]
fn options_are_collected_by_slot_and_described() {
    let own = overrides(&[
        ("partitioner.option.region", "eu"),
        ("partitioner", "mine"),
        ("value.serializer.option.schema", "{}"),
    ]);
    let config = TopicConfig::resolve(&own, &TopicDefaults::default()).unwrap();
    let options = |slot| config.slot_options(slot);
    assert_eq!(options(PluginSlot::Partitioner)["region"], "eu");
    assert_eq!(options(PluginSlot::ValueSerializer)["schema"], "{}");
    assert!(options(PluginSlot::KeySerializer).is_empty());
    let described = TopicConfig::describe(&own, &TopicDefaults::default());
    assert_eq!(described.len(), TOPIC_KEYS.len() + 2);
    assert!(described.is_sorted_by(|a, b| a.name < b.name));
}
