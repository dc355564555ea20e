//! `broker topic offsets`: first and last offset of each partition, or the one at a time. Which
//! partitions a command is about is found here for others too.

use broker_client::Client;
use broker_client::model::{Offset, PartitionId, TopicName, TopicPartition};
use broker_client::protocol::api::list_offsets::OffsetAt;
use clap::Args;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Align, Table, number, time};
use crate::session::{Session, topic_failure};
use crate::time_spec::TimeSpec;

/// Show the first and last offset of each partition, or the offset at a time
///
/// EARLIEST is the first offset that can be read, LATEST the one the next readable record will
/// get. With --at, OFFSET is the first record with that timestamp or a later one.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker topic offsets orders
  broker topic offsets orders --partition 0 --at 2026-11-20T10:00:00Z
  broker topic offsets orders --at 1h-ago")]
pub(super) struct OffsetsArgs {
    /// Name of the topic
    name: String,

    /// Only this partition; may be repeated
    #[arg(short, long = "partition", value_name = "NUMBER")]
    partitions: Vec<u32>,

    /// Look for this time: an RFC 3339 time, a date, 5min-ago, now, or @milliseconds
    #[arg(long, value_name = "TIME")]
    at: Option<TimeSpec>,
}

#[derive(Serialize)]
struct PartitionOffsets {
    topic: String,
    partition: u32,
    earliest: u64,
    latest: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_time: Option<Found>,
}

#[derive(Serialize)]
struct Found {
    offset: Option<u64>,
    timestamp_ms: Option<i64>,
}

impl OffsetsArgs {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.connect().await?;
        let admin = client.admin();
        let chosen: Vec<PartitionId> = self
            .partitions
            .iter()
            .copied()
            .map(PartitionId::new)
            .collect();
        let mut rows = Vec::new();
        for partition in partitions_of(&client, &self.name, &chosen).await? {
            let earliest = admin.list_offset(&partition, OffsetAt::Earliest).await?;
            let latest = admin.list_offset(&partition, OffsetAt::Latest).await?;
            let at_time = match self.at {
                Some(TimeSpec(at)) => {
                    let found = admin
                        .list_offset(&partition, OffsetAt::Timestamp(at))
                        .await?;
                    Some(Found {
                        offset: found.offset.map(Offset::get),
                        timestamp_ms: found.timestamp.map(|time| time.as_millis()),
                    })
                }
                None => None,
            };
            rows.push(PartitionOffsets {
                topic: self.name.clone(),
                partition: partition.partition.get(),
                earliest: earliest.offset.map_or(0, Offset::get),
                latest: latest.offset.map_or(0, Offset::get),
                at_time,
            });
        }
        session.output.show(&rows, |rows| match self.at {
            Some(_) => with_time(rows),
            None => without_time(rows),
        })
    }
}

fn without_time(rows: &[PartitionOffsets]) -> String {
    let mut table = Table::new(&[
        ("PARTITION", Align::Right),
        ("EARLIEST", Align::Right),
        ("LATEST", Align::Right),
        ("RECORDS", Align::Right),
    ]);
    for row in rows {
        table.row([
            row.partition.to_string(),
            row.earliest.to_string(),
            row.latest.to_string(),
            number(row.latest.saturating_sub(row.earliest)),
        ]);
    }
    table.to_string()
}

fn with_time(rows: &[PartitionOffsets]) -> String {
    let mut table = Table::new(&[
        ("PARTITION", Align::Right),
        ("EARLIEST", Align::Right),
        ("LATEST", Align::Right),
        ("OFFSET", Align::Right),
        ("TIMESTAMP", Align::Left),
    ]);
    for row in rows {
        let found = row.at_time.as_ref();
        let offset = found.and_then(|found| found.offset);
        let timestamp = found.and_then(|found| found.timestamp_ms);
        table.row([
            row.partition.to_string(),
            row.earliest.to_string(),
            row.latest.to_string(),
            offset.map_or_else(|| "none that late".to_owned(), |offset| offset.to_string()),
            timestamp
                .map(|millis| time(broker_client::model::Timestamp::from_millis(millis)))
                .unwrap_or_default(),
        ]);
    }
    table.to_string()
}

/// The chosen partitions of a topic, or all of them; each one is there.
pub(crate) async fn partitions_of(
    client: &Client,
    topic: &str,
    chosen: &[PartitionId],
) -> Result<Vec<TopicPartition>, Failure> {
    let name = TopicName::new(topic).map_err(|error| Failure::usage(error.to_string()))?;
    let view = match client.topic(topic).await {
        Ok(view) => view,
        Err(error) => return Err(topic_failure(client, topic, error).await),
    };
    let count = u32::try_from(view.partitions.len()).unwrap_or(u32::MAX);
    if let Some(missing) = chosen.iter().find(|partition| partition.get() >= count) {
        return Err(Failure::failed(format!(
            "topic {topic} has no partition {missing}: it has 0 to {}",
            count.saturating_sub(1)
        )));
    }
    let all = || (0..count).map(PartitionId::new).collect();
    let partitions = if chosen.is_empty() {
        all()
    } else {
        chosen.to_vec()
    };
    let at = |partition| TopicPartition::new(name.clone(), partition);
    Ok(partitions.into_iter().map(at).collect())
}
