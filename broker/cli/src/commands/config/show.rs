//! `broker config show`.

use broker_client::model::BrokerId;
use clap::Args;

use crate::commands::topic::describe::config_table;
use crate::failure::Failure;
use crate::runtime::block_on;
use crate::session::{Session, topic_failure};

/// Show the configuration that a running broker, or a topic, has in force
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker config show
  broker config show --topic orders
  broker config show --set --json")]
pub(super) struct ShowArgs {
    /// A topic instead of a broker
    #[arg(long, value_name = "NAME", conflicts_with = "broker")]
    topic: Option<String>,

    /// This broker instead of the one that answers
    #[arg(long, value_name = "ID")]
    broker: Option<u32>,

    /// Only keys that somebody set
    #[arg(long)]
    set: bool,
}

impl ShowArgs {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let entries = block_on(async {
            let client = session.connect().await?;
            let admin = client.admin();
            let Some(topic) = &self.topic else {
                return Ok(admin
                    .describe_broker_configs(self.broker.map(BrokerId::new))
                    .await?);
            };
            match admin.describe_topic_configs(topic).await {
                Ok(entries) => Ok(entries),
                Err(error) => Err(topic_failure(&client, topic, error).await),
            }
        })?;
        let shown: Vec<_> = entries
            .into_iter()
            .filter(|entry| !self.set || entry.source != "default")
            .collect();
        session
            .output
            .show(&shown, |shown| config_table(shown.iter()).to_string())
    }
}
