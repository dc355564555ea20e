//! `broker topic delete-records`.

use std::str::FromStr;

use broker_client::model::{Offset, PartitionId};
use broker_client::protocol::api::delete_records::DeleteBefore;
use clap::Args;
use serde::Serialize;

use super::offsets::partitions_of;
use crate::failure::Failure;
use crate::session::Session;

/// Forget the oldest records of a topic
///
/// Records below the offset can no longer be read; whole segments below it are deleted. Without
/// --partition it is done to every partition.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker topic delete-records orders --partition 0 --before 500
  broker topic delete-records orders --before end      empties the topic")]
pub(super) struct DeleteRecordsArgs {
    /// Name of the topic
    name: String,

    /// Only this partition; may be repeated
    #[arg(short, long = "partition", value_name = "NUMBER")]
    partitions: Vec<u32>,

    /// First offset to keep, or end to keep nothing
    #[arg(long, value_name = "OFFSET|end")]
    before: Before,
}

/// Where the log is to start.
#[derive(Clone, Copy, Debug)]
struct Before(DeleteBefore);

impl FromStr for Before {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "end" {
            return Ok(Self(DeleteBefore::HighWatermark));
        }
        let offset = text.parse().map(Offset::new);
        offset
            .map(|offset| Self(DeleteBefore::Offset(offset)))
            .map_err(|_| "write an offset such as 500, or end".to_owned())
    }
}

#[derive(Serialize)]
struct Trimmed {
    topic: String,
    partition: u32,
    log_start: u64,
}

impl DeleteRecordsArgs {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.connect().await?;
        let chosen: Vec<PartitionId> = self
            .partitions
            .iter()
            .copied()
            .map(PartitionId::new)
            .collect();
        for partition in partitions_of(&client, &self.name, &chosen).await? {
            let log_start = client
                .admin()
                .delete_records(&partition, self.before.0)
                .await?;
            let trimmed = Trimmed {
                topic: self.name.clone(),
                partition: partition.partition.get(),
                log_start: log_start.get(),
            };
            session.output.show(&trimmed, |_| {
                format!("{partition} starts at offset {log_start} now")
            })?;
        }
        Ok(())
    }
}
