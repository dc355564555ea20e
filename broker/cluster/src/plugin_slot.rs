//! `PluginSlot`: the places in a topic's configuration that hold a plugin. Each has the key that
//! names the plugin, a prefix for its options, and the kind that fits into it.

use std::fmt;

use crate::topic_keys::names;

/// A place for a plugin in a topic's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PluginSlot {
    /// `partitioner`: where records without an explicit partition go.
    Partitioner,
    /// `key.serializer`: what keys have to look like.
    KeySerializer,
    /// `value.serializer`: what values have to look like.
    ValueSerializer,
    /// `retention.policy`: which of the oldest segments go.
    RetentionPolicy,
    /// `compaction.policy`: which records a cleaning keeps.
    CompactionPolicy,
}

impl PluginSlot {
    /// Every slot.
    pub const ALL: [Self; 5] = [
        Self::Partitioner,
        Self::KeySerializer,
        Self::ValueSerializer,
        Self::RetentionPolicy,
        Self::CompactionPolicy,
    ];

    /// The configuration key that names the plugin; also the slot's name.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Partitioner => names::PARTITIONER,
            Self::KeySerializer => names::KEY_SERIALIZER,
            Self::ValueSerializer => names::VALUE_SERIALIZER,
            Self::RetentionPolicy => names::RETENTION_POLICY,
            Self::CompactionPolicy => names::COMPACTION_POLICY,
        }
    }

    /// What every option of the slot's plugin starts with.
    pub const fn option_prefix(self) -> &'static str {
        match self {
            Self::Partitioner => "partitioner.option.",
            Self::KeySerializer => "key.serializer.option.",
            Self::ValueSerializer => "value.serializer.option.",
            Self::RetentionPolicy => "retention.policy.option.",
            Self::CompactionPolicy => "compaction.policy.option.",
        }
    }

    /// The kind of plugin that fits.
    pub const fn kind_name(self) -> &'static str {
        match self {
            Self::Partitioner => "partitioner",
            Self::KeySerializer | Self::ValueSerializer => "serializer",
            Self::RetentionPolicy => "retention",
            Self::CompactionPolicy => "compaction",
        }
    }

    /// The slot of this name.
    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|slot| slot.key() == key)
    }

    /// Whose option a configuration key is, and its name there: `partitioner.option.header` is the
    /// option `header` of the partitioner.
    pub fn of_option(key: &str) -> Option<(Self, &str)> {
        let found = |slot: Self| Some((slot, key.strip_prefix(slot.option_prefix())?));
        let (slot, option) = Self::ALL.into_iter().find_map(found)?;
        let fits = !option.is_empty() && !option.chars().any(char::is_control);
        fits.then_some((slot, option))
    }

    /// The place of the slot in [`PluginSlot::ALL`].
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Partitioner => 0,
            Self::KeySerializer => 1,
            Self::ValueSerializer => 2,
            Self::RetentionPolicy => 3,
            Self::CompactionPolicy => 4,
        }
    }
}

impl fmt::Display for PluginSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic_key;

    #[test]
    fn every_slot_has_a_key_of_the_table_and_a_prefix_made_from_it() {
        for (index, slot) in PluginSlot::ALL.into_iter().enumerate() {
            assert_eq!(slot.index(), index);
            assert!(topic_key(slot.key()).is_some(), "{slot}");
            assert_eq!(slot.option_prefix(), format!("{slot}.option."));
            assert_eq!(PluginSlot::from_key(slot.key()), Some(slot));
        }
        assert_eq!(PluginSlot::from_key("serializer"), None);
    }

    #[test]
    fn options_find_their_slot() {
        let of = PluginSlot::of_option;
        let value = PluginSlot::ValueSerializer;
        assert_eq!(
            of("value.serializer.option.schema"),
            Some((value, "schema"))
        );
        let retention = PluginSlot::RetentionPolicy;
        assert_eq!(of("retention.policy.option.a.b"), Some((retention, "a.b")));
        for not in [
            "partitioner.option.",
            "partitioner",
            "option.x",
            "retention.ms",
        ] {
            assert_eq!(of(not), None, "{not}");
        }
    }
}
