//! `TopicConfig`: the effective configuration of a topic, typed: its own overrides over the
//! broker's defaults over the built-in ones. Overrides are kept as normalised text in the metadata,
//! so that a later broker default reaches every topic that did not override it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::topic_keys::{TOPIC_KEYS, TopicKey, alias, names, topic_key};
use crate::{FlushMode, InvalidConfig};

/// Where an effective value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// The topic's own override.
    Topic,
    /// The configuration of the broker.
    Broker,
    /// Built in.
    Default,
}

impl ConfigSource {
    /// The name in answers: `topic`, `broker` or `default`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Broker => "broker",
            Self::Default => "default",
        }
    }
}

/// What the broker's configuration says about topics that do not override it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicDefaults {
    values: BTreeMap<&'static str, String>,
}

impl TopicDefaults {
    /// Sets the default of a topic key (under its topic name).
    ///
    /// # Errors
    /// When there is no such key or it cannot have the value.
    pub fn set(&mut self, topic_name: &str, value: &str) -> Result<(), InvalidConfig> {
        let row = topic_key(topic_name).ok_or_else(|| unknown(topic_name))?;
        let value = row.key.normalise(value)?;
        self.values.insert(row.key.name, value);
        Ok(())
    }

    fn effective<'a>(
        &'a self,
        row: &'static TopicKey,
        overrides: &'a BTreeMap<String, String>,
    ) -> (&'a str, ConfigSource) {
        if let Some(value) = overrides.get(row.key.name) {
            return (value, ConfigSource::Topic);
        }
        match self.values.get(row.key.name) {
            Some(value) => (value, ConfigSource::Broker),
            None => (row.key.default, ConfigSource::Default),
        }
    }

    fn without_override(&self, row: &'static TopicKey) -> &str {
        let value = self.values.get(row.key.name);
        value.map_or(row.key.default, String::as_str)
    }
}

/// One line of a topic's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedKey {
    /// The key.
    pub name: String,
    /// The effective value in base units.
    pub value: String,
    /// What the value would be without the topic's override.
    pub default: String,
    /// Where the effective value comes from.
    pub source: ConfigSource,
    /// The row of the table; none for a partitioner's option.
    pub row: Option<&'static TopicKey>,
}

/// What happens to old segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleanupPolicy {
    /// Whole segments go by age and size.
    Delete,
}

/// Whose clock a topic's records carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageTimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's, at the time of appending.
    LogAppendTime,
}

/// How far batches that arrive already encoded are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchValidation {
    /// Every record is walked.
    Full,
    /// The producer's claims are believed; checksums are still checked.
    Trust,
}

/// The effective configuration of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    /// Size at which a segment is rolled.
    pub segment_bytes: u64,
    /// Age at which a segment is rolled.
    pub roll_after: Duration,
    /// Age at which a sealed segment may go; none for ever.
    pub retention: Option<Duration>,
    /// Size of a partition above which its oldest sealed segments may go; none for no limit.
    pub retention_bytes: Option<u64>,
    /// What happens to old segments.
    pub cleanup_policy: CleanupPolicy,
    /// Largest batch as stored.
    pub message_bytes_max: u32,
    /// Whose clock records carry.
    pub message_timestamp_type: MessageTimestampType,
    /// Whether an acknowledgement means synced.
    pub flush_mode: FlushMode,
    /// Longest time until a sync under [`FlushMode::Async`].
    pub flush_every: Duration,
    /// Bytes of log between two index entries.
    pub index_interval_bytes: u32,
    /// How far opaque batches are checked.
    pub batch_validation: BatchValidation,
    /// In-sync replicas needed for `acks = all`.
    pub min_insync_replicas: u32,
    /// The partitioner plugin.
    pub partitioner: String,
    /// The partitioner's options, without their prefix.
    pub partitioner_options: BTreeMap<String, String>,
}

impl TopicConfig {
    /// The effective configuration under `overrides`, which need not be normalised.
    ///
    /// # Errors
    /// On an unknown key or a value that its key cannot have.
    pub fn resolve(
        overrides: &BTreeMap<String, String>,
        defaults: &TopicDefaults,
    ) -> Result<Self, InvalidConfig> {
        let overrides = Self::normalise(overrides)?;
        let read = Reader {
            overrides: &overrides,
            defaults,
        };
        Ok(Self {
            segment_bytes: read.number(names::SEGMENT_BYTES)?,
            roll_after: Duration::from_millis(read.number(names::ROLL_MS)?),
            retention: read.limit(names::RETENTION_MS)?.map(Duration::from_millis),
            retention_bytes: read.limit(names::RETENTION_BYTES)?,
            cleanup_policy: CleanupPolicy::Delete,
            message_bytes_max: read.number32(names::MESSAGE_MAX_BYTES)?,
            message_timestamp_type: match read.text(names::MESSAGE_TIMESTAMP_TYPE)? {
                "LogAppendTime" => MessageTimestampType::LogAppendTime,
                _ => MessageTimestampType::CreateTime,
            },
            flush_mode: match read.text(names::FLUSH_MODE)? {
                "async" => FlushMode::Async,
                _ => FlushMode::Sync,
            },
            flush_every: Duration::from_millis(read.number(names::FLUSH_MS)?),
            index_interval_bytes: read.number32(names::INDEX_INTERVAL_BYTES)?,
            batch_validation: match read.text(names::BATCH_VALIDATION)? {
                "trust" => BatchValidation::Trust,
                _ => BatchValidation::Full,
            },
            min_insync_replicas: read.number32(names::MIN_INSYNC_REPLICAS)?,
            partitioner: read.text(names::PARTITIONER)?.to_owned(),
            partitioner_options: partitioner_options(&overrides),
        })
    }

    /// Checks overrides and brings their values into base units, as they are kept in the metadata.
    ///
    /// # Errors
    /// On an unknown key or a value that its key cannot have.
    pub fn normalise(
        overrides: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, InvalidConfig> {
        overrides
            .iter()
            .map(|(name, value)| Ok((name.clone(), normalise_one(name, value)?)))
            .collect()
    }

    /// Checks that a key exists.
    ///
    /// # Errors
    /// Suggests the nearest key.
    pub fn check_key(name: &str) -> Result<(), InvalidConfig> {
        if topic_key(name).is_some() || is_partitioner_option(name) {
            return Ok(());
        }
        Err(unknown(name))
    }

    /// Every key with its effective value, its default and where the value comes from, sorted by
    /// name; the partitioner's options included.
    pub fn describe(
        overrides: &BTreeMap<String, String>,
        defaults: &TopicDefaults,
    ) -> Vec<DescribedKey> {
        let mut described: Vec<DescribedKey> = TOPIC_KEYS
            .iter()
            .map(|row| {
                let (value, source) = defaults.effective(row, overrides);
                DescribedKey {
                    name: row.key.name.to_owned(),
                    value: value.to_owned(),
                    default: defaults.without_override(row).to_owned(),
                    source,
                    row: Some(row),
                }
            })
            .collect();
        let options = overrides
            .iter()
            .filter(|(name, _)| is_partitioner_option(name));
        described.extend(options.map(|(name, value)| DescribedKey {
            name: name.clone(),
            value: value.clone(),
            default: String::new(),
            source: ConfigSource::Topic,
            row: None,
        }));
        described.sort_by(|a, b| a.name.cmp(&b.name));
        described
    }
}

/// Reads effective values that were checked before; the checks stay, so that nothing can slip by.
struct Reader<'a> {
    overrides: &'a BTreeMap<String, String>,
    defaults: &'a TopicDefaults,
}

impl<'a> Reader<'a> {
    fn text(&self, name: &'static str) -> Result<&'a str, InvalidConfig> {
        let row = topic_key(name).ok_or_else(|| unknown(name))?;
        Ok(self.defaults.effective(row, self.overrides).0)
    }

    fn number(&self, name: &'static str) -> Result<u64, InvalidConfig> {
        let text = self.text(name)?;
        text.parse().map_err(|_| not_a_number(name, text))
    }

    fn number32(&self, name: &'static str) -> Result<u32, InvalidConfig> {
        let text = self.text(name)?;
        text.parse().map_err(|_| not_a_number(name, text))
    }

    fn limit(&self, name: &'static str) -> Result<Option<u64>, InvalidConfig> {
        match self.text(name)? {
            "-1" => Ok(None),
            _ => self.number(name).map(Some),
        }
    }
}

fn not_a_number(name: &str, text: &str) -> InvalidConfig {
    InvalidConfig::Value {
        key: name.to_owned(),
        value: text.to_owned(),
        allowed: "a whole number".to_owned(),
    }
}

fn normalise_one(name: &str, value: &str) -> Result<String, InvalidConfig> {
    if let Some(row) = topic_key(name) {
        return row.key.normalise(value);
    }
    TopicConfig::check_key(name)?;
    if value.chars().any(char::is_control) {
        return Err(InvalidConfig::Value {
            key: name.to_owned(),
            value: value.to_owned(),
            allowed: "a text without control characters".to_owned(),
        });
    }
    Ok(value.to_owned())
}

fn is_partitioner_option(name: &str) -> bool {
    name.strip_prefix(names::PARTITIONER_OPTION_PREFIX)
        .is_some_and(|option| !option.is_empty() && !option.chars().any(char::is_control))
}

fn partitioner_options(overrides: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    overrides
        .iter()
        .filter_map(|(name, value)| {
            let option = name.strip_prefix(names::PARTITIONER_OPTION_PREFIX)?;
            Some((option.to_owned(), value.clone()))
        })
        .collect()
}

fn unknown(name: &str) -> InvalidConfig {
    let known = TOPIC_KEYS.iter().map(|row| row.key.name);
    InvalidConfig::unknown_key(name, alias(name), known)
}

#[cfg(test)]
#[path = "topic_config_tests.rs"]
mod tests;
