//! `Binding`: which plugin a slot of a topic runs, from when and from which offsets on. Topics keep the
//! newest bindings they have had, so that one can later say which plugin had to do with a record.

use std::collections::BTreeMap;

use broker_model::{Offset, PartitionId, Timestamp};

use crate::PluginSlot;

/// A plugin as it is bound: the exact module and the options it runs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundPlugin {
    /// Its name.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// Its kind; the one that fits the slot.
    pub kind: String,
    /// SHA-256 of the module, hexadecimal.
    pub digest: String,
    /// The options it runs with: its own and the topic's over them.
    pub options: BTreeMap<String, String>,
}

/// What a slot of a topic runs since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The slot.
    pub slot: PluginSlot,
    /// The plugin; none when the slot was emptied.
    pub bound: Option<BoundPlugin>,
    /// Since when.
    pub since: Timestamp,
    /// The log end of each partition at that moment; a partition without an entry was empty.
    pub offsets: Vec<Offset>,
}

impl Binding {
    /// The first offset of a partition that could be written under it.
    pub fn offset(&self, partition: PartitionId) -> Offset {
        let position = usize::try_from(partition.get()).unwrap_or(usize::MAX);
        self.offsets.get(position).copied().unwrap_or(Offset::ZERO)
    }

    /// The memory that it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        let options = self.bound.iter().flat_map(|bound| &bound.options);
        let options: usize = options.map(|(name, value)| name.len() + value.len()).sum();
        size_of::<Self>() + size_of_val(self.offsets.as_slice()) + options
    }

    /// Whether the slot holds a plugin of this name.
    pub fn holds(&self, plugin: &str) -> bool {
        let bound = self.bound.as_ref();
        bound.is_some_and(|bound| bound.plugin == plugin)
    }
}

/// Whether a text is a digest: 64 lower-case hexadecimal digits.
pub(crate) fn is_digest(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
