//! Plugins as the broker uses them: the catalogue of what is installed, and for each arbiter the instances
//! that serve its topics. A topic without a plugin of a kind that looks into records pays nothing.

mod columns;
mod partitioners;

use std::collections::BTreeMap;
use std::sync::Arc;

use broker_cluster::{PluginSlot, TopicConfig};
use broker_model::PartitionId;
use broker_record::RoutableRecords;
use broker_wasm::{Catalog, Partitioner, Plugin, PluginEngine, PluginError, PluginKind};
use bytes::Bytes;

use crate::topics::HostedTopic;
use columns::Columns;

/// The installed plugins and the engine that runs them.
pub(crate) struct Plugins {
    engine: Arc<PluginEngine>,
    catalog: Catalog,
}

/// Why records could not be routed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum RoutingError {
    /// The topic's configuration names a plugin that is not installed.
    #[error("there is no plugin {plugin:?}: see `broker plugin list`")]
    NotInstalled { plugin: String },
    /// It names a plugin of another kind.
    #[error("plugin {plugin:?} is a {kind}, not a partitioner")]
    WrongKind { plugin: String, kind: PluginKind },
    /// The plugin failed.
    #[error(transparent)]
    Plugin(#[from] PluginError),
}

impl Plugins {
    /// Plugins that are loaded and checked.
    pub(crate) fn new(engine: Arc<PluginEngine>, catalog: Catalog) -> Self {
        Self { engine, catalog }
    }

    /// Every plugin, by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        self.catalog.plugins()
    }

    /// The partitioner that a topic's configuration names.
    pub(crate) fn partitioner(&self, name: &str) -> Result<&Arc<Plugin>, RoutingError> {
        let Some(plugin) = self.catalog.get(name) else {
            return Err(RoutingError::NotInstalled {
                plugin: name.to_owned(),
            });
        };
        match plugin.kind() {
            PluginKind::Partitioner => Ok(plugin),
            kind => Err(RoutingError::WrongKind {
                plugin: name.to_owned(),
                kind,
            }),
        }
    }

    /// Whether a topic of this name and configuration could be routed: its partitioner is installed and
    /// takes the options.
    pub(crate) fn check(&self, topic: &str, config: &TopicConfig) -> Result<(), RoutingError> {
        let plugin = self.partitioner(&config.partitioner)?;
        Partitioner::new(&self.engine, plugin, topic, &options(config))?;
        Ok(())
    }

    /// Where each record goes; one call of the plugin.
    pub(crate) fn partition_records(
        &self,
        topic: &HostedTopic,
        records: &RoutableRecords,
    ) -> Result<Vec<PartitionId>, RoutingError> {
        let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
        partitioners::assign(self, topic, count, |needs, columns| {
            Columns::gather_records(columns, needs, records);
        })
    }

    /// Where records with these keys go; one call of the plugin.
    pub(crate) fn partition_keys(
        &self,
        topic: &HostedTopic,
        keys: &[Option<Bytes>],
    ) -> Result<Vec<PartitionId>, RoutingError> {
        let count = u32::try_from(keys.len()).unwrap_or(u32::MAX);
        partitioners::assign(self, topic, count, |needs, columns| {
            Columns::gather_keys(columns, needs, keys);
        })
    }

    /// The options a topic's plugin runs with: the manifest's, and the topic's over them.
    pub(crate) fn effective_options(
        plugin: &Plugin,
        config: &TopicConfig,
    ) -> BTreeMap<String, String> {
        let mut effective: BTreeMap<String, String> = plugin.options().iter().cloned().collect();
        effective.extend(config.slot_options(PluginSlot::Partitioner).clone());
        effective
    }
}

fn options(config: &TopicConfig) -> Vec<(String, String)> {
    let options = config.slot_options(PluginSlot::Partitioner).iter();
    options
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
