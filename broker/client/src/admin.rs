//! `Admin`: creating, changing and looking. A request that changes something is only sent again
//! when it certainly had no effect; one that only looks, whenever that can help.

use std::collections::BTreeMap;

use broker_model::{BrokerId, Offset, PartitionId, TopicPartition};
use broker_protocol::api::alter_topic::{AlterTopicRequest, AlterTopicResponse};
use broker_protocol::api::create_partitions::{CreatePartitionsRequest, CreatePartitionsResponse};
use broker_protocol::api::create_topic::{CreateTopicRequest, CreateTopicResponse};
use broker_protocol::api::delete_records::{DeleteBefore, DeleteRecordsRequest};
use broker_protocol::api::delete_topic::{DeleteTopicRequest, DeleteTopicResponse};
use broker_protocol::api::describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
use broker_protocol::api::describe_configs::{
    ConfigEntry, ConfigResource, DescribeConfigsRequest, ResourceKind,
};
use broker_protocol::api::describe_topic::{DescribeTopicRequest, DescribeTopicResponse};
use broker_protocol::api::list_actors::{ActorEntry, ListActorsRequest};
use broker_protocol::api::list_offsets::{ListOffsetsRequest, OffsetAnswer, OffsetAt, OffsetQuery};
use broker_protocol::api::metadata::TopicMetadata;
use broker_protocol::api::partition_for::PartitionForRequest;
use bytes::Bytes;

use crate::cluster::{Client, Retries};
use crate::error::ClientError;

/// Administration of a cluster; cheap to clone.
///
/// ```no_run
/// # async fn example() -> Result<(), broker_client::ClientError> {
/// # let client = broker_client::Client::connect("127.0.0.1:7420").await?;
/// let admin = client.admin();
/// let created = admin
///     .create_topic("orders")
///     .partitions(3)
///     .config("retention.ms", "86400000")
///     .send()
///     .await?;
/// for warning in created.warnings {
///     eprintln!("{warning}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Admin {
    pub(crate) client: Client,
}

impl Client {
    /// Administration of this cluster.
    pub fn admin(&self) -> Admin {
        Admin {
            client: self.clone(),
        }
    }
}

impl Admin {
    /// A topic to be created; [`CreateTopic::send`] does it.
    pub fn create_topic(&self, name: impl Into<String>) -> CreateTopic {
        CreateTopic {
            client: self.client.clone(),
            request: CreateTopicRequest {
                name: name.into(),
                ..CreateTopicRequest::default()
            },
        }
    }

    /// Deletes a topic and its data.
    ///
    /// # Errors
    /// When there is no such topic, or it is reserved.
    pub async fn delete_topic(&self, name: &str) -> Result<DeleteTopicResponse, ClientError> {
        let request = DeleteTopicRequest {
            name: name.to_owned(),
            topic_id: None,
        };
        self.client
            .request_any(&request, Retries::OnlyDefinite)
            .await
    }

    /// Sets and unsets configuration overrides of a topic.
    ///
    /// # Errors
    /// When there is no such topic or key, or a value is out of range; nothing is changed then.
    pub async fn alter_topic(
        &self,
        name: &str,
        set: BTreeMap<String, String>,
        unset: Vec<String>,
    ) -> Result<AlterTopicResponse, ClientError> {
        let request = AlterTopicRequest {
            name: name.to_owned(),
            set,
            unset,
            validate_only: false,
        };
        self.client
            .request_any(&request, Retries::OnlyDefinite)
            .await
    }

    /// Raises the number of partitions of a topic to `partitions`.
    ///
    /// # Errors
    /// When the count is not above the present one.
    pub async fn create_partitions(
        &self,
        name: &str,
        partitions: u32,
    ) -> Result<CreatePartitionsResponse, ClientError> {
        let request = CreatePartitionsRequest {
            name: name.to_owned(),
            partitions,
            ..CreatePartitionsRequest::default()
        };
        self.client
            .request_any(&request, Retries::OnlyDefinite)
            .await
    }

    /// Everything about one topic.
    ///
    /// # Errors
    /// When there is no such topic.
    pub async fn describe_topic(&self, name: &str) -> Result<DescribeTopicResponse, ClientError> {
        let request = DescribeTopicRequest {
            name: name.to_owned(),
        };
        self.client
            .request_any(&request, Retries::AtLeastOnce)
            .await
    }

    /// Effective configuration of a topic, with sources.
    ///
    /// # Errors
    /// When there is no such topic.
    pub async fn describe_topic_configs(
        &self,
        name: &str,
    ) -> Result<Vec<ConfigEntry>, ClientError> {
        let request = configs_of(ResourceKind::Topic, name.to_owned());
        let response = self
            .client
            .request_any(&request, Retries::AtLeastOnce)
            .await?;
        Ok(response.entries)
    }

    /// Effective configuration of a broker, with sources; `None` for the one that answers.
    ///
    /// # Errors
    /// When there is no such broker, or it cannot be reached.
    pub async fn describe_broker_configs(
        &self,
        broker: Option<BrokerId>,
    ) -> Result<Vec<ConfigEntry>, ClientError> {
        let name = broker.map(|id| id.to_string()).unwrap_or_default();
        let request = configs_of(ResourceKind::Broker, name);
        let response = match broker {
            Some(id) => self.client.broker(id).await?.request(&request).await?,
            None => {
                self.client
                    .request_any(&request, Retries::AtLeastOnce)
                    .await?
            }
        };
        Ok(response.entries)
    }

    /// All topics, internal ones included.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn list_topics(&self) -> Result<Vec<TopicMetadata>, ClientError> {
        Ok(self.client.metadata(None).await?.topics)
    }

    /// First or last offset of a partition, or that of the first record at or after a time; the
    /// answer has no offset when no record is that late.
    ///
    /// # Errors
    /// When there is no such partition, or its leader cannot be reached in time.
    pub async fn list_offset(
        &self,
        partition: &TopicPartition,
        at: OffsetAt,
    ) -> Result<OffsetAnswer, ClientError> {
        let query = OffsetQuery {
            topic: partition.topic.to_string(),
            topic_id: None,
            partition: partition.partition,
            at,
        };
        let request = ListOffsetsRequest {
            partitions: vec![query],
        };
        let client = &self.client;
        client
            .ask_leader(partition, &request, Retries::AtLeastOnce, |response| {
                let answer = response.partitions.into_iter().next().unwrap_or_default();
                match answer.error {
                    Some(error) => Err(error),
                    None => Ok(answer),
                }
            })
            .await
    }

    /// Orders a partition to forget its records below an offset; answers the new log start.
    ///
    /// # Errors
    /// When there is no such partition, or the offset is above the high watermark.
    pub async fn delete_records(
        &self,
        partition: &TopicPartition,
        before: DeleteBefore,
    ) -> Result<Offset, ClientError> {
        let request = DeleteRecordsRequest {
            topic: partition.topic.to_string(),
            topic_id: None,
            partition: partition.partition,
            before_offset: before,
        };
        // Forgetting the same records twice is forgetting them once.
        let asked = self
            .client
            .request_leader(partition, &request, Retries::AtLeastOnce);
        Ok(asked.await?.log_start)
    }

    /// Which partitions the topic's partitioner gives these keys.
    ///
    /// # Errors
    /// When there is no such topic, or its partitioner fails.
    pub async fn partition_for(
        &self,
        topic: &str,
        keys: Vec<Option<Bytes>>,
    ) -> Result<Vec<PartitionId>, ClientError> {
        let request = PartitionForRequest {
            topic: topic.to_owned(),
            keys,
            ..PartitionForRequest::default()
        };
        let asked = self.client.request_any(&request, Retries::AtLeastOnce);
        Ok(asked.await?.partitions)
    }

    /// Like [`Admin::partition_for`], with keys that are one encoded MessagePack value each: the
    /// topic's serializer makes them bytes first. For brokers that announce the feature
    /// `serializers`; others would take them for bytes.
    ///
    /// # Errors
    /// As [`Admin::partition_for`], and when the serializer refuses a key.
    pub async fn partition_for_values(
        &self,
        topic: &str,
        keys: Vec<Option<Bytes>>,
    ) -> Result<Vec<PartitionId>, ClientError> {
        let request = PartitionForRequest {
            topic: topic.to_owned(),
            encode: true,
            keys,
            ..PartitionForRequest::default()
        };
        let asked = self.client.request_any(&request, Retries::AtLeastOnce);
        Ok(asked.await?.partitions)
    }

    /// Brokers with version, uptime and disks; warnings.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn describe_cluster(&self) -> Result<DescribeClusterResponse, ClientError> {
        self.client
            .request_any(&DescribeClusterRequest {}, Retries::AtLeastOnce)
            .await
    }

    /// Live actors of the broker that answers, and their mailboxes.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn list_actors(&self) -> Result<Vec<ActorEntry>, ClientError> {
        let asked = self
            .client
            .request_any(&ListActorsRequest {}, Retries::AtLeastOnce);
        Ok(asked.await?.actors)
    }
}

fn configs_of(kind: ResourceKind, name: String) -> DescribeConfigsRequest {
    DescribeConfigsRequest {
        resource: ConfigResource { kind, name },
    }
}

/// A topic that is about to be created. What is not set is the broker's default.
#[derive(Clone, Debug)]
#[must_use = "nothing is created before `send`"]
pub struct CreateTopic {
    client: Client,
    request: CreateTopicRequest,
}

impl CreateTopic {
    /// How many partitions.
    pub fn partitions(mut self, partitions: u32) -> Self {
        self.request.partitions = Some(partitions);
        self
    }

    /// How many copies of each partition.
    pub fn replication_factor(mut self, copies: u32) -> Self {
        self.request.replication_factor = Some(copies);
        self
    }

    /// For each partition its brokers, the preferred leader first.
    pub fn assignment(mut self, assignment: Vec<Vec<BrokerId>>) -> Self {
        self.request.assignment = Some(assignment);
        self
    }

    /// A configuration override.
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.request.config.insert(key.into(), value.into());
        self
    }

    /// Creates the topic.
    ///
    /// # Errors
    /// When the name, a count or a setting is not acceptable, or the topic exists.
    pub async fn send(self) -> Result<CreateTopicResponse, ClientError> {
        let request = self.request;
        self.client
            .request_any(&request, Retries::OnlyDefinite)
            .await
    }

    /// Says whether the topic could be created, without doing it.
    ///
    /// # Errors
    /// As [`CreateTopic::send`].
    pub async fn validate(mut self) -> Result<CreateTopicResponse, ClientError> {
        self.request.validate_only = true;
        self.client
            .request_any(&self.request, Retries::AtLeastOnce)
            .await
    }
}
