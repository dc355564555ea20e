//! `broker topic delete`.

use broker_client::protocol::ErrorCode;
use clap::Args;
use serde::Serialize;

use crate::exit_status::ExitStatus;
use crate::failure::Failure;
use crate::session::{Session, topic_failure};

/// Delete topics and all their records, at once and for good
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker topic delete orders
  broker topic delete clicks payments --if-exists")]
pub(super) struct DeleteArgs {
    /// Names of the topics
    #[arg(required = true, value_name = "TOPIC")]
    names: Vec<String>,

    /// Accept that a topic does not exist
    #[arg(long)]
    if_exists: bool,
}

#[derive(Serialize)]
struct Deleted<'a> {
    name: &'a str,
    deleted: bool,
}

impl DeleteArgs {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.connect().await?;
        let mut any = false;
        for name in &self.names {
            let answered = client.admin().delete_topic(name).await;
            let deleted = match answered {
                Ok(_) => true,
                Err(error)
                    if self.if_exists
                        && error.code() == Some(ErrorCode::UnknownTopicOrPartition) =>
                {
                    false
                }
                Err(error) => {
                    let failure = topic_failure(&client, name, error).await;
                    let partial = any && failure.status() == ExitStatus::Failed;
                    return Err(if partial {
                        failure.with_status(ExitStatus::Partial)
                    } else {
                        failure
                    });
                }
            };
            any |= deleted;
            session
                .output
                .show(&Deleted { name, deleted }, |_| match deleted {
                    true => format!("{name} deleted"),
                    false => format!("{name} does not exist"),
                })?;
        }
        Ok(())
    }
}
