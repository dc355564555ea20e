//! Finding and talking to the leader of a partition: the cached one, and when a broker says that it
//! is another, the one that the refreshed metadata names.

use std::sync::Arc;

use broker_model::{BrokerId, LeaderEpoch, PartitionId, TopicId, TopicPartition};
use broker_protocol::{ErrorCode, Request, WireError};

use super::{Client, Retries};
use crate::connection::Connection;
use crate::error::ClientError;

/// The leader of a partition and a connection to it.
#[derive(Clone, Debug)]
pub struct Leader {
    /// The broker.
    pub broker: BrokerId,
    /// How often leadership has changed, as far as this client knows.
    pub epoch: LeaderEpoch,
    /// The topic's id, to be checked by the broker.
    pub topic_id: Option<TopicId>,
    /// A connection to it.
    pub connection: Connection,
}

/// What the metadata says of a partition's leader, without asking anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KnownLeader {
    Broker(BrokerId),
    /// There is none at the moment.
    None,
    /// The metadata is missing, too old, or has no such partition.
    Unknown,
}

impl Leader {
    async fn ask<R: Request, T>(
        &self,
        request: &R,
        take: impl Fn(R::Response) -> Result<T, WireError>,
    ) -> Result<T, ClientError> {
        let response = self.connection.request(request).await?;
        take(response).map_err(|error| ClientError::Refused {
            call: self.connection.call(R::METHOD.name()),
            error: Arc::new(error),
        })
    }
}

impl Client {
    /// The leader of a partition, as the metadata has it.
    ///
    /// # Errors
    /// When the topic or the partition does not exist, has no leader, or the leader cannot be
    /// reached.
    pub async fn leader(&self, partition: &TopicPartition) -> Result<Leader, ClientError> {
        let topic = self.topic(partition.topic.as_str()).await?;
        let Some(found) = topic.partition(partition.partition) else {
            // The partition may be newer than what is known.
            self.cache().mark_stale(partition.topic.as_str());
            return Err(ClientError::UnknownPartition(
                format!("partition {partition}").into(),
            ));
        };
        let Some(broker) = found.leader else {
            self.cache().mark_stale(partition.topic.as_str());
            return Err(ClientError::NoLeader(partition.clone()));
        };
        let connection = self.broker(broker).await;
        let connection = connection.inspect_err(|error| self.note_failure(partition, error))?;
        Ok(Leader {
            broker,
            epoch: found.leader_epoch,
            topic_id: topic.topic_id,
            connection,
        })
    }

    /// The leader, if the metadata has it and may still be believed.
    pub(crate) fn known_leader(&self, partition: &TopicPartition) -> KnownLeader {
        let topic = self.cache().topic(partition.topic.as_str(), self.now());
        let found = topic.and_then(|topic| topic.partition(partition.partition));
        match found {
            Some(found) => found.leader.map_or(KnownLeader::None, KnownLeader::Broker),
            None => KnownLeader::Unknown,
        }
    }

    /// Sends a request to the leader of a partition, again where `retries` and the error allow it.
    ///
    /// # Errors
    /// The last error, when it may not be sent again or time has run out.
    pub async fn request_leader<R: Request>(
        &self,
        partition: &TopicPartition,
        request: &R,
        retries: Retries,
    ) -> Result<R::Response, ClientError> {
        self.ask_leader(partition, request, retries, Ok).await
    }

    /// Like [`Client::request_leader`], for answers that carry an error of the partition inside.
    pub(crate) async fn ask_leader<R: Request, T>(
        &self,
        partition: &TopicPartition,
        request: &R,
        retries: Retries,
        take: impl Fn(R::Response) -> Result<T, WireError>,
    ) -> Result<T, ClientError> {
        let mut attempts = self.attempts();
        let mut unknown_before = false;
        loop {
            let error = match self.leader(partition).await {
                Ok(leader) => match leader.ask(request, &take).await {
                    Ok(taken) => return Ok(taken),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            self.note_failure(partition, &error);
            // What a broker has not heard of yet may be in fresher metadata, once.
            let unknown = is_unknown(&error) && !std::mem::replace(&mut unknown_before, true);
            if !unknown && !retries.allow(&error) {
                return Err(error);
            }
            attempts.pause_after(error).await?;
        }
    }

    /// Learns from a failed request what it says about the metadata.
    pub(crate) fn note_failure(&self, partition: &TopicPartition, error: &ClientError) {
        self.note_topic_failure(partition.topic.as_str(), Some(partition.partition), error);
    }

    pub(crate) fn note_topic_failure(
        &self,
        topic: &str,
        partition: Option<PartitionId>,
        error: &ClientError,
    ) {
        if !error.hints_at_stale_metadata() {
            return;
        }
        let mut cache = self.cache();
        cache.mark_stale(topic);
        let data = error.wire().and_then(|error| error.data.as_deref());
        if let (Some(partition), Some(data)) = (partition, data)
            && let (Some(leader), Some(epoch)) = (&data.leader, data.leader_epoch)
        {
            cache.follow_hint(topic, partition, (leader, epoch));
        }
    }
}

/// Whether the cluster says that there is no such topic or partition.
pub(crate) fn is_unknown(error: &ClientError) -> bool {
    matches!(error, ClientError::UnknownPartition(_))
        || error.code() == Some(ErrorCode::UnknownTopicOrPartition)
}
