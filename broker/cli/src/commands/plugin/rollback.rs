//! `broker plugin rollback`.

use broker_client::protocol::ErrorCode;
use broker_client::protocol::api::rollback_plugin::RollbackPluginRequest;
use broker_client::{Client, ClientError, Retries};
use clap::Args;

use super::deployed::{plugin_failure, text};
use crate::failure::Failure;
use crate::runtime::block_on;
use crate::session::Session;

/// Go back to an earlier revision of a deployed plugin
///
/// The earlier revision is deployed once more, with the options and limits it had, and gets a new
/// number. Topics that use the name run it from then on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker plugin rollback by-region
  broker plugin rollback by-region --revision 3")]
pub(super) struct RollbackArgs {
    /// Name of the plugin
    name: String,

    /// The revision to go back to (see `broker plugin history`) [default: the one before]
    #[arg(long, value_name = "NUMBER")]
    revision: Option<u32>,
}

impl RollbackArgs {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let request = RollbackPluginRequest {
            name: self.name,
            revision: self.revision,
        };
        let deployed = block_on(async {
            let client = session.connect().await?;
            match client.request_any(&request, Retries::OnlyDefinite).await {
                Ok(deployed) => Ok(deployed),
                Err(error) => Err(refused(&client, &request.name, error).await),
            }
        })?;
        session.output.warn_all(&deployed.warnings);
        session
            .output
            .show(&deployed, |deployed| text(deployed, "is now"))
    }
}

/// Options, limits and the fallback are those of the earlier revision.
async fn refused(client: &Client, name: &str, error: ClientError) -> Failure {
    let code = error.code();
    let failure = plugin_failure(client, name, error).await;
    match code {
        Some(ErrorCode::InvalidConfig) => failure.with_hint(format!(
            "an earlier revision comes back with the options, limits and fallback it had: see \
             `broker plugin history {name}`"
        )),
        _ => failure,
    }
}
