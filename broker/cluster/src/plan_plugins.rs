//! Planning of what concerns plugins: bindings of a topic's slots, deployments and removals. Whether
//! a module loads and takes its options is tried by whoever has it; here stand the rules that need
//! only the metadata.

use std::collections::BTreeSet;

use broker_model::limits::CONFIG_BYTES_MAX;
use broker_model::{Timestamp, TopicId, TopicName};

use crate::binding::is_digest;
use crate::cluster_metadata::ClusterMetadata;
use crate::command::Command;
use crate::deployment::{PLUGIN_KINDS, is_plugin_name};
use crate::plan_error::{DeployPluginError, InvalidBinding, RemovePluginError};
use crate::topic_config::bytes_of;
use crate::{Binding, DeployedPlugin, NewDeployment, PluginSlot, TopicConfig, TopicDefaults};

impl ClusterMetadata {
    /// Plans the deployment of a plugin, a rollback included. `rebind` says for each topic and slot
    /// that uses the name what it runs from now on.
    ///
    /// # Errors
    /// When the name or kind cannot be, or a binding does not fit.
    pub fn plan_deploy(
        &self,
        name: &str,
        new: NewDeployment,
        rebind: Vec<(TopicId, Binding)>,
        now: Timestamp,
    ) -> Result<Command, DeployPluginError> {
        let known = self.plugins().get(name);
        check_deployment(name, &new, known.map(AsRef::as_ref))?;
        self.check_rebind(name, &new, &rebind)?;
        let revision = known.map_or(1, |plugin| plugin.next_revision());
        Ok(Command::DeployPlugin {
            name: name.to_owned(),
            deployment: new.numbered(revision, now),
            rebind,
        })
    }

    /// Plans the end of a deployed plugin's name.
    ///
    /// # Errors
    /// When no such plugin is deployed, or a topic's effective configuration or another plugin's
    /// fallback names it.
    pub fn plan_remove(
        &self,
        name: &str,
        defaults: &TopicDefaults,
        now: Timestamp,
    ) -> Result<Command, RemovePluginError> {
        let deployed = self.plugins().get(name);
        if deployed.and_then(|plugin| plugin.current()).is_none() {
            return Err(RemovePluginError::NotDeployed {
                name: name.to_owned(),
            });
        }
        let topics: Vec<TopicName> = self.topics_naming(name, defaults);
        let falls_back = |plugin: &DeployedPlugin| {
            let current = plugin.current();
            current.is_some_and(|current| current.fallback.as_deref() == Some(name))
        };
        let plugins: Vec<String> = self
            .plugins()
            .iter()
            .filter(|(_, plugin)| falls_back(plugin))
            .map(|(other, _)| other.clone())
            .collect();
        if topics.is_empty() && plugins.is_empty() {
            return Ok(Command::RemovePlugin {
                name: name.to_owned(),
                at: now,
            });
        }
        Err(RemovePluginError::InUse {
            name: name.to_owned(),
            topics,
            plugins,
        })
    }

    /// The topics whose effective configuration names a plugin, by name.
    pub fn topics_naming(&self, plugin: &str, defaults: &TopicDefaults) -> Vec<TopicName> {
        let names_it = |config: &TopicConfig| {
            let mut slots = PluginSlot::ALL.into_iter();
            slots.any(|slot| config.slot_plugin(slot) == Some(plugin))
        };
        self.topics()
            .filter(|topic| {
                TopicConfig::resolve(&topic.config, defaults).is_ok_and(|config| names_it(&config))
            })
            .map(|topic| topic.name.clone())
            .collect()
    }

    fn check_rebind(
        &self,
        name: &str,
        new: &NewDeployment,
        rebind: &[(TopicId, Binding)],
    ) -> Result<(), InvalidBinding> {
        let mut seen = BTreeSet::new();
        for (id, binding) in rebind {
            let slot = binding.slot;
            if !seen.insert((*id, slot)) {
                return Err(InvalidBinding::Twice { slot });
            }
            let topic = self
                .topic_by_id(*id)
                .ok_or(InvalidBinding::UnknownTopic { id: *id })?;
            check_binding(binding, topic.partitions.len())?;
            let wrong_plugin = |configured: Option<&Binding>| {
                let plugin = |binding: &Binding| binding.bound.as_ref().map(|b| b.plugin.clone());
                InvalidBinding::WrongPlugin {
                    slot,
                    configured: configured.and_then(plugin),
                    bound: plugin(binding),
                }
            };
            let Some(bound) = binding.bound.as_ref().filter(|b| b.plugin == name) else {
                return Err(wrong_plugin(topic.binding(slot)));
            };
            if !topic.runs_or_never_said(slot, name) {
                return Err(wrong_plugin(topic.binding(slot)));
            }
            if bound.digest != new.digest {
                return Err(InvalidBinding::OtherModule {
                    slot,
                    found: bound.digest.clone(),
                    expected: new.digest.clone(),
                });
            }
        }
        Ok(())
    }
}

fn check_deployment(
    name: &str,
    new: &NewDeployment,
    known: Option<&DeployedPlugin>,
) -> Result<(), DeployPluginError> {
    let (name_owned, kind) = (|| name.to_owned(), || new.kind.clone());
    if !is_plugin_name(name) {
        return Err(DeployPluginError::InvalidName { name: name_owned() });
    }
    if !PLUGIN_KINDS.contains(&new.kind.as_str()) {
        return Err(DeployPluginError::InvalidKind { kind: kind() });
    }
    if !is_digest(&new.digest) {
        let digest = new.digest.clone();
        return Err(InvalidBinding::Digest { digest }.into());
    }
    let bytes = bytes_of(&new.options);
    if bytes > CONFIG_BYTES_MAX {
        return Err(DeployPluginError::OptionsTooLarge { bytes });
    }
    let deployed = known.and_then(DeployedPlugin::current);
    if let Some(deployed) = deployed.filter(|deployed| deployed.kind != new.kind) {
        return Err(DeployPluginError::KindChanged {
            name: name_owned(),
            deployed: deployed.kind.clone(),
            kind: kind(),
        });
    }
    match new.fallback.as_deref() {
        None => Ok(()),
        Some(_) if new.kind != PluginSlot::Partitioner.kind_name() => {
            Err(DeployPluginError::FallbackNotAllowed { kind: kind() })
        }
        Some(fallback) if fallback == name => {
            Err(DeployPluginError::FallbackToItself { name: name_owned() })
        }
        Some(_) => Ok(()),
    }
}

/// Checks what a topic of this configuration is to be bound to.
pub(crate) fn check_bindings(
    bindings: &[Binding],
    config: &TopicConfig,
    partitions: usize,
) -> Result<(), InvalidBinding> {
    let mut seen = BTreeSet::new();
    for binding in bindings {
        let slot = binding.slot;
        if !seen.insert(slot) {
            return Err(InvalidBinding::Twice { slot });
        }
        let configured = config.slot_plugin(slot);
        let bound = binding.bound.as_ref().map(|bound| bound.plugin.as_str());
        if configured != bound {
            return Err(InvalidBinding::WrongPlugin {
                slot,
                configured: configured.map(str::to_owned),
                bound: bound.map(str::to_owned),
            });
        }
        check_binding(binding, partitions)?;
    }
    Ok(())
}

fn check_binding(binding: &Binding, partitions: usize) -> Result<(), InvalidBinding> {
    let slot = binding.slot;
    if binding.offsets.len() > partitions {
        return Err(InvalidBinding::TooManyOffsets {
            slot,
            found: binding.offsets.len(),
            partitions,
        });
    }
    let Some(bound) = &binding.bound else {
        return Ok(());
    };
    if bound.kind != slot.kind_name() {
        return Err(InvalidBinding::WrongKind {
            slot,
            plugin: bound.plugin.clone(),
            kind: bound.kind.clone(),
        });
    }
    if !is_digest(&bound.digest) {
        return Err(InvalidBinding::Digest {
            digest: bound.digest.clone(),
        });
    }
    Ok(())
}

#[cfg(test)]
#[path = "plan_plugins_tests.rs"]
mod tests;
