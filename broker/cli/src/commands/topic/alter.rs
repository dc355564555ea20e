//! `broker topic alter`.

use broker_client::Retries;
use broker_client::protocol::api::alter_topic::AlterTopicRequest;
use clap::Args;

use super::{assignment, overrides};
use crate::failure::Failure;
use crate::session::{Session, topic_failure};

/// Change the configuration of a topic
///
/// All changes are made, or none. They take effect at once. A key that is unset follows the
/// broker's default again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker topic alter orders -c retention.ms=7d -c retention.bytes=10GiB
  broker topic alter orders --unset retention.ms
  broker topic alter orders -c flush.mode=async --dry-run")]
pub(super) struct AlterArgs {
    /// Name of the topic
    name: String,

    /// A configuration override to set; may be repeated
    #[arg(short, long = "config", value_name = "KEY=VALUE", value_parser = assignment, required_unless_present = "unset")]
    config: Vec<(String, String)>,

    /// A configuration override to drop; may be repeated
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,

    /// Check everything, change nothing
    #[arg(long)]
    dry_run: bool,
}

impl AlterArgs {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let request = AlterTopicRequest {
            name: self.name.clone(),
            set: overrides(self.config)?,
            unset: self.unset,
            validate_only: self.dry_run,
        };
        let client = session.connect().await?;
        let answered = client.request_any(&request, Retries::OnlyDefinite).await;
        let altered = match answered {
            Ok(altered) => altered,
            Err(error) => return Err(topic_failure(&client, &self.name, error).await),
        };
        session.output.warn_all(&altered.warnings);
        session.output.show(&altered, |altered| {
            let verb = if self.dry_run {
                "could be altered"
            } else {
                "altered"
            };
            let overrides: Vec<String> = altered
                .config
                .iter()
                .map(|(key, value)| format!("\n  {key} = {value}"))
                .collect();
            match overrides.as_slice() {
                [] => format!("{} {verb}; it has no overrides", self.name),
                some => format!("{} {verb}; its overrides:{}", self.name, some.concat()),
            }
        })
    }
}
