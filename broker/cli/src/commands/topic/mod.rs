//! `broker topic`: creating, looking at, changing and deleting topics.

mod add_partitions;
mod alter;
mod create;
mod delete;
mod delete_records;
pub(crate) mod describe;
mod list;
pub(crate) mod offsets;
mod plugins;

use std::collections::BTreeMap;

use clap::{Args, Subcommand};

use crate::failure::Failure;
use crate::runtime::block_on;
use crate::session::Session;

/// Create, describe, change and delete topics
///
/// A topic is a named log, split into partitions; order holds within a partition. Its
/// configuration overrides the broker's defaults (see `broker config list --topic`).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker topic create orders --partitions 4
  broker topic describe orders
  broker topic alter orders -c retention.ms=7d")]
pub(crate) struct TopicArgs {
    #[command(subcommand)]
    command: TopicCommand,
}

#[derive(Debug, Subcommand)]
enum TopicCommand {
    Create(create::CreateArgs),
    List(list::ListArgs),
    Describe(describe::DescribeArgs),
    Alter(alter::AlterArgs),
    AddPartitions(add_partitions::AddPartitionsArgs),
    Delete(delete::DeleteArgs),
    DeleteRecords(delete_records::DeleteRecordsArgs),
    Offsets(offsets::OffsetsArgs),
}

impl TopicArgs {
    pub(crate) fn run(self, session: &Session) -> Result<(), Failure> {
        block_on(async {
            match self.command {
                TopicCommand::Create(args) => args.run(session).await,
                TopicCommand::List(args) => args.run(session).await,
                TopicCommand::Describe(args) => args.run(session).await,
                TopicCommand::Alter(args) => args.run(session).await,
                TopicCommand::AddPartitions(args) => args.run(session).await,
                TopicCommand::Delete(args) => args.run(session).await,
                TopicCommand::DeleteRecords(args) => args.run(session).await,
                TopicCommand::Offsets(args) => args.run(session).await,
            }
        })
    }
}

/// `KEY=VALUE` of `-c`.
pub(crate) fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("write KEY=VALUE, such as retention.ms=7d".to_owned()),
    }
}

/// The overrides of one command; a key may be given once.
fn overrides(pairs: Vec<(String, String)>) -> Result<BTreeMap<String, String>, Failure> {
    let mut config = BTreeMap::new();
    for (key, value) in pairs {
        if config.contains_key(&key) {
            return Err(Failure::usage(format!("{key} is given twice")));
        }
        config.insert(key, value);
    }
    Ok(config)
}
