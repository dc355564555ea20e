//! `broker topic create`: with counts, a placement and overrides, or only checked; a topic that is
//! there already can be accepted.

use broker_client::model::BrokerId;
use broker_client::protocol::ErrorCode;
use broker_client::protocol::api::create_topic::CreateTopicResponse;
use broker_client::{Client, ClientError};
use clap::Args;
use serde::Serialize;

use super::{assignment, overrides};
use crate::failure::Failure;
use crate::session::Session;

/// Create a topic
///
/// Names have 1 to 249 of A-Z a-z 0-9 . _ - and should follow one convention, such as
/// team.application.what. Partitions can be added later and never taken away.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker topic create orders --partitions 4
  broker topic create clicks --partitions 8 -c retention.ms=1d -c flush.mode=async
  broker topic create payments -c partitioner=round-robin --if-not-exists")]
pub(super) struct CreateArgs {
    /// Name of the new topic
    name: String,

    /// How many partitions [default: the broker's num.partitions]
    #[arg(short, long, value_name = "COUNT")]
    partitions: Option<u32>,

    /// Copies of each partition [default: the broker's default.replication.factor]
    #[arg(short, long, value_name = "COUNT")]
    replication_factor: Option<u32>,

    /// Brokers of each partition, the preferred leader first, such as 1,2/2,3 for two partitions
    #[arg(long, value_name = "ID,…/…", value_parser = placement, conflicts_with_all = ["partitions", "replication_factor"])]
    assignment: Option<Placement>,

    /// A configuration override; may be repeated (see `broker config list --topic`)
    #[arg(short, long = "config", value_name = "KEY=VALUE", value_parser = assignment)]
    config: Vec<(String, String)>,

    /// Accept that the topic exists already, whatever its settings
    #[arg(long)]
    if_not_exists: bool,

    /// Check everything, create nothing
    #[arg(long)]
    dry_run: bool,
}

/// The brokers of each partition.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Placement(Vec<Vec<BrokerId>>);

fn placement(text: &str) -> Result<Placement, String> {
    let broker = |id: &str| id.trim().parse().map(BrokerId::new);
    let partition = |ids: &str| ids.split(',').map(broker).collect::<Result<Vec<_>, _>>();
    let partitions = text
        .split('/')
        .map(partition)
        .collect::<Result<Vec<_>, _>>();
    partitions
        .map(Placement)
        .map_err(|_| "write broker ids, such as 1,2/2,3 for two partitions".to_owned())
}

#[derive(Serialize)]
struct Created {
    created: bool,
    dry_run: bool,
    #[serde(flatten)]
    topic: CreateTopicResponse,
}

impl CreateArgs {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let output = &session.output;
        let config = overrides(self.config.clone())?;
        let client = session.connect().await?;
        let mut request = client.admin().create_topic(&self.name);
        if let Some(partitions) = self.partitions {
            request = request.partitions(partitions);
        }
        if let Some(copies) = self.replication_factor {
            request = request.replication_factor(copies);
        }
        if let Some(Placement(assignment)) = self.assignment.clone() {
            request = request.assignment(assignment);
        }
        for (key, value) in config {
            request = request.config(key, value);
        }
        let answered = match self.dry_run {
            true => request.validate().await,
            false => request.send().await,
        };
        let topic = match answered {
            Ok(topic) => topic,
            Err(error) => return self.exists_or_fails(&client, error, session).await,
        };
        output.warn_all(&topic.warnings);
        let created = Created {
            created: !self.dry_run,
            dry_run: self.dry_run,
            topic,
        };
        output.show(&created, |created| {
            let verb = if created.dry_run {
                "could be created"
            } else {
                "created"
            };
            let topic = &created.topic;
            format!(
                "{} {verb}: {} partition(s), replication factor {}",
                topic.name, topic.partitions, topic.replication_factor
            )
        })
    }

    async fn exists_or_fails(
        &self,
        client: &Client,
        error: ClientError,
        session: &Session,
    ) -> Result<(), Failure> {
        if !self.if_not_exists || error.code() != Some(ErrorCode::TopicAlreadyExists) {
            return Err(error.into());
        }
        let known = client.admin().describe_topic(&self.name).await?;
        let partitions = u32::try_from(known.partitions.len()).unwrap_or(u32::MAX);
        let exists = Created {
            created: false,
            dry_run: self.dry_run,
            topic: CreateTopicResponse {
                name: known.name,
                topic_id: Some(known.topic_id),
                partitions,
                replication_factor: known.replication_factor,
                warnings: Vec::new(),
            },
        };
        session.output.show(&exists, |exists| {
            format!(
                "{} exists already, with {partitions} partition(s)",
                exists.topic.name
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placement_lists_brokers_by_partition() {
        let id = BrokerId::new;
        assert_eq!(
            placement("1,2/2, 3"),
            Ok(Placement(vec![vec![id(1), id(2)], vec![id(2), id(3)]]))
        );
        for bad in ["", "1,/2", "a", "1;2"] {
            assert!(placement(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
