//! `BenchTopic`: the topic of one run, made for it and deleted after it.

use broker_client::Client;
use broker_client::model::{PartitionId, TopicName, TopicPartition};

use super::arguments::TopicArgs;
use crate::failure::Failure;
use crate::session::Session;

/// Bytes a batch may have beyond its body.
const BATCH_OVERHEAD: usize = 1024;

/// A topic for one run.
pub(super) struct BenchTopic {
    pub(super) name: TopicName,
    pub(super) partitions: u32,
    keep: bool,
}

impl BenchTopic {
    /// Makes the topic, so that it takes bodies of this size.
    pub(super) async fn create(
        client: &Client,
        args: &TopicArgs,
        body_len: usize,
    ) -> Result<Self, Failure> {
        let now = jiff::Timestamp::now().as_millisecond();
        let text = format!("bench-{now}-{}", std::process::id());
        let name = TopicName::new(&text).map_err(|error| Failure::failed(error.to_string()))?;
        let admin = client.admin();
        let mut request = admin
            .create_topic(&text)
            .partitions(args.partitions)
            .replication_factor(1)
            .config("flush.mode", args.flush_mode.name());
        if body_len > 1024 * 1024 - BATCH_OVERHEAD {
            request = request.config("message.max.bytes", (body_len + BATCH_OVERHEAD).to_string());
        }
        for (key, value) in &args.config {
            request = request.config(key, value);
        }
        request.send().await?;
        Ok(Self {
            name,
            partitions: args.partitions,
            keep: args.keep,
        })
    }

    /// The partition that the connection of this number works on.
    pub(super) fn partition_of(&self, connection: u32) -> TopicPartition {
        let number = connection.checked_rem(self.partitions).unwrap_or(0);
        TopicPartition::new(self.name.clone(), PartitionId::new(number))
    }

    /// Deletes the topic, unless it is to be kept. A failure is only worth a warning: what was
    /// measured was measured.
    pub(super) async fn finish(self, client: &Client, session: &Session) {
        if self.keep {
            session
                .output
                .note(format!("the topic {} is kept", self.name));
        } else if let Err(error) = client.admin().delete_topic(self.name.as_str()).await {
            session.output.warn(format!(
                "the topic {} could not be deleted: {error}",
                self.name
            ));
        }
    }
}
