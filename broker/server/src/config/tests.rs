//! Tests of the broker's configuration: layers, errors, the sample file and explanations.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use broker_cluster::{ConfigSource, TopicConfig, ValueKind};
use broker_model::limits;

use super::names;
use super::*;

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(text).collect()
}

/// The layers of one test; the file lives as long as this does.
struct Written {
    dir: tempfile::TempDir,
    layers: ConfigLayers,
}

fn written(file: &str, environment: &[(&str, &str)], command_line: &[(&str, &str)]) -> Written {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broker.toml");
    std::fs::write(&path, file).unwrap();
    let layers = ConfigLayers {
        file: ConfigFile::Required(path),
        environment: pairs(environment),
        command_line: pairs(command_line),
    };
    Written { dir, layers }
}

fn load(file: &str, environment: &[(&str, &str)], command_line: &[(&str, &str)]) -> BrokerConfig {
    BrokerConfig::load(&written(file, environment, command_line).layers).unwrap()
}

fn refused(file: &str, environment: &[(&str, &str)], command_line: &[(&str, &str)]) -> String {
    let error = BrokerConfig::load(&written(file, environment, command_line).layers);
    error.expect_err("should be refused").to_string()
}

fn entry(config: &BrokerConfig, name: &str) -> DescribedEntry {
    let entries = config.describe();
    let found = entries.into_iter().find(|entry| entry.row.key.name == name);
    found.expect("every key is described")
}

#[test]
fn nothing_set_gives_the_documented_defaults() {
    let config = BrokerConfig::load(&ConfigLayers::default()).unwrap();
    assert_eq!(config.broker_id.get(), 1);
    assert_eq!(config.listeners, ["127.0.0.1:7420"]);
    assert_eq!(config.advertised_listener, None);
    assert_eq!(config.log_dirs, [PathBuf::from("./broker-data")]);
    assert_eq!(config.retention_check_interval, Duration::from_secs(300));
    assert_eq!(config.creation.partitions, 1);
    assert_eq!(config.connections_max, limits::CONNECTIONS_MAX);
    assert_eq!(config.connection_idle_max, limits::CONNECTION_IDLE_TIME_MAX);
    assert_eq!(config.arbiters, None);
    assert_eq!(config.plugin_manifest, None);
    assert!(!config.auto_create_topics && !config.fault_injection);
    assert!(
        config
            .describe()
            .iter()
            .all(|entry| entry.origin == Origin::Default)
    );
    assert_eq!(config.describe().len(), BROKER_KEYS.len());
}

#[test]
fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
    let file = "log.segment.bytes = \"1MiB\"\nlog.roll.ms = 1000\nlog.flush.ms = \"3s\"\n";
    let environment = [
        ("BROKER__LOG__SEGMENT__BYTES", "2MiB"),
        ("BROKER__LOG__ROLL__MS", "2s"),
        ("PATH", "/bin"),
        ("BROKER_LOG_DIR", "not ours"),
    ];
    let written = written(file, &environment, &[("log.segment.bytes", "3MiB")]);
    let config = BrokerConfig::load(&written.layers).unwrap();

    let segment = entry(&config, "log.segment.bytes");
    assert_eq!(segment.value, "3145728");
    assert_eq!(segment.origin, Origin::CommandLine);
    let roll = entry(&config, "log.roll.ms");
    assert_eq!(roll.value, "2000");
    assert_eq!(
        roll.origin.to_string(),
        "environment variable BROKER__LOG__ROLL__MS"
    );
    let flush = entry(&config, "log.flush.ms");
    assert_eq!(flush.value, "3000");
    let path = written.dir.path().join("broker.toml");
    assert_eq!(flush.origin, Origin::File { path, line: 3 });
}

#[test]
fn tables_dotted_keys_quoted_keys_and_lists_mean_the_same() {
    let ways = [
        "log.retention.ms = \"3d\"\nlisteners = \"127.0.0.1:1,[::1]:2\"",
        "listeners = [\"127.0.0.1:1\", \"[::1]:2\"]\n[log.retention]\nms = 259200000",
        "\"log.retention.ms\" = \"72h\"\nlisteners = [\"127.0.0.1:1\", \"[::1]:2\"]",
        "listeners = \"127.0.0.1:1, [::1]:2\"\n[log]\n\"retention.ms\" = \"3d\"",
    ];
    for file in ways {
        let config = load(file, &[], &[]);
        assert_eq!(
            entry(&config, "log.retention.ms").value,
            "259200000",
            "{file}"
        );
        assert_eq!(config.listeners, ["127.0.0.1:1", "[::1]:2"], "{file}");
    }
}

#[test]
fn unknown_keys_say_where_they_are_and_what_was_meant() {
    let text = refused("\n[log]\nretenton.ms = 5\n", &[], &[]);
    assert!(text.contains("broker.toml:3: "), "{text}");
    assert!(
        text.contains("did you mean \"log.retention.ms\"?"),
        "{text}"
    );

    let text = refused("", &[("BROKER__LOG__DIRR", "x")], &[]);
    assert!(
        text.contains("environment variable BROKER__LOG__DIRR"),
        "{text}"
    );
    assert!(text.contains("did you mean \"log.dir\"?"), "{text}");

    let meant = [
        ("segment.bytes", "log.segment.bytes"),
        ("retention.ms", "log.retention.ms"),
        ("log.retention.hours", "log.retention.ms"),
        ("node.id", "broker.id"),
        ("listen", "listeners"),
        ("flush.mod", "log.flush.mode"),
        ("Broker.Id", "broker.id"),
    ];
    for (wrong, right) in meant {
        let text = refused("", &[], &[(wrong, "1")]);
        assert!(
            text.contains("command line: unknown configuration key"),
            "{text}"
        );
        assert!(text.contains(&format!("did you mean {right:?}?")), "{text}");
    }
}

#[test]
fn wrong_values_name_key_value_place_and_what_is_allowed() {
    let wrong = [
        ("broker.id", "abc", "a whole number from 0"),
        ("broker.id", "-1", "a whole number from 0"),
        ("log.segment.bytes", "10", "a size from 1024"),
        ("log.retention.ms", "soon", "-1 for no limit"),
        ("auto.create.topics.enable", "yes", "true or false"),
        ("log.flush.mode", "sometimes", "sync or async"),
        (
            "log.cleanup.policy",
            "shred",
            "one or more of compact, delete",
        ),
        ("num.partitions", "0", "from 1 to 10000"),
        ("listeners", "here", "host:port"),
        ("listeners", "127.0.0.1:70000", "host:port"),
        ("listeners", "PLAINTEXT://0.0.0.0:9092", "host:port"),
        ("advertised.listeners", "a:1,b:2", "one address"),
        ("advertised.listeners", "host:0", "can connect to"),
        ("advertised.listeners", "[::]:7420", "can connect to"),
    ];
    for (key, value, part) in wrong {
        let text = refused("", &[], &[(key, value)]);
        for part in ["command line: ", key, value, part] {
            assert!(text.contains(part), "{part:?} is missing in {text:?}");
        }
    }
    let text = refused("broker.id = true\n", &[], &[]);
    assert!(
        text.contains("broker.toml:1: broker.id cannot be \"true\""),
        "{text}"
    );
    let text = refused("broker.id = { x = 1 }\n", &[], &[]);
    assert!(text.contains("\"broker.id.x\""), "{text}");
    let text = refused("[[log]]\ndir = \"x\"\n", &[], &[]);
    assert!(text.contains("unknown configuration key \"log\""), "{text}");
}

#[test]
fn all_problems_of_all_layers_are_told_at_once() {
    let text = refused(
        "num.partitions = 0\ncolour = \"red\"\n",
        &[("BROKER__NUM__PARTITIONS", "many")],
        &[("num.partitions", "3")],
    );
    for part in [
        "broker.toml:1: ",
        "broker.toml:2: ",
        "BROKER__NUM__PARTITIONS",
    ] {
        assert!(text.contains(part), "{part:?} is missing in {text:?}");
    }
    assert_eq!(text.lines().count(), 4, "{text}");
}

#[test]
fn a_key_set_twice_in_the_file_is_refused_and_twice_on_the_command_line_is_not() {
    let text = refused("\"log.dir\" = \"a\"\n[log]\ndir = \"b\"\n", &[], &[]);
    assert!(text.contains("log.dir is set twice"), "{text}");
    let config = load("", &[], &[("log.dir", "a"), ("log.dir", "b")]);
    assert_eq!(config.log_dirs, [PathBuf::from("b")]);
}

#[test]
fn log_dirs_replaces_log_dir_unless_that_was_set_above_it() {
    let config = load("log.dirs = [\"a\", \"b\"]", &[], &[]);
    assert_eq!(config.log_dirs, [PathBuf::from("a"), PathBuf::from("b")]);
    let config = load("log.dir = \"one\"", &[], &[("log.dirs", "a,b")]);
    assert_eq!(config.log_dirs, [PathBuf::from("a"), PathBuf::from("b")]);
    let config = load("log.dirs = \"a,b\"", &[], &[("log.dir", "one")]);
    assert_eq!(config.log_dirs, [PathBuf::from("one")]);
    let text = refused("log.dirs = \"a\"\nlog.dir = \"b\"\n", &[], &[]);
    assert!(text.contains("log.dirs and log.dir"), "{text}");
}

#[test]
fn what_clients_are_told_is_set_apart_from_what_is_listened_on() {
    let everywhere = [
        ("listeners", "0.0.0.0:7420"),
        ("advertised.listeners", "broker.example:7420"),
    ];
    let config = load("", &[], &everywhere);
    assert_eq!(
        config.advertised_listener.as_deref(),
        Some("broker.example:7420")
    );
    let config = load("", &[], &[("listeners", "0.0.0.0:0")]);
    assert_eq!(config.advertised_listener, None);
}

#[test]
fn a_missing_file_is_an_error_only_when_it_was_asked_for() {
    let missing = Path::new("/nowhere/broker.toml").to_owned();
    let with = |file| ConfigLayers {
        file,
        ..ConfigLayers::default()
    };
    let asked = BrokerConfig::load(&with(ConfigFile::Required(missing.clone())));
    assert!(
        asked
            .unwrap_err()
            .to_string()
            .contains("/nowhere/broker.toml")
    );
    assert!(BrokerConfig::load(&with(ConfigFile::IfPresent(missing))).is_ok());
    let text = refused("log.dir = ", &[], &[]);
    assert!(
        text.contains("not valid TOML") && text.contains("line 1"),
        "{text}"
    );
}

#[test]
fn topics_see_a_value_as_the_brokers_only_when_it_was_set() {
    let config = load("log.retention.ms = \"3d\"", &[], &[]);
    let described = TopicConfig::describe(&Default::default(), &config.creation.topic);
    for line in described {
        let expected = match line.name.as_str() {
            "retention.ms" => ConfigSource::Broker,
            _ => ConfigSource::Default,
        };
        assert_eq!(line.source, expected, "{}", line.name);
    }
}

#[test]
fn every_topic_default_reaches_topics() {
    let other = [
        ("log.batch.validation", "trust"),
        ("log.cleanup.policy", "compact,delete"),
        ("compaction.policy", "mine"),
        ("dead.letter.topic", "refused"),
        ("log.cleaner.delete.retention.ms", "2d"),
        ("key.serializer", "string"),
        ("log.cleaner.max.compaction.lag.ms", "1d"),
        ("log.cleaner.min.cleanable.ratio", "0.25"),
        ("log.cleaner.min.compaction.lag.ms", "1h"),
        ("retention.policy", "mine"),
        ("value.serializer", "json"),
        ("log.flush.mode", "async"),
        ("log.flush.ms", "7s"),
        ("log.index.interval.bytes", "1KiB"),
        ("message.max.bytes", "2MiB"),
        ("log.message.timestamp.type", "LogAppendTime"),
        ("min.insync.replicas", "2"),
        ("partitioner", "round-robin"),
        ("log.retention.bytes", "3MiB"),
        ("log.retention.ms", "-1"),
        ("log.roll.ms", "1s"),
        ("log.segment.bytes", "1MiB"),
    ];
    let plain = load("", &[], &[]).creation;
    for row in BROKER_KEYS.iter().filter(|row| row.topic_name.is_some()) {
        let changed = other.iter().find(|(name, _)| *name == row.key.name);
        let changed = changed.unwrap_or_else(|| panic!("{} is not tried", row.key.name));
        let config = load("", &[], &[*changed]).creation;
        let effective = |defaults| TopicConfig::resolve(&Default::default(), defaults).unwrap();
        assert_ne!(
            effective(&config.topic),
            effective(&plain.topic),
            "{changed:?}"
        );
    }
}

#[test]
fn no_key_hides_another_and_every_default_is_allowed() {
    let known: BTreeSet<&str> = BROKER_KEYS.iter().map(|row| row.key.name).collect();
    assert_eq!(known.len(), BROKER_KEYS.len(), "a name twice");
    for row in BROKER_KEYS.iter() {
        let name = row.key.name;
        let below = format!("{name}.");
        let hidden = known.iter().find(|other| other.starts_with(&below));
        assert_eq!(hidden, None, "TOML cannot hold both");
        assert!(
            name.chars().all(|c| c.is_ascii_lowercase() || c == '.'),
            "{name}"
        );
        let normal = row.key.normalise(row.key.default);
        assert_eq!(normal.as_deref(), Ok(row.key.default), "{name}");
        assert!(row.key.documentation.ends_with('.'), "{name}");
        assert!(row.key.consequence.ends_with('.'), "{name}");
    }
}

#[test]
fn the_sample_holds_every_key_and_means_the_defaults() {
    let sample = sample();
    assert!(sample.lines().all(|line| line.len() <= 100));
    let untouched = load(&sample, &[], &[]);
    assert!(
        untouched
            .describe()
            .iter()
            .all(|entry| entry.origin == Origin::Default)
    );

    let set: String = sample
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with([' ', '#']) && !setting.is_empty() => setting,
            _ => line,
        })
        .map(|line| format!("{line}\n"))
        .collect();
    // The two exclude each other: each has its own line, one is tried at a time.
    for excluded in [names::LOG_DIR, names::LOG_DIRS] {
        let line = format!("{excluded} = ");
        let kept = set.lines().filter(|found| !found.starts_with(&line));
        let file: String = kept.map(|line| format!("{line}\n")).collect();
        let config = load(&file, &[], &[]);
        for entry in config.describe() {
            let name = entry.row.key.name;
            assert_eq!(entry.value, entry.row.key.default, "{name}");
            let from_file = matches!(entry.origin, Origin::File { .. });
            assert_eq!(from_file, name != excluded, "{name}");
        }
    }
}

#[test]
fn every_key_is_explained_and_set_by_its_variable() {
    for row in BROKER_KEYS.iter() {
        let explanation = explain(row.key.name).expect("a key of the table");
        assert_eq!(explanation.key, row.key);
        let text = explanation.to_string();
        assert!(text.contains(row.key.documentation), "{text}");
        assert!(text.contains(&row.variable()), "{text}");
        let value = match row.key.default {
            "" if row.key.kind == ValueKind::TopicName => "x",
            "" if row.key.name == "dead.letter.topic" => "x-1",
            "" => "x:1",
            default => default,
        };
        let config = load("", &[(&row.variable(), value)], &[]);
        let variable = row.variable();
        assert_eq!(
            entry(&config, row.key.name).origin,
            Origin::Environment { variable }
        );
    }
    let topic = explain("retention.ms").unwrap().to_string();
    assert!(topic.contains("log.retention.ms"), "{topic}");
    assert!(explain("colour").is_none());
}

#[test]
fn assignments_on_the_command_line_are_key_equals_value() {
    let split = |text: &str| parse_assignment(text).ok();
    let expected = Some(("log.dir".to_owned(), "a=b".to_owned()));
    assert_eq!(split("log.dir=a=b"), expected);
    assert_eq!(split("log.dir"), None);
    assert_eq!(split("=x"), None);
}
