//! Plugins as the broker uses them: what is offered by name now, what topics are bound to, and the instances
//! of each thread. A topic without a plugin of a kind that looks into records pays nothing.
//!
//! A topic runs the module it is bound to in the metadata, whatever its name means by now. Modules in use are
//! kept by digest in the first log directory.

mod columns;
mod deciding;
mod deploying;
mod instances;
mod kept;
mod pace;
mod partitioning;
mod serializing;
mod topic_plugins;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use arc_swap::{ArcSwap, Guard};
use broker_cluster::config_key::nearest;
use broker_cluster::{BoundPlugin, PluginSlot, Topic, TopicConfig};
use broker_storage::BlobStore;
use broker_wasm::{
    Catalog, Module, Plugin, PluginEngine, PluginError, PluginKind, PluginSource, module_digest,
};

pub(crate) use columns::Columns;
pub(crate) use deciding::{PluginRetention, bounds};
pub(crate) use deploying::{DeployError, Wanted};
pub(crate) use kept::needed_modules;
pub(crate) use pace::Pace;
pub(crate) use partitioning::Turn;
pub(crate) use serializing::{DecodedColumn, Fault, FaultKind, Field, RefusedRecord, Serialized};
pub(crate) use topic_plugins::{BoundSlot, TopicPlugins};

/// The plugins of this broker and the engine that runs them.
pub(crate) struct Plugins {
    engine: Arc<PluginEngine>,
    offered: ArcSwap<Catalog>,
    modules: BlobStore,
    /// Modules whose files are not what they should be and cannot be made anew, each with what is wrong.
    unsound: Mutex<BTreeMap<String, &'static str>>,
    /// Modules that could not be read for a reason that passes, each with the plugin's name.
    unread: Mutex<BTreeMap<String, String>>,
    /// Plugins that topics are bound to although their names mean another module by now, or none.
    pinned: Mutex<HashMap<PluginId, Weak<Plugin>>>,
}

/// A name and a digest.
type PluginId = (String, String);

/// Why a plugin of a topic cannot do its work.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum SlotError {
    /// The topic's configuration names a plugin that is not offered.
    #[error("there is no plugin {plugin:?}: see `broker plugin list`{}", did_you_mean(.meant.as_deref()))]
    NotInstalled {
        plugin: String,
        /// The one whose name is nearest, where one is near enough.
        meant: Option<String>,
    },
    /// It names a plugin of another kind.
    #[error("plugin {plugin:?} is a {kind}, and {slot} takes a {}", slot.kind_name())]
    WrongKind {
        plugin: String,
        kind: PluginKind,
        slot: PluginSlot,
    },
    /// The module that the topic is bound to cannot be had.
    #[error("the module {digest} of plugin {plugin:?} is not available: {reason}")]
    NoModule {
        plugin: String,
        digest: String,
        reason: String,
        /// Whether it is tried again.
        passes: bool,
    },
    /// A slot that every topic fills is empty.
    #[error("the topic has no {slot}")]
    Empty { slot: PluginSlot },
    /// A key that cannot be serialized, where no record is stored.
    #[error("key {} was refused: {}", .0.index, .0.reason)]
    KeyRefused(RefusedRecord),
    /// The plugin failed.
    #[error(transparent)]
    Plugin(#[from] PluginError),
}

fn did_you_mean(meant: Option<&str>) -> String {
    meant.map_or_else(String::new, |meant| format!("; did you mean {meant:?}?"))
}

impl SlotError {
    /// The plugin it is about, where there is one.
    pub(crate) fn plugin_name(&self) -> &str {
        match self {
            Self::NotInstalled { plugin, .. }
            | Self::WrongKind { plugin, .. }
            | Self::NoModule { plugin, .. } => plugin,
            Self::Plugin(error) => &error.plugin,
            Self::KeyRefused(refused) => refused.plugin.as_deref().unwrap_or_default(),
            Self::Empty { .. } => "",
        }
    }
}

impl Plugins {
    /// Plugins that are loaded and checked, and where modules are kept.
    pub(crate) fn new(engine: Arc<PluginEngine>, catalog: Catalog, modules: BlobStore) -> Self {
        Self {
            engine,
            offered: ArcSwap::from_pointee(catalog),
            modules,
            unsound: Mutex::default(),
            unread: Mutex::default(),
            pinned: Mutex::default(),
        }
    }

    /// What runs them.
    pub(crate) fn engine(&self) -> &Arc<PluginEngine> {
        &self.engine
    }

    /// The plugins as their names mean them now.
    pub(crate) fn offered(&self) -> Guard<Arc<Catalog>> {
        self.offered.load()
    }

    /// The plugin of that name.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Plugin>> {
        self.offered.load().get(name).cloned()
    }

    /// Offers a plugin, in place of another of its name. Only the broker actor and the start call it.
    pub(crate) fn offer(&self, plugin: Arc<Plugin>) {
        let mut catalog = Catalog::clone(&self.offered.load());
        if let Some(before) = catalog.get(plugin.name()) {
            // Topics that are bound to it go on with it, and its counters.
            self.pin(before);
        }
        catalog.insert(plugin);
        self.offered.store(Arc::new(catalog));
    }

    /// Offers a name no longer. Topics that are bound to its module keep it.
    pub(crate) fn withdraw(&self, name: &str) {
        let mut catalog = Catalog::clone(&self.offered.load());
        catalog.remove(name);
        self.offered.store(Arc::new(catalog));
    }

    /// Plugins that topics are bound to and that their names no longer mean.
    pub(crate) fn pinned(&self) -> Vec<Arc<Plugin>> {
        let offered = self.offered.load();
        let mut pinned: Vec<Arc<Plugin>> = self
            .pins()
            .values()
            .filter_map(Weak::upgrade)
            .filter(|plugin| {
                let now = offered.get(plugin.name());
                now.is_none_or(|now| now.module().digest() != plugin.module().digest())
            })
            .collect();
        pinned
            .sort_by(|a, b| (a.name(), a.module().digest()).cmp(&(b.name(), b.module().digest())));
        pinned
    }

    /// The plugin for a slot whose name was most likely meant.
    fn nearest(&self, name: &str, slot: PluginSlot) -> Option<String> {
        let offered = self.offered();
        let fit = offered
            .plugins()
            .filter(|plugin| plugin.kind().name() == slot.kind_name());
        nearest(name, fit.map(|plugin| plugin.name())).map(str::to_owned)
    }

    /// The plugin that a slot of a configuration names; `None` when the slot is empty.
    pub(crate) fn named(
        &self,
        config: &TopicConfig,
        slot: PluginSlot,
    ) -> Result<Option<Arc<Plugin>>, SlotError> {
        let Some(name) = config.slot_plugin(slot) else {
            return Ok(None);
        };
        let Some(plugin) = self.get(name) else {
            return Err(SlotError::NotInstalled {
                plugin: name.to_owned(),
                meant: self.nearest(name, slot),
            });
        };
        if plugin.kind().name() != slot.kind_name() {
            return Err(SlotError::WrongKind {
                plugin: name.to_owned(),
                kind: plugin.kind(),
                slot,
            });
        }
        Ok(Some(plugin))
    }

    /// Whether a slot of this configuration can be filled: the plugin is there and takes its options.
    pub(crate) fn try_out(
        &self,
        topic: &str,
        config: &TopicConfig,
        slot: PluginSlot,
    ) -> Result<Option<Arc<Plugin>>, SlotError> {
        let Some(plugin) = self.named(config, slot)? else {
            return Ok(None);
        };
        plugin.check_config(&self.engine, topic, &options(config, slot))?;
        Ok(Some(plugin))
    }

    /// The same for what topics get by default, at start: a shipped plugin that nobody has given options is
    /// known to be good, and compiled when a topic uses it.
    pub(crate) fn check_default(
        &self,
        defaults: &TopicConfig,
        slot: PluginSlot,
    ) -> Result<(), SlotError> {
        let is_plain = |plugin: &Plugin| {
            *plugin.source() == PluginSource::Builtin
                && plugin.options().is_empty()
                && options(defaults, slot).is_empty()
        };
        match self.named(defaults, slot)? {
            Some(plugin) if !is_plain(&plugin) => {
                self.try_out("(default)", defaults, slot).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// What the metadata is to keep about a slot of this configuration. The plugin is tried out and its
    /// module kept: not for an arbiter.
    pub(crate) fn bind(
        &self,
        topic: &str,
        config: &TopicConfig,
        slot: PluginSlot,
    ) -> Result<Option<BoundPlugin>, SlotError> {
        let Some(plugin) = self.try_out(topic, config, slot)? else {
            return Ok(None);
        };
        self.keep(&plugin)?;
        Ok(Some(bound_plugin(&plugin, &options(config, slot))))
    }

    /// What the slots of a topic are bound to. Modules may be read and compiled: not for an arbiter. Shipped
    /// ones that were not used yet are compiled by [`Plugins::compile`], or by the first call.
    pub(crate) fn resolve(&self, topic: &Topic, config: &TopicConfig) -> TopicPlugins {
        let mut slots = BTreeMap::new();
        for slot in PluginSlot::ALL {
            let bound = match topic.binding(slot).map(|binding| &binding.bound) {
                Some(None) => continue,
                Some(Some(bound)) => self.find(bound).map(|plugin| {
                    let options = bound.options.clone().into_iter().collect();
                    (plugin, options)
                }),
                // From before bindings were kept: as the configuration says.
                None => match self.named(config, slot) {
                    Ok(None) => continue,
                    Ok(Some(plugin)) => Ok((plugin, options(config, slot))),
                    Err(error) => Err(error),
                },
            };
            let bound = bound.map(|(plugin, options)| {
                Arc::new(BoundSlot {
                    slot,
                    plugin,
                    options,
                    pace: Pace::default(),
                })
            });
            slots.insert(slot, bound);
        }
        let compaction = topic.binding(PluginSlot::CompactionPolicy);
        TopicPlugins::new(slots).compacted_since(compaction.map(|binding| binding.since))
    }

    /// Compiles what these slots are bound to, if it is not yet. Not for an arbiter.
    pub(crate) fn compile(&self, slots: &TopicPlugins) {
        for (slot, bound) in slots.slots() {
            if let Ok(bound) = bound
                && !bound.plugin.module().is_compiled()
                && let Err(error) = bound.plugin.module().compile(&self.engine)
            {
                let plugin = bound.plugin.name();
                tracing::error!(plugin, %slot, %error, "a plugin of this binary cannot be compiled");
            }
        }
    }

    /// The plugin that has this name and this module.
    fn find(&self, bound: &BoundPlugin) -> Result<Arc<Plugin>, SlotError> {
        let offered = self.get(&bound.plugin);
        if let Some(plugin) = &offered
            && plugin.module().digest() == bound.digest
            // An option that the name has got since would reach a topic that was bound without it.
            && plugin.options().iter().all(|(name, _)| bound.options.contains_key(name))
        {
            return Ok(plugin.clone());
        }
        let id = (bound.plugin.clone(), bound.digest.clone());
        if let Some(plugin) = self.pins().get(&id).and_then(Weak::upgrade) {
            return Ok(plugin);
        }
        let module = self.module(&bound.plugin, &bound.digest)?;
        let mut plugin = Plugin::new(&bound.plugin, module, PluginSource::Deployed);
        if let Some(offered) = offered.filter(|offered| offered.kind() == plugin.kind()) {
            // Limits and fallback are the operator's, and go with the name.
            plugin = plugin.with_limits(offered.limits());
            plugin = plugin.with_fallback(offered.fallback().cloned());
        }
        let plugin = Arc::new(plugin);
        self.pins().insert(id, Arc::downgrade(&plugin));
        Ok(plugin)
    }

    /// The module that is kept under a digest, compiled.
    fn module(&self, plugin: &str, digest: &str) -> Result<Module, SlotError> {
        let unavailable = |reason: String| SlotError::NoModule {
            plugin: plugin.to_owned(),
            digest: digest.to_owned(),
            reason,
            passes: false,
        };
        let bytes = match self.module_bytes(digest) {
            Err(error) if error.is_passing() => {
                self.unread().insert(digest.to_owned(), plugin.to_owned());
                return Err(SlotError::NoModule {
                    plugin: plugin.to_owned(),
                    digest: digest.to_owned(),
                    reason: error.to_string(),
                    passes: true,
                });
            }
            read => read.map_err(|error| unavailable(error.to_string()))?,
        };
        let bytes = bytes.ok_or_else(|| {
            unavailable("its file is gone; deploy the same module again".to_owned())
        })?;
        if module_digest(&bytes) != digest {
            return Err(unavailable(
                "the file that keeps it is damaged; deploy the same module again".to_owned(),
            ));
        }
        let module = self.engine.load(&bytes);
        module.map_err(|error| unavailable(error.to_string()))
    }

    fn pin(&self, plugin: &Arc<Plugin>) {
        let mut pins = self.pins();
        pins.retain(|_, plugin| plugin.strong_count() > 0);
        let id = (
            plugin.name().to_owned(),
            plugin.module().digest().to_owned(),
        );
        pins.insert(id, Arc::downgrade(plugin));
    }

    fn pins(&self) -> MutexGuard<'_, HashMap<PluginId, Weak<Plugin>>> {
        self.pinned
            .lock()
            .expect("no code panics while it holds this lock")
    }
}

/// What the metadata keeps about a plugin that runs with these options of its topic.
pub(crate) fn bound_plugin(plugin: &Plugin, topic_options: &[(String, String)]) -> BoundPlugin {
    let mut options: BTreeMap<String, String> = plugin.options().iter().cloned().collect();
    options.extend(topic_options.iter().cloned());
    BoundPlugin {
        plugin: plugin.name().to_owned(),
        version: plugin.version().to_owned(),
        kind: plugin.kind().to_string(),
        digest: plugin.module().digest().to_owned(),
        options,
    }
}

/// The options that a topic's configuration gives to a slot.
pub(crate) fn options(config: &TopicConfig, slot: PluginSlot) -> Vec<(String, String)> {
    let options = config.slot_options(slot).iter();
    options
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
pub(crate) mod tests;
