//! `ClusterMetadata`: the brokers, topics and deployed plugins of the cluster, as a state
//! machine. Commands come from
//! a log and are applied in its order; the same log gives the same state on every broker.
//!
//! A command was planned against an earlier state, so another one may have come in between: then it
//! is rejected and changes nothing, on every broker alike. Cloning is cheap (topics are shared), so
//! that readers hold a snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use broker_model::{BrokerId, PartitionId, Timestamp, TopicId, TopicName};

use crate::command::Command;
use crate::topic::{PartitionCount, PartitionState, Topic};
use crate::{Binding, DeployedPlugin, Deployment};

/// A broker as the cluster knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// Where clients and other brokers reach it, `host:port`.
    pub address: String,
}

/// The state of the cluster's metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterMetadata {
    applied: Option<u64>,
    brokers: BTreeMap<BrokerId, BrokerRegistration>,
    topics: BTreeMap<TopicName, Arc<Topic>>,
    names: BTreeMap<TopicId, TopicName>,
    /// Names with `.` folded into `_`, to find collisions.
    folded: BTreeMap<String, TopicName>,
    /// Plugins that were ever deployed, by name.
    plugins: BTreeMap<String, Arc<DeployedPlugin>>,
    /// Topics ever created; decides at which broker the next one starts.
    topics_created: u64,
    #[cfg(test)]
    planted: Option<tests::PlantedBug>,
}

/// What became of a command; whoever runs partitions acts on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A broker joined or has another address.
    BrokerRegistered {
        /// Which.
        id: BrokerId,
    },
    /// A topic exists now.
    TopicCreated {
        /// The topic as created.
        topic: Arc<Topic>,
    },
    /// A topic is gone; its data may be removed.
    TopicDeleted {
        /// The topic as it was.
        topic: Arc<Topic>,
    },
    /// The overrides of a topic's configuration changed, or what its plugin slots run.
    TopicConfigChanged {
        /// The topic as it is now.
        topic: Arc<Topic>,
    },
    /// A topic has further partitions.
    PartitionsAdded {
        /// The topic as it is now.
        topic: Arc<Topic>,
        /// The first of the further partitions.
        first: PartitionId,
    },
    /// A plugin was deployed. A [`Change::TopicConfigChanged`] follows for each topic that runs it
    /// from now on.
    PluginDeployed {
        /// Its name.
        name: String,
        /// Its history; the last revision is the one that was deployed.
        plugin: Arc<DeployedPlugin>,
    },
    /// The name of a deployed plugin was given up.
    PluginRemoved {
        /// The name.
        name: String,
    },
}

/// Why a command changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RejectedCommand {
    /// A topic of that name exists by now.
    #[error("topic {name} exists already")]
    TopicExists {
        /// The name.
        name: TopicName,
    },
    /// A topic whose name differs only in `.` against `_` exists by now.
    #[error("topic {name} collides with topic {with}: they differ only in '.' and '_'")]
    TopicCollides {
        /// The name asked for.
        name: TopicName,
        /// The topic that exists.
        with: TopicName,
    },
    /// The topic id is taken.
    #[error("topic id {id} is taken")]
    TopicIdTaken {
        /// The id.
        id: TopicId,
    },
    /// The topic is gone by now.
    #[error("there is no topic with id {id}")]
    UnknownTopic {
        /// The id.
        id: TopicId,
    },
    /// The number of partitions changed in between.
    #[error("topic {name} has {current} partitions by now, not {expected}")]
    PartitionCountChanged {
        /// The topic.
        name: TopicName,
        /// What the command expected.
        expected: u32,
        /// What is.
        current: u32,
    },
    /// Another deployment of the same plugin came in between.
    #[error("plugin {name} would get revision {current} by now, not {expected}")]
    RevisionTaken {
        /// The plugin.
        name: String,
        /// What the command expected.
        expected: u32,
        /// What would be.
        current: u32,
    },
    /// The plugin was removed by now.
    #[error("no plugin {name} is deployed")]
    NotDeployed {
        /// The name.
        name: String,
    },
}

impl ClusterMetadata {
    /// No brokers, no topics.
    pub fn new() -> Self {
        Self::default()
    }

    /// Index of the last command applied.
    pub const fn applied(&self) -> Option<u64> {
        self.applied
    }

    /// The brokers, by id.
    pub const fn brokers(&self) -> &BTreeMap<BrokerId, BrokerRegistration> {
        &self.brokers
    }

    /// The topics, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics.values()
    }

    /// A topic by its name.
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    /// A topic by its id.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.topics.get(self.names.get(&id)?.as_str())
    }

    /// The plugins that were ever deployed, by name; what the broker brings and what its manifest
    /// names are not among them.
    pub const fn plugins(&self) -> &BTreeMap<String, Arc<DeployedPlugin>> {
        &self.plugins
    }

    /// How many topics were ever created.
    pub(crate) const fn topics_created(&self) -> u64 {
        self.topics_created
    }

    /// Applies the command at `index` of the log.
    ///
    /// # Errors
    /// When the state has moved on since it was planned; the state stays as it was, only the index
    /// moves.
    ///
    /// # Panics
    /// When `index` is not above the last one: a log is applied once, in order.
    pub fn apply(&mut self, index: u64, command: Command) -> Result<Vec<Change>, RejectedCommand> {
        assert!(
            self.applied.is_none_or(|applied| applied < index),
            "command {index} applied out of order"
        );
        self.applied = Some(index);
        match command {
            Command::RegisterBroker { id, address } => Ok(self.register_broker(id, address)),
            Command::CreateTopic {
                id,
                name,
                assignment,
                config,
                bindings,
                at,
            } => self.create_topic(Topic {
                id,
                name,
                partition_counts: vec![PartitionCount {
                    count: count_of(&assignment),
                    since: at,
                }],
                partitions: Arc::new(
                    assignment
                        .into_iter()
                        .map(PartitionState::created)
                        .collect(),
                ),
                config,
                bindings: bindings.into_iter().map(Arc::new).collect(),
                created_at: at,
            }),
            Command::DeleteTopic { id } => self.delete_topic(id),
            Command::AlterTopicConfig {
                id,
                set,
                unset,
                bindings,
            } => self.alter_config(id, set, &unset, bindings),
            Command::CreatePartitions {
                id,
                from,
                added,
                at,
            } => self.create_partitions(id, from, added, at),
            Command::DeployPlugin {
                name,
                deployment,
                rebind,
            } => self.deploy_plugin(name, deployment, rebind),
            Command::RemovePlugin { name, at } => self.remove_plugin(name, at),
        }
    }

    fn register_broker(&mut self, id: BrokerId, address: String) -> Vec<Change> {
        let registration = BrokerRegistration { address };
        if self.brokers.get(&id) == Some(&registration) {
            return Vec::new();
        }
        self.brokers.insert(id, registration);
        vec![Change::BrokerRegistered { id }]
    }

    fn create_topic(&mut self, topic: Topic) -> Result<Vec<Change>, RejectedCommand> {
        self.check_name_is_free(&topic.name)?;
        if self.names.contains_key(&topic.id) {
            return Err(RejectedCommand::TopicIdTaken { id: topic.id });
        }
        let topic = Arc::new(topic);
        self.names.insert(topic.id, topic.name.clone());
        self.folded.insert(fold(&topic.name), topic.name.clone());
        self.topics.insert(topic.name.clone(), Arc::clone(&topic));
        self.topics_created += 1;
        Ok(vec![Change::TopicCreated { topic }])
    }

    /// Whether a topic of this name could be created.
    pub(crate) fn check_name_is_free(&self, name: &TopicName) -> Result<(), RejectedCommand> {
        #[cfg(test)]
        if self.planted == Some(tests::PlantedBug::IgnoresTakenNames) {
            return Ok(());
        }
        match self.folded.get(&fold(name)) {
            None => Ok(()),
            Some(taken) if taken == name => {
                Err(RejectedCommand::TopicExists { name: name.clone() })
            }
            Some(taken) => Err(RejectedCommand::TopicCollides {
                name: name.clone(),
                with: taken.clone(),
            }),
        }
    }

    fn delete_topic(&mut self, id: TopicId) -> Result<Vec<Change>, RejectedCommand> {
        let name = self
            .names
            .remove(&id)
            .ok_or(RejectedCommand::UnknownTopic { id })?;
        self.folded.remove(&fold(&name));
        let deleted = self.topics.remove(&name).into_iter();
        Ok(deleted
            .map(|topic| Change::TopicDeleted { topic })
            .collect())
    }

    fn alter_config(
        &mut self,
        id: TopicId,
        set: BTreeMap<String, String>,
        unset: &BTreeSet<String>,
        bindings: Vec<Binding>,
    ) -> Result<Vec<Change>, RejectedCommand> {
        let topic = self.topic_mut(id)?;
        let mut config = topic.config.clone();
        config.retain(|name, _| !unset.contains(name));
        config.extend(set);
        let news = |binding: &Binding| !topic.runs(binding);
        let bindings: Vec<Binding> = bindings.into_iter().filter(news).collect();
        if config == topic.config && bindings.is_empty() {
            return Ok(Vec::new());
        }
        let altered = Arc::make_mut(topic);
        altered.config = config;
        for binding in bindings {
            altered.bind(binding);
        }
        Ok(vec![Change::TopicConfigChanged {
            topic: Arc::clone(topic),
        }])
    }

    fn create_partitions(
        &mut self,
        id: TopicId,
        from: u32,
        added: Vec<Vec<BrokerId>>,
        at: Timestamp,
    ) -> Result<Vec<Change>, RejectedCommand> {
        #[cfg(test)]
        let stale_is_fine = self.planted == Some(tests::PlantedBug::GrowsFromAStalePlan);
        #[cfg(not(test))]
        let stale_is_fine = false;
        let topic = self.topic_mut(id)?;
        let current = topic.partition_count();
        if current != from && !stale_is_fine {
            return Err(RejectedCommand::PartitionCountChanged {
                name: topic.name.clone(),
                expected: from,
                current,
            });
        }
        let grown = Arc::make_mut(topic);
        Arc::make_mut(&mut grown.partitions).extend(added.into_iter().map(PartitionState::created));
        let count = grown.partition_count();
        grown
            .partition_counts
            .push(PartitionCount { count, since: at });
        Ok(vec![Change::PartitionsAdded {
            topic: Arc::clone(topic),
            first: PartitionId::new(from),
        }])
    }

    fn deploy_plugin(
        &mut self,
        name: String,
        deployment: Deployment,
        rebind: Vec<(TopicId, Binding)>,
    ) -> Result<Vec<Change>, RejectedCommand> {
        let known = self.plugins.get(&name);
        let current = known.map_or(1, |plugin| plugin.next_revision());
        if deployment.revision != current {
            return Err(RejectedCommand::RevisionTaken {
                name,
                expected: deployment.revision,
                current,
            });
        }
        let plugin = self.plugins.entry(name.clone()).or_default();
        let changed = Arc::make_mut(plugin);
        changed.add(deployment);
        changed.removed_at = None;
        let mut changes = vec![Change::PluginDeployed {
            name: name.clone(),
            plugin: Arc::clone(plugin),
        }];
        let mut rebound = BTreeSet::new();
        for (id, binding) in rebind {
            if self.rebind(id, &name, binding) {
                rebound.insert(id);
            }
        }
        let topics = rebound.into_iter().filter_map(|id| self.topic_by_id(id));
        changes.extend(topics.map(|topic| Change::TopicConfigChanged {
            topic: Arc::clone(topic),
        }));
        Ok(changes)
    }

    /// A topic that went, or turned to another plugin, since this was planned is left alone.
    fn rebind(&mut self, id: TopicId, plugin: &str, binding: Binding) -> bool {
        #[cfg(test)]
        let planted = self.planted;
        let Ok(topic) = self.topic_mut(id) else {
            return false;
        };
        #[cfg(test)]
        let anything_goes = planted == Some(tests::PlantedBug::RebindsWhatTurnedAway);
        #[cfg(not(test))]
        let anything_goes = false;
        let follows = topic.runs_or_never_said(binding.slot, plugin) || anything_goes;
        if !follows || topic.runs(&binding) {
            return false;
        }
        Arc::make_mut(topic).bind(binding);
        true
    }

    fn remove_plugin(
        &mut self,
        name: String,
        at: Timestamp,
    ) -> Result<Vec<Change>, RejectedCommand> {
        let deployed = self.plugins.get_mut(&name);
        let Some(plugin) = deployed.filter(|plugin| plugin.current().is_some()) else {
            return Err(RejectedCommand::NotDeployed { name });
        };
        Arc::make_mut(plugin).removed_at = Some(at);
        Ok(vec![Change::PluginRemoved { name }])
    }

    fn topic_mut(&mut self, id: TopicId) -> Result<&mut Arc<Topic>, RejectedCommand> {
        let unknown = RejectedCommand::UnknownTopic { id };
        let Some(name) = self.names.get(&id) else {
            return Err(unknown);
        };
        self.topics.get_mut(name).ok_or(unknown)
    }
}

fn fold(name: &TopicName) -> String {
    name.as_str().replace('.', "_")
}

fn count_of(assignment: &[Vec<BrokerId>]) -> u32 {
    // Planning bounds the number by `PARTITIONS_PER_TOPIC_MAX`.
    u32::try_from(assignment.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "cluster_metadata_tests.rs"]
mod tests;
