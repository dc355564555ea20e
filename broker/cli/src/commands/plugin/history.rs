//! `broker plugin history`.

use broker_client::Retries;
use broker_client::protocol::LimitOverrides;
use broker_client::protocol::api::plugin_history::{
    PluginHistoryRequest, PluginHistoryResponse, PluginRevision,
};
use clap::Args;

use super::deployed::plugin_failure;
use crate::failure::Failure;
use crate::output::{Align, Table, bytes, time};
use crate::runtime::block_on;
use crate::session::Session;

/// Show the revisions of a deployed plugin
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker plugin history by-region
  broker plugin history by-region --json")]
pub(super) struct HistoryArgs {
    /// Name of the plugin
    name: String,
}

impl HistoryArgs {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let request = PluginHistoryRequest { name: self.name };
        let history = block_on(async {
            let client = session.connect().await?;
            match client.request_any(&request, Retries::AtLeastOnce).await {
                Ok(history) => Ok(history),
                Err(error) => Err(plugin_failure(&client, &request.name, error).await),
            }
        })?;
        session.output.show(&history, text)
    }
}

/// The revisions, the present one marked.
pub(super) fn text(history: &PluginHistoryResponse) -> String {
    let mut table = Table::new(&[
        ("REVISION", Align::Right),
        ("KIND", Align::Left),
        ("VERSION", Align::Left),
        ("SHA256", Align::Left),
        ("SIZE", Align::Right),
        ("SINCE", Align::Left),
        ("BY", Align::Left),
        ("OPTIONS", Align::Left),
        ("LIMITS", Align::Left),
        ("FALLBACK", Align::Left),
    ]);
    for revision in &history.revisions {
        table.row(row(revision));
    }
    let mut text = table.to_string();
    if let Some(removed_at) = history.removed_at_ms {
        text.push_str(&format!("removed at {}\n", time(removed_at)));
    }
    text
}

fn row(revision: &PluginRevision) -> [String; 10] {
    let options = revision.options.iter();
    let options: Vec<_> = options
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let by = match revision.rollback_to {
        Some(number) => format!("{} to {number}", revision.from),
        None => revision.from.clone(),
    };
    [
        revision.revision.to_string(),
        revision.kind.clone(),
        revision.version.clone(),
        revision.digest.chars().take(12).collect(),
        bytes(revision.size_bytes),
        time(revision.at_ms),
        by,
        options.join(" "),
        limits(&revision.limits),
        revision.fallback.clone().unwrap_or_default(),
    ]
}

fn limits(limits: &LimitOverrides) -> String {
    let millis = |ms: u64| format!("{ms}ms");
    let set = [
        limits
            .deadline_ms
            .map(|ms| format!("deadline={}", millis(ms))),
        limits
            .memory_bytes
            .map(|size| format!("memory={}", bytes(size).replace(' ', ""))),
        limits
            .output_bytes
            .map(|size| format!("output={}", bytes(size).replace(' ', ""))),
        limits.budget_ms.map(|ms| format!("budget={}", millis(ms))),
    ];
    set.into_iter().flatten().collect::<Vec<_>>().join(" ")
}
