//! The plugin instances of one thread: a long-lived one for each topic and slot that is used here, made again
//! when the slot is bound anew. Their number is bounded, and the memory that large batches have left them with;
//! the one that was used longest ago goes first.

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

/// What an instance may begin with, of which little is touched. Only what is beyond that counts.
const FIRST_BYTES_MAX: usize = 2 << 20;
/// What large batches may leave the instances of one kind with, on one thread.
const EXTRA_BYTES_MAX: usize = 8 << 20;

/// Works with the instances of this thread. Not to be called from within itself.
pub(super) fn with<R>(work: impl FnOnce(&mut Instances) -> R) -> R {
    INSTANCES.with_borrow_mut(|instances| {
        let done = work(instances);
        instances.partitioners.shed();
        instances.serializers.shed();
        instances.retention.shed();
        instances.columns.shed();
        done
    })
}

/// An instance of a plugin.
pub(super) trait Instance {
    /// Its memory, of which it never gives any back.
    fn memory_bytes(&self) -> usize;
}

impl Instance for Partitioner {
    fn memory_bytes(&self) -> usize {
        Self::memory_bytes(self)
    }
}

impl Instance for Serializer {
    fn memory_bytes(&self) -> usize {
        Self::memory_bytes(self)
    }
}

impl Instance for Retention {
    fn memory_bytes(&self) -> usize {
        Self::memory_bytes(self)
    }
}

/// Instances of one kind.
pub(super) struct Cache<T> {
    bound: HashMap<(TopicId, PluginSlot), Entry<T>>,
    uses: u64,
    /// The one that was used last, whose memory may have grown.
    used: Option<(TopicId, PluginSlot)>,
    /// What all of them have beyond what is ordinary.
    extra_bytes: usize,
}

struct Entry<T> {
    slot: Arc<BoundSlot>,
    instance: T,
    last_use: u64,
    first_bytes: usize,
    extra_bytes: usize,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self {
            bound: HashMap::new(),
            uses: 0,
            used: None,
            extra_bytes: 0,
        }
    }
}

impl<T: Instance> Cache<T> {
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
            let instance = make()?;
            let entry = Entry {
                slot: slot.clone(),
                first_bytes: instance.memory_bytes().min(FIRST_BYTES_MAX),
                instance,
                last_use: self.uses,
                extra_bytes: 0,
            };
            self.remove(&key);
            self.bound.insert(key, entry);
            if self.bound.len() > PLUGIN_INSTANCES_PER_THREAD_MAX {
                self.evict(|_| true);
            }
        }
        self.used = Some(key);
        let entry = self.bound.get_mut(&key).expect("it is there or was put");
        entry.last_use = self.uses;
        Ok(&mut entry.instance)
    }

    /// Lets go of instances that large batches have left with too much memory.
    pub(super) fn shed(&mut self) {
        let used = self.used.take();
        if let Some(entry) = used.and_then(|key| self.bound.get_mut(&key)) {
            let extra = entry
                .instance
                .memory_bytes()
                .saturating_sub(entry.first_bytes);
            self.extra_bytes = self.extra_bytes - entry.extra_bytes + extra;
            entry.extra_bytes = extra;
        }
        while self.extra_bytes > EXTRA_BYTES_MAX {
            self.evict(|entry| entry.extra_bytes > 0);
        }
    }

    fn evict(&mut self, may_go: impl Fn(&Entry<T>) -> bool) {
        let entries = self.bound.iter().filter(|(_, entry)| may_go(entry));
        let oldest = entries.min_by_key(|(_, entry)| entry.last_use);
        if let Some(key) = oldest.map(|(key, _)| *key) {
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &(TopicId, PluginSlot)) {
        if let Some(removed) = self.bound.remove(key) {
            self.extra_bytes -= removed.extra_bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Instance for usize {
        fn memory_bytes(&self) -> usize {
            *self << 20
        }
    }

    #[test]
    fn instances_with_much_memory_go_and_others_stay() {
        let slot = super::super::tests::bound_slot();
        let topics: Vec<_> = (0..4).map(|_| TopicId::random()).collect();
        let mut cache = Cache::default();
        let mut use_it = |topic: usize, mib: usize| {
            let instance = cache.get(topics[topic], &slot, || Ok(1)).unwrap();
            let had = *instance;
            *instance = had.max(mib);
            cache.shed();
            had
        };
        use_it(0, 1);
        use_it(1, 6);
        use_it(2, 3);
        assert_eq!((use_it(1, 6), use_it(2, 3)), (6, 3), "7 MiB more are kept");
        use_it(3, 7);
        assert_eq!((use_it(1, 1), use_it(2, 1)), (1, 3), "one made room");
        assert_eq!(use_it(3, 16), 7);
        assert_eq!(use_it(3, 1), 1, "it had too much by itself");
        assert_eq!(cache.extra_bytes, 0);
        assert_eq!(cache.bound.len(), 3, "and so had another");
    }

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
