//! The plugin instances of one thread: a long-lived one for each topic and slot that is used here, made again
//! when the slot is bound anew. Their number is bounded; the one that was used longest ago goes first.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use broker_cluster::PluginSlot;
use broker_model::TopicId;
use broker_model::limits::PLUGIN_INSTANCES_PER_THREAD_MAX;
use broker_wasm::{Partitioner, PluginError, Retention, Serializer};

use super::columns::Columns;
use super::topic_plugins::BoundSlot;

thread_local! {
    static INSTANCES: RefCell<Instances> = RefCell::default();
}

/// What a thread keeps for its plugins.
#[derive(Default)]
pub(super) struct Instances {
    pub(super) partitioners: Cache<Partitioner>,
    pub(super) serializers: Cache<Serializer>,
    pub(super) retention: Cache<Retention>,
    pub(super) columns: Columns,
}

/// Works with the instances of this thread. Not to be called from within itself.
pub(super) fn with<R>(work: impl FnOnce(&mut Instances) -> R) -> R {
    INSTANCES.with_borrow_mut(work)
}

/// Instances of one kind.
pub(super) struct Cache<T> {
    bound: HashMap<(TopicId, PluginSlot), Entry<T>>,
    uses: u64,
}

struct Entry<T> {
    slot: Arc<BoundSlot>,
    instance: T,
    last_use: u64,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self {
            bound: HashMap::new(),
            uses: 0,
        }
    }
}

impl<T> Cache<T> {
    /// The instance that serves a topic's slot as it is bound now.
    pub(super) fn get(
        &mut self,
        topic: TopicId,
        slot: &Arc<BoundSlot>,
        make: impl FnOnce() -> Result<T, PluginError>,
    ) -> Result<&mut T, PluginError> {
        self.uses += 1;
        let key = (topic, slot.slot);
        let fresh = |entry: &Entry<T>| Arc::ptr_eq(&entry.slot, slot);
        if !self.bound.get(&key).is_some_and(fresh) {
            let entry = Entry {
                slot: slot.clone(),
                instance: make()?,
                last_use: self.uses,
            };
            self.bound.insert(key, entry);
            if self.bound.len() > PLUGIN_INSTANCES_PER_THREAD_MAX {
                self.evict();
            }
        }
        let entry = self.bound.get_mut(&key).expect("it is there or was put");
        entry.last_use = self.uses;
        Ok(&mut entry.instance)
    }

    fn evict(&mut self) {
        let oldest = self.bound.iter().min_by_key(|(_, entry)| entry.last_use);
        if let Some(key) = oldest.map(|(key, _)| *key) {
            self.bound.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instance_used_longest_ago_makes_room() {
        let slots: Vec<_> = (0..=PLUGIN_INSTANCES_PER_THREAD_MAX)
            .map(|_| (TopicId::random(), super::super::tests::bound_slot()))
            .collect();
        let mut cache = Cache::default();
        let mut made = 0;
        let mut get = |(topic, slot): &(TopicId, Arc<BoundSlot>)| {
            let make = || {
                made += 1;
                Ok(made)
            };
            *cache.get(*topic, slot, make).unwrap()
        };
        slots.iter().for_each(|slot| {
            get(slot);
        });
        let newest = get(&slots[PLUGIN_INSTANCES_PER_THREAD_MAX]);
        assert_eq!(newest, slots.len(), "it was kept");
        assert_eq!(get(&slots[0]), slots.len() + 1, "it was made again");
    }
}
