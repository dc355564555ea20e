//! `broker plugin resume`.

use broker_client::Retries;
use broker_client::protocol::api::resume_plugin::ResumePluginRequest;
use clap::Args;
use serde_json::json;

use super::deployed::plugin_failure;
use crate::failure::Failure;
use crate::runtime::block_on;
use crate::session::Session;

/// End the suspension of a plugin
///
/// A plugin that trapped three times within a minute in a topic is suspended there: its fallback answers, or
/// producers get errors that can be retried, or data is kept, as its kind has it.
/// `broker plugin describe` says why, `broker plugin logs` what it wrote, and `broker cluster describe`
/// which topics do without it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker plugin resume by-region
  broker plugin resume by-region --json")]
pub(super) struct ResumeArgs {
    /// Name of the plugin
    name: String,
}

impl ResumeArgs {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let request = ResumePluginRequest { name: self.name };
        let resumed = block_on(async {
            let client = session.connect().await?;
            match client.request_any(&request, Retries::AtLeastOnce).await {
                Ok(resumed) => Ok(resumed),
                Err(error) => Err(plugin_failure(&client, &request.name, error).await),
            }
        })?;
        let name = &request.name;
        let shown = json!({ "name": name, "was_suspended": resumed.was_suspended });
        session
            .output
            .show(&shown, |_| match resumed.was_suspended {
                true => format!("{name} is active again"),
                false => format!("{name} was not suspended"),
            })
    }
}
