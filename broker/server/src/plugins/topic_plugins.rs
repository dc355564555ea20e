//! `TopicPlugins`: what each plugin slot of a topic is bound to on this broker. Made by the broker actor when
//! a topic is hosted or its bindings change; whoever holds one goes on with it until the next batch.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker_cluster::PluginSlot;
use broker_model::Timestamp;
use broker_wasm::Plugin;

use super::{Pace, SlotError};

/// One slot bound to one module with the options it runs with.
#[derive(Debug)]
pub(crate) struct BoundSlot {
    pub(crate) slot: PluginSlot,
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) options: Vec<(String, String)>,
    pub(crate) pace: Pace,
}

/// The slots of one topic.
#[derive(Debug, Default)]
pub(crate) struct TopicPlugins {
    slots: BTreeMap<PluginSlot, Result<Arc<BoundSlot>, SlotError>>,
    compacted_since: Option<Timestamp>,
}

impl TopicPlugins {
    /// Slots that are bound, or that should be and cannot.
    pub(super) fn new(slots: BTreeMap<PluginSlot, Result<Arc<BoundSlot>, SlotError>>) -> Self {
        Self {
            slots,
            compacted_since: None,
        }
    }

    /// Says since when the compaction policy is the one that it is.
    pub(crate) fn compacted_since(self, since: Option<Timestamp>) -> Self {
        Self {
            compacted_since: since,
            ..self
        }
    }

    /// Since when the compaction policy is the one that it is; from the beginning, if nobody has said so.
    pub(crate) fn policy_since(&self) -> Timestamp {
        self.compacted_since.unwrap_or(Timestamp::from_millis(0))
    }

    /// Whether what was cleaned at a time was cleaned by an earlier compaction policy than the present one. Where it is
    /// noted since when that was in force, the time says nothing: it may have ended a moment too late.
    pub(crate) fn outdates_cleaning(&self, at: Timestamp, policy_since: Option<Timestamp>) -> bool {
        self.compacted_since
            .is_some_and(|since| policy_since.map_or(at < since, |known| known != since))
    }

    /// Whether the compaction policy is another than in `before`.
    pub(crate) fn compacts_otherwise(&self, before: &Self) -> bool {
        self.compacted_since != before.compacted_since
    }

    /// Lets plugins be asked again that rest for the topic and have got other options there: what they failed over may
    /// be gone.
    pub(crate) fn resume_changed(&self, topic: &str, before: &Self) {
        for (slot, bound) in self.slots() {
            let (Ok(bound), Some(Ok(known))) = (bound, before.slots.get(&slot)) else {
                continue;
            };
            if bound.options != known.options {
                bound.plugin.resume_for(topic);
            }
        }
    }

    /// What a slot is bound to; `None` when it is empty.
    pub(crate) fn slot(&self, slot: PluginSlot) -> Result<Option<&Arc<BoundSlot>>, SlotError> {
        match self.slots.get(&slot) {
            None => Ok(None),
            Some(Ok(bound)) => Ok(Some(bound)),
            Some(Err(error)) => Err(error.clone()),
        }
    }

    /// What a slot that every topic fills is bound to.
    pub(crate) fn required(&self, slot: PluginSlot) -> Result<&Arc<BoundSlot>, SlotError> {
        self.slot(slot)?.ok_or(SlotError::Empty { slot })
    }

    /// Every slot that is not empty.
    pub(crate) fn slots(
        &self,
    ) -> impl Iterator<Item = (PluginSlot, &Result<Arc<BoundSlot>, SlotError>)> {
        self.slots.iter().map(|(slot, bound)| (*slot, bound))
    }

    /// Whether one of its plugins takes long of late for what is asked of it on produce.
    pub(crate) fn is_slow(&self) -> bool {
        let mut bound = self.slots.values().flatten();
        bound.any(|bound| bound.pace.is_slow())
    }

    /// Whether keys or values go through a serializer. Without one, records are not looked into.
    pub(crate) fn serializes(&self) -> bool {
        let filled = |slot| self.slots.contains_key(&slot);
        filled(PluginSlot::KeySerializer) || filled(PluginSlot::ValueSerializer)
    }
}
