//! `broker topic list`.

use clap::Args;

use crate::failure::Failure;
use crate::output::{Align, Table};
use crate::session::Session;

/// List topics
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker topic list
  broker topic list --internal
  broker topic list --json")]
pub(super) struct ListArgs {
    /// List the broker's own topics as well
    #[arg(long)]
    internal: bool,
}

impl ListArgs {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.connect().await?;
        let mut topics = client.admin().list_topics().await?;
        topics.retain(|topic| self.internal || !topic.internal);
        if topics.is_empty() {
            session
                .output
                .note("no topics yet: create one with `broker topic create NAME`");
        }
        session.output.show(&topics, |topics| {
            let mut table = Table::new(&[
                ("TOPIC", Align::Left),
                ("PARTITIONS", Align::Right),
                ("REPLICAS", Align::Right),
                ("ID", Align::Left),
                ("STATE", Align::Left),
            ]);
            for topic in topics {
                let copies = topic
                    .partitions
                    .first()
                    .map_or(0, |first| first.replicas.len());
                let unusable = topic
                    .partitions
                    .iter()
                    .filter(|p| p.leader.is_none() || p.error.is_some());
                let state = match unusable.count() {
                    0 => "ok".to_owned(),
                    count => format!("{count} partition(s) offline"),
                };
                table.row([
                    topic.name.clone(),
                    topic.partitions.len().to_string(),
                    copies.to_string(),
                    topic.topic_id.map(|id| id.to_string()).unwrap_or_default(),
                    state,
                ]);
            }
            if table.is_empty() {
                String::new()
            } else {
                table.to_string()
            }
        })
    }
}
