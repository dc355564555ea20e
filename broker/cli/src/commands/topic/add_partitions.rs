//! `broker topic add-partitions`.

use clap::Args;

use crate::failure::Failure;
use crate::session::{Session, topic_failure};

/// Add partitions to a topic
///
/// Existing records stay where they are, so from then on a key may go to another partition than
/// its earlier records. Partitions are never taken away.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker topic add-partitions orders --to 8
  broker topic add-partitions orders --by 2")]
pub(super) struct AddPartitionsArgs {
    /// Name of the topic
    name: String,

    /// How many partitions it shall have in all
    #[arg(
        long,
        value_name = "TOTAL",
        required_unless_present = "by",
        conflicts_with = "by"
    )]
    to: Option<u32>,

    /// How many partitions to add
    #[arg(long, value_name = "COUNT")]
    by: Option<u32>,
}

impl AddPartitionsArgs {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.connect().await?;
        let total = match (self.to, self.by) {
            (Some(total), _) => total,
            (None, by) => {
                let topic = match client.topic(&self.name).await {
                    Ok(topic) => topic,
                    Err(error) => return Err(topic_failure(&client, &self.name, error).await),
                };
                let present = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
                present.saturating_add(by.unwrap_or(0))
            }
        };
        let answered = client.admin().create_partitions(&self.name, total).await;
        let grown = match answered {
            Ok(grown) => grown,
            Err(error) => return Err(topic_failure(&client, &self.name, error).await),
        };
        session.output.warn_all(&grown.warnings);
        session.output.show(&grown, |grown| {
            format!("{} has {} partitions now", grown.name, grown.partitions)
        })
    }
}
