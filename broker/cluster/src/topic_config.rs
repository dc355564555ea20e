//! `TopicConfig`: the effective configuration of a topic, typed: its own overrides over the
//! broker's defaults over the built-in ones. Overrides are kept as normalised text in the metadata,
//! so that a later broker default reaches every topic that did not override it.

use std::collections::BTreeMap;
use std::time::Duration;

use broker_model::limits::CONFIG_BYTES_MAX;

use crate::topic_keys::{TOPIC_KEYS, TopicKey, alias, names, topic_key};
use crate::{FlushMode, InvalidConfig, PluginSlot};

/// So much of a key is told in an error about its size.
const TOLD_KEY_CHARS_MAX: usize = 100;

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
    /// The row of the table; none for a plugin's option.
    pub row: Option<&'static TopicKey>,
}

/// What happens to old segments; at least one of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Whole segments go as the retention policy says.
    pub delete: bool,
    /// Single records go as the compaction policy says.
    pub compact: bool,
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
#[derive(Clone, Debug, PartialEq)]
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
    /// Share of dirty bytes at which a cleaning begins, 0 to 1.
    pub min_cleanable_dirty_ratio: f64,
    /// Age below which a record is safe from compaction.
    pub min_compaction_lag: Duration,
    /// Age at which a record makes a cleaning due; none for no such age. Never below the other lag.
    pub max_compaction_lag: Option<Duration>,
    /// How long a tombstone stays after the cleaning that first covered it.
    pub delete_retention: Duration,
    /// The partitioner plugin.
    pub partitioner: String,
    /// The serializer of keys, if there is one.
    pub key_serializer: Option<String>,
    /// The serializer of values, if there is one.
    pub value_serializer: Option<String>,
    /// The retention plugin.
    pub retention_policy: String,
    /// The compaction plugin.
    pub compaction_policy: String,
    /// Where refused records go. A broker-wide default reaches that topic as well, so whoever
    /// writes refused records asks [`TopicConfig::dead_letters_of`].
    pub dead_letter_topic: Option<String>,
    /// Options by slot, without their prefix.
    slot_options: [BTreeMap<String, String>; PluginSlot::ALL.len()],
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
        let min_compaction_lag = read.duration(names::MIN_COMPACTION_LAG_MS)?;
        Ok(Self {
            segment_bytes: read.number(names::SEGMENT_BYTES)?,
            roll_after: read.duration(names::ROLL_MS)?,
            retention: read.limit(names::RETENTION_MS)?.map(Duration::from_millis),
            retention_bytes: read.limit(names::RETENTION_BYTES)?,
            cleanup_policy: read.cleanup_policy()?,
            message_bytes_max: read.number32(names::MESSAGE_MAX_BYTES)?,
            message_timestamp_type: match read.text(names::MESSAGE_TIMESTAMP_TYPE)? {
                "LogAppendTime" => MessageTimestampType::LogAppendTime,
                _ => MessageTimestampType::CreateTime,
            },
            flush_mode: match read.text(names::FLUSH_MODE)? {
                "async" => FlushMode::Async,
                _ => FlushMode::Sync,
            },
            flush_every: read.duration(names::FLUSH_MS)?,
            index_interval_bytes: read.number32(names::INDEX_INTERVAL_BYTES)?,
            batch_validation: match read.text(names::BATCH_VALIDATION)? {
                "trust" => BatchValidation::Trust,
                _ => BatchValidation::Full,
            },
            min_insync_replicas: read.number32(names::MIN_INSYNC_REPLICAS)?,
            min_cleanable_dirty_ratio: read.ratio(names::MIN_CLEANABLE_DIRTY_RATIO)?,
            min_compaction_lag,
            max_compaction_lag: read
                .limit(names::MAX_COMPACTION_LAG_MS)?
                .map(|lag| Duration::from_millis(lag).max(min_compaction_lag)),
            delete_retention: read.duration(names::DELETE_RETENTION_MS)?,
            partitioner: read.text(names::PARTITIONER)?.to_owned(),
            key_serializer: read.optional(names::KEY_SERIALIZER)?,
            value_serializer: read.optional(names::VALUE_SERIALIZER)?,
            retention_policy: read.text(names::RETENTION_POLICY)?.to_owned(),
            compaction_policy: read.text(names::COMPACTION_POLICY)?.to_owned(),
            dead_letter_topic: read.optional(names::DEAD_LETTER_TOPIC)?,
            slot_options: slot_options(&overrides),
        })
    }

    /// Like [`TopicConfig::resolve`], and refuses what contradicts itself. For configuration that is
    /// about to be accepted: one that was accepted earlier has to resolve under any defaults.
    ///
    /// # Errors
    /// On an unknown key, a value that its key cannot have, and keys that contradict each other.
    pub fn check(
        overrides: &BTreeMap<String, String>,
        defaults: &TopicDefaults,
    ) -> Result<Self, InvalidConfig> {
        check_size(overrides)?;
        let config = Self::resolve(overrides, defaults)?;
        let overrides = Self::normalise(overrides)?;
        let read = Reader {
            overrides: &overrides,
            defaults,
        };
        let least = read.number(names::MIN_COMPACTION_LAG_MS)?;
        match read.limit(names::MAX_COMPACTION_LAG_MS)? {
            Some(most) if most < least => Err(InvalidConfig::Value {
                key: names::MAX_COMPACTION_LAG_MS.to_owned(),
                value: most.to_string(),
                allowed: format!(
                    "at least {} ({least} ms here), or -1",
                    names::MIN_COMPACTION_LAG_MS
                ),
            }),
            _ => Ok(config),
        }
    }

    /// The plugin that a slot names; none for an empty slot.
    pub fn slot_plugin(&self, slot: PluginSlot) -> Option<&str> {
        match slot {
            PluginSlot::Partitioner => Some(&self.partitioner),
            PluginSlot::KeySerializer => self.key_serializer.as_deref(),
            PluginSlot::ValueSerializer => self.value_serializer.as_deref(),
            PluginSlot::RetentionPolicy => Some(&self.retention_policy),
            PluginSlot::CompactionPolicy => Some(&self.compaction_policy),
        }
    }

    /// The topic's own options of a slot's plugin, without their prefix.
    pub fn slot_options(&self, slot: PluginSlot) -> &BTreeMap<String, String> {
        &self.slot_options[slot.index()]
    }

    /// Where refused records of the topic of this name go: nowhere for a topic that holds them.
    pub fn dead_letters_of(&self, topic: &str) -> Option<&str> {
        let configured = self.dead_letter_topic.as_deref();
        configured.filter(|dead_letters| *dead_letters != topic)
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
        if topic_key(name).is_some() || is_option(name) {
            return Ok(());
        }
        Err(unknown(name))
    }

    /// Every key with its effective value, its default and where the value comes from, sorted by
    /// name; the options of plugins included.
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
        let options = overrides.iter().filter(|(name, _)| is_option(name));
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

    fn duration(&self, name: &'static str) -> Result<Duration, InvalidConfig> {
        self.number(name).map(Duration::from_millis)
    }

    fn ratio(&self, name: &'static str) -> Result<f64, InvalidConfig> {
        let text = self.text(name)?;
        text.parse().map_err(|_| not_a_number(name, text))
    }

    /// The empty text says that nothing was chosen.
    fn optional(&self, name: &'static str) -> Result<Option<String>, InvalidConfig> {
        let text = self.text(name)?;
        Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
    }

    fn cleanup_policy(&self) -> Result<CleanupPolicy, InvalidConfig> {
        let words = self.text(names::CLEANUP_POLICY)?;
        let has = |wanted| words.split(',').any(|word| word == wanted);
        Ok(CleanupPolicy {
            delete: has("delete"),
            compact: has("compact"),
        })
    }

    fn limit(&self, name: &'static str) -> Result<Option<u64>, InvalidConfig> {
        match self.text(name)? {
            "-1" => Ok(None),
            _ => self.number(name).map(Some),
        }
    }
}

/// What the keys and values of a configuration take in all.
pub(crate) fn bytes_of(config: &BTreeMap<String, String>) -> usize {
    config.iter().map(bytes_of_one).sum()
}

fn bytes_of_one((name, value): (&String, &String)) -> usize {
    name.len() + value.len()
}

/// Checks how much it is. To be asked first, for other errors repeat values.
pub(crate) fn check_size(overrides: &BTreeMap<String, String>) -> Result<(), InvalidConfig> {
    let bytes = bytes_of(overrides);
    let largest = overrides.iter().max_by_key(|one| bytes_of_one(*one));
    match largest {
        Some((key, _)) if bytes > CONFIG_BYTES_MAX => Err(InvalidConfig::TooLarge {
            key: key.chars().take(TOLD_KEY_CHARS_MAX).collect(),
            bytes,
        }),
        _ => Ok(()),
    }
}

fn not_a_number(name: &str, text: &str) -> InvalidConfig {
    InvalidConfig::Value {
        key: name.to_owned(),
        value: text.to_owned(),
        allowed: "a number".to_owned(),
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

fn is_option(name: &str) -> bool {
    PluginSlot::of_option(name).is_some()
}

fn slot_options(
    overrides: &BTreeMap<String, String>,
) -> [BTreeMap<String, String>; PluginSlot::ALL.len()] {
    PluginSlot::ALL.map(|wanted| {
        let of_slot = |(name, value): (&String, &String)| {
            let (slot, option) = PluginSlot::of_option(name)?;
            (slot == wanted).then(|| (option.to_owned(), value.clone()))
        };
        overrides.iter().filter_map(of_slot).collect()
    })
}

fn unknown(name: &str) -> InvalidConfig {
    let known = TOPIC_KEYS.iter().map(|row| row.key.name);
    InvalidConfig::unknown_key(name, alias(name), known)
}

#[cfg(test)]
#[path = "topic_config_tests.rs"]
mod tests;
