//! Planning: turns what an administrator asks for into a [`Command`], or says why not. Reads the
//! metadata and changes nothing, so that every rule about topics stands in one place and holds
//! before anything is stored.

use std::collections::{BTreeMap, BTreeSet};

use broker_model::{BrokerId, Timestamp, TopicId, TopicName, limits};

use crate::cluster_metadata::{ClusterMetadata, RejectedCommand};
use crate::command::Command;
use crate::placement;
use crate::plan_error::{
    AlterTopicError, CreatePartitionsError, CreateTopicError, InvalidAssignment,
};
use crate::plan_plugins::check_bindings;
use crate::topic::Topic;
use crate::topic_config::check_size;
use crate::topic_keys::names;
use crate::{Binding, InvalidConfig, TopicConfig, TopicDefaults};

/// A topic someone wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; the broker's default if none.
    pub partitions: Option<u32>,
    /// Replicas of each partition; the broker's default if none.
    pub replication_factor: Option<u32>,
    /// The brokers of each partition, instead of numbers.
    pub assignment: Option<Vec<Vec<BrokerId>>>,
    /// Overrides of its configuration.
    pub config: BTreeMap<String, String>,
    /// What its plugin slots run.
    pub bindings: Vec<Binding>,
}

/// A change of a topic's configuration that someone wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigChange {
    /// Overrides to set.
    pub set: BTreeMap<String, String>,
    /// Overrides to take back.
    pub unset: BTreeSet<String>,
    /// What the plugin slots run afterwards, all of them for choice: one that runs it already by the
    /// time this is applied keeps the binding it has.
    pub bindings: Vec<Binding>,
}

/// What the broker's configuration says about new topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreationDefaults {
    /// `num.partitions`.
    pub partitions: u32,
    /// `default.replication.factor`.
    pub replication_factor: u32,
    /// Defaults of the topic keys.
    pub topic: TopicDefaults,
}

/// Something that is allowed and worth knowing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The name has both `.` and `_`.
    MixedSeparators {
        /// The topic.
        name: TopicName,
    },
    /// The broker's default asks for more replicas in sync than the topic has.
    FewerReplicasThanInsync {
        /// The topic.
        name: TopicName,
        /// `min.insync.replicas`.
        asked: u32,
        /// The replicas there are, which is what counts.
        replicas: usize,
    },
    /// The partitioner sees another number of partitions from now on.
    KeysMove {
        /// The topic.
        name: TopicName,
        /// Partitions until now.
        from: u32,
        /// Partitions from now on.
        to: u32,
    },
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MixedSeparators { name } => write!(
                f,
                "topic name {name} has both '.' and '_', which metric names cannot tell apart: \
                 better use one of them"
            ),
            Self::FewerReplicasThanInsync {
                name,
                asked,
                replicas,
            } => write!(
                f,
                "min.insync.replicas is {asked} by default, and topic {name} has {replicas} replica(s): \
                 an acknowledgement means that it is on {replicas}"
            ),
            Self::KeysMove { name, from, to } => write!(
                f,
                "topic {name} grows from {from} to {to} partitions: records of one key may go to \
                 another partition from now on, and order per key does not hold across the change"
            ),
        }
    }
}

/// A command and what the administrator should be told.
pub type Planned = (Command, Vec<Warning>);

impl ClusterMetadata {
    /// Plans a new topic. `id` is a fresh random id.
    ///
    /// # Errors
    /// Names the first rule that is broken.
    pub fn plan_create_topic(
        &self,
        new: &NewTopic,
        defaults: &CreationDefaults,
        now: Timestamp,
        id: TopicId,
    ) -> Result<Planned, CreateTopicError> {
        let name = TopicName::new(&new.name)?;
        if name.is_reserved() {
            return Err(CreateTopicError::Reserved { name });
        }
        self.check_name_is_free(&name)
            .map_err(|taken| name_taken(taken, &name))?;
        let assignment = match &new.assignment {
            Some(assignment) => self.check_new_assignment(new, assignment)?,
            None => self.place_new_topic(new, defaults)?,
        };
        check_size(&new.config)?;
        let config = TopicConfig::normalise(&new.config)?;
        let effective = TopicConfig::check(&config, &defaults.topic)?;
        check_dead_letters(name.as_str(), &config)?;
        let replicas = assignment.first().map_or(0, Vec::len);
        check_min_insync(&config, replicas)?;
        check_bindings(&new.bindings, &effective, assignment.len())?;
        let mut warnings = Vec::new();
        let asked = effective.min_insync_replicas;
        if usize::try_from(asked).is_ok_and(|asked| asked > replicas) {
            warnings.push(Warning::FewerReplicasThanInsync {
                name: name.clone(),
                asked,
                replicas,
            });
        }
        if name.mixes_separators() {
            warnings.push(Warning::MixedSeparators { name: name.clone() });
        }
        let command = Command::CreateTopic {
            id,
            name,
            assignment,
            config,
            bindings: new.bindings.clone(),
            at: now,
        };
        Ok((command, warnings))
    }

    /// Plans the end of a topic; with an id, only of that very one.
    ///
    /// # Errors
    /// When there is no such topic or the broker keeps it.
    pub fn plan_delete_topic(
        &self,
        name: &str,
        id: Option<TopicId>,
    ) -> Result<Command, AlterTopicError> {
        let topic = self.alterable(name)?;
        if let Some(asked) = id.filter(|asked| *asked != topic.id) {
            return Err(AlterTopicError::OtherTopic {
                name: topic.name.clone(),
                id: topic.id,
                asked,
            });
        }
        Ok(Command::DeleteTopic { id: topic.id })
    }

    /// Plans a change of configuration overrides.
    ///
    /// # Errors
    /// When there is no such topic, a key or value is wrong, or a binding does not fit.
    pub fn plan_alter_config(
        &self,
        name: &str,
        change: &ConfigChange,
        defaults: &TopicDefaults,
    ) -> Result<Command, AlterTopicError> {
        let topic = self.alterable(name)?;
        check_size(&change.set)?;
        let set = TopicConfig::normalise(&change.set)?;
        let unset = &change.unset;
        for key in unset {
            TopicConfig::check_key(key)?;
            if set.contains_key(key) {
                return Err(InvalidConfig::SetAndUnset { key: key.clone() }.into());
            }
        }
        let mut overrides = topic.config.clone();
        overrides.retain(|key, _| !unset.contains(key));
        overrides.extend(set.clone());
        let effective = TopicConfig::check(&overrides, defaults)?;
        check_dead_letters(name, &set)?;
        let replicas = topic.partitions.first().map_or(0, |p| p.replicas.len());
        check_min_insync(&set, replicas)?;
        check_bindings(&change.bindings, &effective, topic.partitions.len())?;
        Ok(Command::AlterTopicConfig {
            id: topic.id,
            set,
            unset: unset.clone(),
            bindings: change.bindings.clone(),
        })
    }

    /// Plans the growth of a topic to `count` partitions.
    ///
    /// # Errors
    /// When there is no such topic, it would not grow, or the brokers do not fit.
    pub fn plan_create_partitions(
        &self,
        name: &str,
        count: u32,
        assignment: Option<&[Vec<BrokerId>]>,
        now: Timestamp,
    ) -> Result<Planned, CreatePartitionsError> {
        let topic = self.growable(name)?;
        let current = topic.partition_count();
        if count <= current || count > limits::PARTITIONS_PER_TOPIC_MAX {
            return Err(CreatePartitionsError::InvalidPartitions {
                name: topic.name.clone(),
                asked: count,
                current,
                max: limits::PARTITIONS_PER_TOPIC_MAX,
            });
        }
        let added = match assignment {
            Some(assignment) => self.check_growth(topic, count, assignment)?,
            None => self.place_growth(topic, count)?,
        };
        let warning = Warning::KeysMove {
            name: topic.name.clone(),
            from: current,
            to: count,
        };
        let command = Command::CreatePartitions {
            id: topic.id,
            from: current,
            added,
            at: now,
        };
        Ok((command, vec![warning]))
    }

    fn alterable(&self, name: &str) -> Result<&Topic, AlterTopicError> {
        if let Some(name) = reserved(name) {
            return Err(AlterTopicError::Reserved { name });
        }
        let unknown = || AlterTopicError::UnknownTopic {
            name: name.to_owned(),
        };
        self.topic(name).map(AsRef::as_ref).ok_or_else(unknown)
    }

    fn growable(&self, name: &str) -> Result<&Topic, CreatePartitionsError> {
        self.alterable(name).map_err(|error| match error {
            AlterTopicError::Reserved { name } => CreatePartitionsError::Reserved { name },
            _ => CreatePartitionsError::UnknownTopic {
                name: name.to_owned(),
            },
        })
    }

    fn place_new_topic(
        &self,
        new: &NewTopic,
        defaults: &CreationDefaults,
    ) -> Result<Vec<Vec<BrokerId>>, CreateTopicError> {
        let partitions = new.partitions.unwrap_or(defaults.partitions);
        let partitions = usize::try_from(partitions).unwrap_or(usize::MAX);
        check_partition_count(partitions)?;
        let asked = new
            .replication_factor
            .unwrap_or(defaults.replication_factor);
        let brokers: Vec<BrokerId> = self.brokers().keys().copied().collect();
        let replicas = usize::try_from(asked)
            .ok()
            .filter(|replicas| (1..=brokers.len()).contains(replicas))
            .ok_or(CreateTopicError::InvalidReplicationFactor {
                asked,
                brokers: brokers.len(),
            })?;
        let start = self.topics_created() % brokers.len() as u64;
        let start = usize::try_from(start).unwrap_or(0);
        Ok(placement::round_robin(
            &brokers, start, 0, partitions, replicas,
        ))
    }

    fn check_new_assignment(
        &self,
        new: &NewTopic,
        assignment: &[Vec<BrokerId>],
    ) -> Result<Vec<Vec<BrokerId>>, CreateTopicError> {
        if new.partitions.is_some() || new.replication_factor.is_some() {
            return Err(InvalidAssignment::WithNumbers.into());
        }
        check_partition_count(assignment.len())?;
        let replicas = assignment.first().map_or(0, Vec::len);
        self.check_assignment(assignment, 0, replicas)?;
        Ok(assignment.to_vec())
    }

    fn place_growth(
        &self,
        topic: &Topic,
        count: u32,
    ) -> Result<Vec<Vec<BrokerId>>, CreatePartitionsError> {
        let brokers: Vec<BrokerId> = self.brokers().keys().copied().collect();
        let first_leader = topic.partitions.first().and_then(|p| p.replicas.first());
        let replicas = topic.partitions.first().map_or(0, |p| p.replicas.len());
        if brokers.len() < replicas {
            return Err(CreatePartitionsError::NotEnoughBrokers {
                name: topic.name.clone(),
                replicas: topic.replication_factor(),
                brokers: brokers.len(),
            });
        }
        let start = first_leader.map_or(0, |id| brokers.partition_point(|other| other < id));
        let current = topic.partitions.len();
        let added = usize::try_from(count).unwrap_or(usize::MAX) - current;
        Ok(placement::round_robin(
            &brokers, start, current, added, replicas,
        ))
    }

    fn check_growth(
        &self,
        topic: &Topic,
        count: u32,
        assignment: &[Vec<BrokerId>],
    ) -> Result<Vec<Vec<BrokerId>>, CreatePartitionsError> {
        let current = topic.partitions.len();
        let expected = usize::try_from(count).unwrap_or(usize::MAX) - current;
        if assignment.len() != expected {
            let found = assignment.len();
            return Err(InvalidAssignment::WrongLength { found, expected }.into());
        }
        let replicas = topic.partitions.first().map_or(0, |p| p.replicas.len());
        self.check_assignment(assignment, topic.partition_count(), replicas)?;
        Ok(assignment.to_vec())
    }

    fn check_assignment(
        &self,
        assignment: &[Vec<BrokerId>],
        first: u32,
        expected: usize,
    ) -> Result<(), InvalidAssignment> {
        for (partition, replicas) in (first..).zip(assignment) {
            if replicas.is_empty() {
                return Err(InvalidAssignment::NoBrokers { partition });
            }
            if replicas.len() != expected {
                return Err(InvalidAssignment::UnevenReplicas {
                    partition,
                    found: replicas.len(),
                    expected,
                });
            }
            let mut seen = BTreeSet::new();
            for broker in replicas.iter().copied() {
                if !self.brokers().contains_key(&broker) {
                    return Err(InvalidAssignment::UnknownBroker { partition, broker });
                }
                if !seen.insert(broker) {
                    return Err(InvalidAssignment::BrokerTwice { partition, broker });
                }
            }
        }
        Ok(())
    }
}

/// A topic cannot ask for more replicas in sync than it has.
fn check_min_insync(
    overrides: &BTreeMap<String, String>,
    replicas: usize,
) -> Result<(), InvalidConfig> {
    let asked = overrides.get(names::MIN_INSYNC_REPLICAS);
    let is_more = |asked: &&String| asked.parse().is_ok_and(|asked: usize| asked > replicas);
    match asked.filter(is_more) {
        Some(asked) => Err(InvalidConfig::Value {
            key: names::MIN_INSYNC_REPLICAS.to_owned(),
            value: asked.clone(),
            allowed: format!("at most the number of the topic's replicas, which is {replicas}"),
        }),
        None => Ok(()),
    }
}

/// Records that a topic refuses cannot go to itself.
fn check_dead_letters(
    topic: &str,
    overrides: &BTreeMap<String, String>,
) -> Result<(), InvalidConfig> {
    match overrides.get(names::DEAD_LETTER_TOPIC) {
        Some(dead_letters) if dead_letters == topic => Err(InvalidConfig::Value {
            key: names::DEAD_LETTER_TOPIC.to_owned(),
            value: dead_letters.clone(),
            allowed: "the name of another topic, or nothing".to_owned(),
        }),
        _ => Ok(()),
    }
}

fn reserved(name: &str) -> Option<TopicName> {
    TopicName::new(name).ok().filter(TopicName::is_reserved)
}

fn check_partition_count(asked: usize) -> Result<(), CreateTopicError> {
    let max = limits::PARTITIONS_PER_TOPIC_MAX;
    let fits = u32::try_from(asked).is_ok_and(|count| (1..=max).contains(&count));
    if fits {
        return Ok(());
    }
    Err(CreateTopicError::InvalidPartitions { asked, max })
}

fn name_taken(taken: RejectedCommand, name: &TopicName) -> CreateTopicError {
    let name = name.clone();
    match taken {
        RejectedCommand::TopicCollides { with, .. } => CreateTopicError::Collides { name, with },
        _ => CreateTopicError::Exists { name },
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
