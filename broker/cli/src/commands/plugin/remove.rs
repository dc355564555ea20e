//! `broker plugin remove`.

use broker_client::Retries;
use broker_client::protocol::api::remove_plugin::RemovePluginRequest;
use clap::Args;
use serde_json::json;

use super::deployed::plugin_failure;
use crate::failure::Failure;
use crate::runtime::block_on;
use crate::session::Session;

/// Remove a deployed plugin
///
/// Refused while a topic's configuration names it. Its history stays, and so do the bindings of
/// the topics that it served.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker plugin remove by-region
  broker plugin remove by-region --json")]
pub(super) struct RemoveArgs {
    /// Name of the plugin
    name: String,
}

impl RemoveArgs {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let request = RemovePluginRequest { name: self.name };
        block_on(async {
            let client = session.connect().await?;
            match client.request_any(&request, Retries::OnlyDefinite).await {
                Ok(_) => Ok(()),
                Err(error) => Err(plugin_failure(&client, &request.name, error).await),
            }
        })?;
        let removed = json!({ "name": request.name, "removed": true });
        session
            .output
            .show(&removed, |_| format!("{} is removed", request.name))
    }
}
