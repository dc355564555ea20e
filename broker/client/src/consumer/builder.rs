//! `ConsumerBuilder`: what to read, from where, and how much at a time. Building asks for the
//! topics and finds the start of each partition.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use broker_model::{Offset, PartitionId, Timestamp, TopicId, TopicName, TopicPartition, limits};
use broker_protocol::api::list_offsets::OffsetAt;
use futures::future::try_join_all;
use tokio::sync::mpsc;

use super::Consumer;
use super::assignment::{Assignment, FetchBounds};
use super::driver::{Driver, FetchOptions, Shared};
use super::reset::ResetPolicy;
use crate::cluster::{Client, is_unknown};
use crate::error::ClientError;

/// Where reading starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartAt {
    /// With the first record that is there.
    #[default]
    Earliest,
    /// With the next record that comes.
    Latest,
    /// With this offset.
    Offset(Offset),
    /// With the first record whose timestamp is this or later; like `Latest` when there is none.
    Timestamp(Timestamp),
}

/// Sets up a [`Consumer`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before `build`"]
pub struct ConsumerBuilder {
    client: Client,
    topics: BTreeSet<String>,
    partitions: BTreeMap<(String, PartitionId), Option<StartAt>>,
    start: StartAt,
    fetch: FetchOptions,
    prefetch_bytes: usize,
    policy: ResetPolicy,
    stop_at_end: bool,
}

/// A partition to read, and where that starts and ends.
struct Placed {
    partition: TopicPartition,
    topic_id: Option<TopicId>,
    start: Offset,
    end: Option<Offset>,
}

impl ConsumerBuilder {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            topics: BTreeSet::new(),
            partitions: BTreeMap::new(),
            start: StartAt::default(),
            fetch: FetchOptions {
                max_wait: Duration::from_millis(500),
                min_bytes: 1,
                max_bytes: 4 * 1024 * 1024,
                decode: false,
            },
            prefetch_bytes: 16 * 1024 * 1024,
            policy: ResetPolicy::default(),
            stop_at_end: false,
        }
    }

    /// Reads all partitions of a topic, also those that it gets later.
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topics.insert(topic.into());
        self
    }

    /// Reads one partition.
    pub fn partition(mut self, topic: impl Into<String>, partition: u32) -> Self {
        let key = (topic.into(), PartitionId::new(partition));
        self.partitions.insert(key, None);
        self
    }

    /// Reads one partition from a place of its own.
    pub fn partition_from(
        mut self,
        topic: impl Into<String>,
        partition: u32,
        start: StartAt,
    ) -> Self {
        let key = (topic.into(), PartitionId::new(partition));
        self.partitions.insert(key, Some(start));
        self
    }

    /// Where reading starts. Default with the first record. Partitions that are found later are
    /// always read from their first record: they are newer than the consumer.
    pub fn start(mut self, start: StartAt) -> Self {
        self.start = start;
        self
    }

    /// How long the broker waits for `min_bytes`. Default 500 ms; at most a minute.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.fetch.max_wait = wait.min(limits::FETCH_WAIT_MAX);
        self
    }

    /// How much the broker waits for. Default one byte: it answers with whatever there is.
    pub fn min_bytes(mut self, bytes: u32) -> Self {
        self.fetch.min_bytes = bytes;
        self
    }

    /// Bytes of stored batches in one answer. Default 4 MiB; one batch may be larger.
    pub fn max_bytes(mut self, bytes: u32) -> Self {
        self.fetch.max_bytes = bytes.clamp(1, limits::FETCH_BYTES_MAX);
        self
    }

    /// Fetching pauses while this many bytes of stored batches wait for the consumer. Default
    /// 16 MiB; answers that are under way may exceed it.
    pub fn prefetch_bytes(mut self, bytes: usize) -> Self {
        self.prefetch_bytes = bytes.max(1);
        self
    }

    /// Keys and values come as MessagePack values, made by the topic's serializers; bytes where there
    /// is none come as one MessagePack `bin`. What cannot be decoded comes as it is stored, with the
    /// reason in [`ConsumerRecord::undecoded`](super::ConsumerRecord::undecoded), and stops nothing.
    /// Needs brokers with the feature `serializers`.
    pub fn decode(mut self) -> Self {
        self.fetch.decode = true;
        self
    }

    /// What to do when a position is not in the log. Default to go on with the first record.
    pub fn reset_policy(mut self, policy: ResetPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Ends the stream at what is the end (the high watermark) of each partition now.
    pub fn stop_at_end(mut self) -> Self {
        self.stop_at_end = true;
        self
    }

    /// Finds topics and starts, and begins to fetch. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When nothing is to be read, a topic or partition does not exist, or its leader cannot be
    /// reached in time.
    pub async fn build(self) -> Result<Consumer, ClientError> {
        let wanted = self.wanted().await?;
        let placed = wanted
            .into_iter()
            .map(|(partition, (topic_id, start))| self.place(partition, topic_id, start));
        let placed = try_join_all(placed).await?;

        let bounds = FetchBounds {
            prefetch_bytes: self.prefetch_bytes,
            backoff: self.client.options().backoff,
        };
        let mut assignment = Assignment::new(bounds, self.policy);
        for placed in placed {
            let Placed {
                partition,
                topic_id,
                start,
                end,
            } = placed;
            assignment.add(partition, topic_id, Some(start), end);
        }
        let shared = Arc::new(Shared::new(assignment));
        let (sender, items) = mpsc::unbounded_channel();
        let growing = if self.stop_at_end {
            HashSet::new()
        } else {
            topic_names(&self.topics)?
        };
        let driver = Driver::new(self.client, shared.clone(), sender, self.fetch, growing);
        let task = tokio::spawn(driver.run());
        Ok(Consumer::new(shared, items, task.abort_handle()))
    }

    /// Every partition that is to be read, with the start it is to have.
    async fn wanted(
        &self,
    ) -> Result<BTreeMap<TopicPartition, (Option<TopicId>, StartAt)>, ClientError> {
        let mut wanted = BTreeMap::new();
        for name in topic_names(&self.topics)? {
            let view = self.topic_view(&name).await?;
            for number in (0..).take(view.partitions.len()) {
                let partition = TopicPartition::new(name.clone(), PartitionId::new(number));
                wanted.insert(partition, (view.topic_id, self.start));
            }
        }
        for ((topic, number), start) in &self.partitions {
            let name = topic_name(topic)?;
            let view = self.topic_view(&name).await?;
            let partition = TopicPartition::new(name, *number);
            if view.partition(*number).is_none() {
                let what = format!("partition {partition}");
                return Err(ClientError::UnknownPartition(what.into()));
            }
            let start = start.unwrap_or(self.start);
            wanted.insert(partition, (view.topic_id, start));
        }
        if wanted.is_empty() {
            return Err(ClientError::invalid("name a topic or a partition to read"));
        }
        Ok(wanted)
    }

    async fn topic_view(
        &self,
        name: &TopicName,
    ) -> Result<Arc<crate::cluster::TopicView>, ClientError> {
        let mut attempts = self.client.attempts();
        let mut asked_again = false;
        loop {
            match self.client.topic(name.as_str()).await {
                Ok(view) => return Ok(view),
                // A broker may hear of a new topic a little later than the client.
                Err(error) if is_unknown(&error) && !asked_again => {
                    asked_again = true;
                    attempts.pause_after(error).await?;
                }
                Err(error) if error.is_retriable() => attempts.pause_after(error).await?,
                Err(error) => return Err(error),
            }
        }
    }

    async fn place(
        &self,
        partition: TopicPartition,
        topic_id: Option<TopicId>,
        start: StartAt,
    ) -> Result<Placed, ClientError> {
        let end = if self.stop_at_end {
            Some(self.offset_at(&partition, OffsetAt::Latest).await?)
        } else {
            None
        };
        let start = match start {
            StartAt::Offset(offset) => offset,
            StartAt::Earliest => self.offset_at(&partition, OffsetAt::Earliest).await?,
            StartAt::Latest => self.offset_at(&partition, OffsetAt::Latest).await?,
            StartAt::Timestamp(time) => {
                self.offset_at(&partition, OffsetAt::Timestamp(time))
                    .await?
            }
        };
        Ok(Placed {
            partition,
            topic_id,
            start,
            end,
        })
    }

    /// The offset asked for; the end of the partition when no record is that late.
    async fn offset_at(
        &self,
        partition: &TopicPartition,
        at: OffsetAt,
    ) -> Result<Offset, ClientError> {
        let admin = self.client.admin();
        if let Some(offset) = admin.list_offset(partition, at).await?.offset {
            return Ok(offset);
        }
        let latest = admin.list_offset(partition, OffsetAt::Latest).await?;
        Ok(latest.offset.unwrap_or_default())
    }
}

fn topic_name(name: &str) -> Result<TopicName, ClientError> {
    TopicName::new(name)
        .map_err(|invalid| ClientError::invalid(format!("{name:?} is not a topic name: {invalid}")))
}

fn topic_names(names: &BTreeSet<String>) -> Result<HashSet<TopicName>, ClientError> {
    names.iter().map(|name| topic_name(name)).collect()
}
