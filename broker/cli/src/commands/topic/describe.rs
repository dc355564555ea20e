//! `broker topic describe`: partitions with offsets and sizes, plugins, configuration. Its table of
//! configuration serves `broker config show` too.

use std::fmt::Write;

use broker_client::model::BrokerId;
use broker_client::protocol::api::describe_configs::ConfigEntry;
use broker_client::protocol::api::describe_topic::{
    DamageDescription, DescribeTopicResponse, PartitionDescription,
};
use clap::Args;

use super::plugins;
use crate::failure::Failure;
use crate::output::{Align, Table, attention, bytes, number, time};
use crate::session::{Session, topic_failure};

/// Describe topics: partitions, offsets, sizes, plugins, configuration
///
/// START is the first offset that can be read, END the one the next record will get, and records
/// below HIGH WATERMARK can be read. Shows the configuration that differs from the defaults;
/// --all shows every key.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker topic describe orders
  broker topic describe orders --all
  broker topic describe orders --json")]
pub(super) struct DescribeArgs {
    /// Names of the topics
    #[arg(required = true, value_name = "TOPIC")]
    names: Vec<String>,

    /// Show every configuration key, also those at their default
    #[arg(long)]
    all: bool,
}

impl DescribeArgs {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.connect().await?;
        for name in &self.names {
            let described = client.admin().describe_topic(name).await;
            let topic = match described {
                Ok(topic) => topic,
                Err(error) => return Err(topic_failure(&client, name, error).await),
            };
            session.output.show(&topic, |topic| self.text(topic))?;
        }
        Ok(())
    }

    fn text(&self, topic: &DescribeTopicResponse) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "topic {}   id {}   replication factor {}{}",
            topic.name,
            topic.topic_id,
            topic.replication_factor,
            if topic.internal { "   internal" } else { "" }
        );
        if topic.partition_counts.len() > 1 {
            let counts = topic.partition_counts.iter();
            let counts: Vec<String> = counts
                .map(|count| format!("{} since {}", count.partitions, time(count.since_ms)))
                .collect();
            let _ = writeln!(text, "partition counts: {}", counts.join(", "));
        }
        let problems: Vec<String> = topic.partitions.iter().flat_map(problems).collect();
        if !problems.is_empty() {
            let _ = write!(text, "\n{}", attention(&problems));
        }
        let _ = write!(text, "{}", plugins::current(topic));
        let _ = write!(text, "\n{}", partitions(&topic.partitions));
        let cleaning = cleaning(&topic.partitions);
        if !cleaning.is_empty() {
            let _ = write!(text, "\n{cleaning}");
        }
        if self.all || topic.bindings.len() > topic.plugins.len() {
            let _ = write!(text, "\n{}", plugins::history(topic));
        }
        let shown = topic
            .config
            .iter()
            .filter(|entry| self.all || entry.source != "default");
        let config = config_table(shown);
        if !config.is_empty() {
            let _ = write!(text, "\n{config}");
        }
        text
    }
}

/// What is wrong with a partition, in sentences.
fn problems(partition: &PartitionDescription) -> Vec<String> {
    let number = partition.partition;
    let offline = partition.error.as_ref();
    let offline = offline.map(|error| format!("partition {number} is offline: {error}"));
    let damage = partition.damage.iter();
    let damage = damage.map(|damage| format!("partition {number}: {}", damaged(damage)));
    offline.into_iter().chain(damage).collect()
}

/// How a partition is, in a word.
fn state(partition: &PartitionDescription) -> &'static str {
    match partition {
        PartitionDescription { error: Some(_), .. } => "OFFLINE",
        PartitionDescription { damage, .. } if !damage.is_empty() => "DAMAGED",
        _ => "ok",
    }
}

fn damaged(damage: &DamageDescription) -> String {
    let DamageDescription {
        file,
        position,
        offset,
        problem,
        ..
    } = damage;
    let offsets = damage.next_offset.map_or_else(
        || format!("from offset {offset} on"),
        |next| {
            format!(
                "offsets {offset} to {}, reading goes on at {next}",
                next.get().saturating_sub(1)
            )
        },
    );
    format!("DAMAGED in {file} at byte {position}: {problem} ({offsets})")
}

fn partitions(partitions: &[PartitionDescription]) -> Table {
    let mut table = Table::new(&[
        ("PARTITION", Align::Right),
        ("LEADER", Align::Right),
        ("EPOCH", Align::Right),
        ("REPLICAS", Align::Left),
        ("IN SYNC", Align::Left),
        ("START", Align::Right),
        ("HIGH WATERMARK", Align::Right),
        ("END", Align::Right),
        ("SIZE", Align::Right),
        ("SEGMENTS", Align::Right),
        ("STATE", Align::Left),
    ]);
    for partition in partitions {
        let ids = |ids: &[BrokerId]| {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            ids.join(",")
        };
        let offset = |offset: Option<broker_client::model::Offset>| match offset {
            Some(offset) => offset.to_string(),
            None => "-".to_owned(),
        };
        table.row([
            partition.partition.to_string(),
            partition
                .leader
                .map_or_else(|| "none".to_owned(), |id| id.to_string()),
            partition.leader_epoch.to_string(),
            ids(&partition.replicas),
            ids(&partition.isr),
            offset(partition.log_start),
            offset(partition.high_watermark),
            offset(partition.log_end),
            bytes(partition.size_bytes),
            number(u64::from(partition.segments)),
            state(partition).to_owned(),
        ]);
    }
    table
}

/// How far cleanings have come, where the topic is compacted: below the first dirty offset each
/// record was looked at.
fn cleaning(partitions: &[PartitionDescription]) -> Table {
    let mut table = Table::new(&[
        ("PARTITION", Align::Right),
        ("FIRST DIRTY", Align::Right),
        ("CLEAN", Align::Right),
        ("DIRTY", Align::Right),
        ("DIRTY RATIO", Align::Right),
        ("CLEANINGS", Align::Right),
        ("LAST CLEANED", Align::Left),
    ]);
    for partition in partitions {
        let Some(cleaning) = &partition.cleaning else {
            continue;
        };
        table.row([
            partition.partition.to_string(),
            cleaning.first_dirty.to_string(),
            bytes(cleaning.clean_bytes),
            bytes(cleaning.dirty_bytes),
            format!("{:.2}", cleaning.dirty_ratio),
            number(cleaning.cleanings),
            cleaning
                .last_cleaned_ms
                .map_or_else(|| "never".to_owned(), time),
        ]);
    }
    table
}

/// Keys, values, and where the values come from.
pub(crate) fn config_table<'a>(entries: impl Iterator<Item = &'a ConfigEntry>) -> Table {
    let mut table = Table::new(&[
        ("KEY", Align::Left),
        ("VALUE", Align::Left),
        ("UNIT", Align::Left),
        ("SOURCE", Align::Left),
        ("DEFAULT", Align::Left),
    ]);
    for entry in entries {
        table.row([
            entry.key.clone(),
            entry.value.clone(),
            entry.unit.clone(),
            entry.source.clone(),
            entry.default.clone().unwrap_or_default(),
        ]);
    }
    table
}
