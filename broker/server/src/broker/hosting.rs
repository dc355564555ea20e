//! `Hosting`: what the broker actor does, apart from being an actor. It has logs opened, starts partition actors
//! on their arbiters, and keeps `Topics` true. One call at a time: the actor runs each to its end before it takes
//! the next message.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use broker_cluster::{
    Change, ClusterMetadata, Deployment, PluginSlot, Topic, TopicConfig, TopicDefaults,
};
use broker_model::{Clock, LeaderEpoch, PartitionId, TopicId, TopicName, TopicPartition};
use broker_storage::Log;
use futures::StreamExt;
use tracing::error;

use super::BrokerHandle;
use super::opening::{Openings, Patience};
use crate::actor_stats::ActorStats;
use crate::arbiters::Arbiters;
use crate::cleaner::Cleaner;
use crate::controller::ControllerLauncher;
use crate::death_notice::DeathNotice;
use crate::log_dirs::{LOGS_AT_WORK_MAX, LogDirs};
use crate::offline::Offline;
use crate::partition::{Parent, PartitionActor, PartitionHandle, PartitionSetup};
use crate::plugins::{Plugins, TopicPlugins};
use crate::scrubber::Scrubber;
use crate::topic_settings::TopicSettings;
use crate::topics::{HostedPartition, HostedTopic, Outlook, RouteCounters, Topics};

/// Logs opened, or deleted, at once.
pub(super) const OPENS_AT_ONCE: usize = LOGS_AT_WORK_MAX;

/// What the log says of partitions whose logs cannot be opened.
const NOT_OPENED: &str = "logs of partitions cannot be opened";

/// Everything the broker actor works with; it outlives the actor.
pub(crate) struct Hosting {
    pub(crate) handle: BrokerHandle,
    pub(crate) arbiters: Arbiters,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) dirs: Arc<LogDirs>,
    pub(crate) topics: Arc<Topics>,
    pub(crate) metadata: Arc<ArcSwap<ClusterMetadata>>,
    pub(crate) topic_defaults: Arc<TopicDefaults>,
    pub(crate) controller: ControllerLauncher,
    pub(crate) plugins: Arc<Plugins>,
    pub(crate) cleaner: Arc<Cleaner>,
    pub(crate) cleaner_backoff: Duration,
    pub(crate) scrubber: Arc<Scrubber>,
    pub(crate) retention_check_interval: Duration,
    pub(crate) checkpoint_interval: Duration,
    pub(crate) space_check_interval: Duration,
    pub(crate) stopping: AtomicBool,
    /// Logs that are being opened.
    pub(crate) openings: Openings,
    /// One for each directory, held while its checkpoints are written: after a pause of the machine, ticks that
    /// were missed come together.
    pub(crate) checkpointing: Vec<Arc<tokio::sync::Mutex<()>>>,
}

/// One partition to be started.
#[derive(Clone)]
pub(super) struct Assignment {
    pub(super) partition: TopicPartition,
    pub(super) topic_id: TopicId,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) settings: Arc<TopicSettings>,
    pub(super) stats: Arc<ActorStats>,
}

impl Hosting {
    pub(super) fn handle(&self) -> &BrokerHandle {
        &self.handle
    }

    pub(super) fn arbiters(&self) -> &Arbiters {
        &self.arbiters
    }

    pub(super) fn metadata(&self) -> &ArcSwap<ClusterMetadata> {
        &self.metadata
    }

    pub(super) fn retention_check_interval(&self) -> Duration {
        self.retention_check_interval
    }

    pub(super) fn cleaner(&self) -> &Arc<Cleaner> {
        &self.cleaner
    }

    pub(super) fn cleaner_backoff(&self) -> Duration {
        self.cleaner_backoff
    }

    pub(super) fn scrubber(&self) -> &Arc<Scrubber> {
        &self.scrubber
    }

    pub(super) fn checkpoint_interval(&self) -> Duration {
        self.checkpoint_interval
    }

    pub(super) fn space_check_interval(&self) -> Duration {
        self.space_check_interval
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Whether the broker is shutting down, so that a death is no surprise.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Carries out committed changes.
    pub(super) async fn apply(self: &Arc<Self>, changes: &[Change]) {
        for change in changes {
            match change {
                Change::TopicCreated { topic }
                | Change::PartitionsAdded { topic, .. }
                | Change::TopicConfigChanged { topic } => self.follow(topic).await,
                Change::TopicDeleted { topic } => self.drop_topic(&topic.name, topic.id).await,
                Change::PluginDeployed { name, plugin } => {
                    if let Some(deployment) = plugin.current() {
                        self.install_plugin(name, deployment).await;
                    }
                }
                Change::PluginRemoved { name } => self.plugins.withdraw(name),
                Change::BrokerRegistered { .. } => {}
            }
        }
    }

    /// Hosts a topic as the metadata has it by now: what was changed several times while others waited is done once,
    /// and what has been done already not again.
    async fn follow(self: &Arc<Self>, changed: &Arc<Topic>) {
        let metadata = self.metadata.load_full();
        // One that is gone by now is hosted as it was until its deletion comes.
        let topic = metadata.topic_by_id(changed.id).unwrap_or(changed);
        let mut offline = Offline::default();
        self.bring_up_to_date(topic, Patience::AMoment, &mut offline)
            .await;
        offline.tell(NOT_OPENED);
    }

    async fn bring_up_to_date(
        self: &Arc<Self>,
        topic: &Arc<Topic>,
        patience: Patience,
        offline: &mut Offline,
    ) {
        let hosted = self.hosted(topic);
        let is_outdated = |hosted: &Arc<HostedTopic>| hosted.metadata != *topic;
        if hosted.as_ref().is_some_and(is_outdated) {
            self.configure_topic(topic).await;
        }
        if hosted.is_none_or(|hosted| hosted.partitions.len() < topic.partitions.len()) {
            self.host_topic(topic, patience, offline).await;
        }
    }

    fn hosted(&self, topic: &Topic) -> Option<Arc<HostedTopic>> {
        let hosted = self.topics.get(topic.name.as_str());
        hosted.filter(|hosted| hosted.id == topic.id)
    }

    /// Starts everything this broker does not host yet, and carries out what was lost with an actor that panicked.
    pub(super) async fn host_all(self: &Arc<Self>, metadata: &ClusterMetadata) {
        let mut offline = Offline::default();
        for topic in metadata.topics() {
            let patience = Patience::UntilItHangs;
            self.bring_up_to_date(topic, patience, &mut offline).await;
        }
        offline.tell(NOT_OPENED);
    }

    /// Starts the partitions of a topic that it does not host yet; those that cannot be opened go to `offline`.
    async fn host_topic(
        self: &Arc<Self>,
        topic: &Arc<Topic>,
        patience: Patience,
        offline: &mut Offline,
    ) {
        let settings = self.settings(topic).await;
        let known = self.hosted(topic);
        let mut partitions: Vec<HostedPartition> = known
            .as_ref()
            .map(|known| known.partitions.to_vec())
            .unwrap_or_default();
        let missing = (partitions.len()..topic.partitions.len()).map(|index| {
            let number = PartitionId::new(u32::try_from(index).unwrap_or(u32::MAX));
            let assignment = Assignment {
                partition: TopicPartition::new(topic.name.clone(), number),
                topic_id: topic.id,
                leader_epoch: topic.partitions[index].leader_epoch,
                settings: settings.clone(),
                stats: Arc::default(),
            };
            let hosting = self.clone();
            async move {
                let partition = assignment.partition.clone();
                let started = hosting.start_partition(assignment, patience).await;
                (partition, started)
            }
        });
        let mut started = futures::stream::iter(missing).buffered(OPENS_AT_ONCE);
        while let Some((name, partition)) = started.next().await {
            if let HostedPartition::Offline { reason, .. } = &partition {
                offline.add(name, reason);
            }
            partitions.push(partition);
        }
        self.topics.put([HostedTopic {
            name: topic.name.clone(),
            id: topic.id,
            metadata: topic.clone(),
            config: settings.config.clone(),
            plugins: settings.plugins.clone(),
            faults: settings.faults.clone(),
            partition_counts: topic.counts().into(),
            partitions: partitions.into(),
            routed: known.map_or_else(Arc::<RouteCounters>::default, |known| known.routed.clone()),
        }]);
    }

    pub(super) fn start_actor(
        self: &Arc<Self>,
        assignment: Assignment,
        log: Log,
    ) -> PartitionHandle {
        let (parent, name) = (self.clone(), assignment.partition.clone());
        let death = DeathNotice::new(move || {
            if !parent.is_stopping() {
                parent.handle.partition_died(name);
            }
        });
        let shard = self.arbiters.of_partition(&assignment.partition);
        let cold_reads = self.dirs.cold_reads(&assignment.partition);
        PartitionActor::start_on(
            (self.arbiters.shard(shard), shard),
            PartitionSetup {
                log,
                cold_reads,
                leader_epoch: assignment.leader_epoch,
                settings: assignment.settings,
                plugins: self.plugins.clone(),
                clock: self.clock.clone(),
                stats: assignment.stats,
                inline_from: self.inline_from(),
                disk_wait: self.arbiters.disk_wait(shard),
                standstill: self.arbiters.standstill(shard).clone(),
                parent: self.clone(),
                death,
            },
        )
    }

    /// A thread that serves several directories does not wait for any: its disk may hang.
    fn inline_from(&self) -> Duration {
        match self.dirs.all() {
            [_] => Duration::ZERO,
            _ => Duration::MAX,
        }
    }

    /// Takes partitions of a topic out of service for good, each for its reason, which the caller tells.
    pub(super) fn set_offline(&self, topic: &TopicName, partitions: Vec<(PartitionId, String)>) {
        let offline = partitions.into_iter().map(|(number, reason)| {
            let outlook = Outlook::Lasting;
            (number, HostedPartition::Offline { reason, outlook })
        });
        self.replace(topic, offline);
    }

    /// Puts others in place of partitions of a topic, all at once: each time its list is made anew.
    pub(super) fn replace(
        &self,
        topic: &TopicName,
        others: impl IntoIterator<Item = (PartitionId, HostedPartition)>,
    ) {
        let Some(hosted) = self.topics.get(topic.as_str()) else {
            return;
        };
        let mut partitions = hosted.partitions.to_vec();
        for (number, other) in others {
            let index = usize::try_from(number.get()).unwrap_or(usize::MAX);
            if let Some(slot) = partitions.get_mut(index) {
                *slot = other;
            }
        }
        self.topics.put([HostedTopic {
            partitions: partitions.into(),
            ..HostedTopic::clone(&hosted)
        }]);
    }

    /// Offers what was deployed, to the plugins that fall back to it as well, and hands it to the topics that
    /// go on with their module: limits and fallback are new all the same.
    async fn install_plugin(&self, name: &str, deployment: &Deployment) {
        self.plugins.install(name, deployment).await;
        let metadata = self.metadata.load_full();
        let mut renewed = vec![name];
        for (other, plugin) in metadata.plugins() {
            let current = plugin.current();
            let falls_back = |other: &&Deployment| other.fallback.as_deref() == Some(name);
            if let Some(dependent) = current.filter(falls_back) {
                self.plugins.install(other, dependent).await;
                renewed.push(other);
            }
        }
        self.configure_topics_of(&renewed).await;
    }

    /// Offers plugins again whose modules could not be read, and hands them to the topics that are bound to them.
    pub(super) async fn renew_plugins(&self, names: &[String]) {
        let metadata = self.metadata.load_full();
        for name in names {
            match metadata
                .plugins()
                .get(name)
                .and_then(|plugin| plugin.current())
            {
                Some(deployment) => self.install_plugin(name, deployment).await,
                None => self.configure_topics_of(&[name]).await,
            }
        }
    }

    async fn configure_topics_of(&self, renewed: &[&str]) {
        let metadata = self.metadata.load_full();
        for topic in metadata.topics() {
            let bound = PluginSlot::ALL
                .into_iter()
                .filter_map(|slot| topic.binding(slot)?.bound.as_ref());
            let mut plugins = bound.map(|bound| bound.plugin.as_str());
            if plugins.any(|plugin| renewed.contains(&plugin)) {
                self.configure_topic(topic).await;
            }
        }
    }

    async fn configure_topic(&self, topic: &Arc<Topic>) {
        let Some(hosted) = self.hosted(topic) else {
            return;
        };
        let settings = self.settings(topic).await;
        settings.faults.settings_changed();
        let plugins = &settings.plugins;
        plugins.resume_changed(topic.name.as_str(), &hosted.plugins);
        for partition in hosted.partitions.iter() {
            if let HostedPartition::Online(handle) = partition {
                handle.configure(settings.clone());
            }
        }
        self.topics.put([HostedTopic {
            metadata: topic.clone(),
            config: settings.config.clone(),
            plugins: settings.plugins.clone(),
            ..HostedTopic::clone(&hosted)
        }]);
    }

    /// What the topic's configuration and bindings come to on this broker. A module that is not compiled yet
    /// is compiled on a blocking thread.
    async fn settings(&self, topic: &Arc<Topic>) -> Arc<TopicSettings> {
        let config = self.resolve(topic);
        let resolving = {
            let (plugins, topic, config) = (self.plugins.clone(), topic.clone(), config.clone());
            actix_rt::task::spawn_blocking(move || plugins.resolve(&topic, &config))
        };
        let plugins = resolving.await.unwrap_or_else(|problem| {
            error!(topic = %topic.name, %problem, "resolving the topic's plugins panicked");
            TopicPlugins::default()
        });
        for (slot, bound) in plugins.slots() {
            if let Err(error) = bound {
                error!(topic = %topic.name, %slot, %error, "a plugin of the topic is not available");
            }
        }
        let known = self.hosted(topic);
        Arc::new(TopicSettings {
            id: topic.id,
            name: topic.name.clone(),
            config,
            plugins: Arc::new(plugins),
            faults: known.map_or_else(Arc::default, |known| known.faults.clone()),
        })
    }

    fn resolve(&self, topic: &Topic) -> Arc<TopicConfig> {
        let config = TopicConfig::resolve(&topic.config, &self.topic_defaults);
        Arc::new(config.unwrap_or_else(|problem| {
            // Checked before it was committed; a later version may still have narrowed a range.
            error!(topic = %topic.name, %problem, "topic configuration is invalid, defaults apply");
            let none = std::collections::BTreeMap::new();
            TopicConfig::resolve(&none, &self.topic_defaults)
                .expect("the broker's own defaults were checked at start")
        }))
    }

    pub(super) async fn restart_controller(self: &Arc<Self>) {
        let metadata = self.controller.restart(self.handle.clone()).await;
        self.host_all(&metadata).await;
    }

    pub(super) fn check_retention(&self) {
        self.for_each_partition(PartitionHandle::check_retention);
    }

    fn for_each_partition(&self, action: impl Fn(&PartitionHandle)) {
        for topic in self.topics.all().values() {
            for partition in topic.partitions.iter() {
                if let HostedPartition::Online(handle) = partition {
                    action(handle);
                }
            }
        }
    }
}

impl Parent for Hosting {
    fn partition_vanished(&self, partition: TopicPartition, topic_id: TopicId, reason: String) {
        self.handle.partition_vanished(partition, topic_id, reason);
    }
}
