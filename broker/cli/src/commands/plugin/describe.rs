//! `broker plugin describe`: everything about one plugin: what `list` knows of it, the other modules
//! that topics still run under its name, and its revisions if it was deployed.

use std::fmt::Write;
use std::time::Duration;

use broker_client::Retries;
use broker_client::protocol::ErrorCode;
use broker_client::protocol::WireError;
use broker_client::protocol::api::list_plugins::PluginEntry;
use broker_client::protocol::api::plugin_history::{PluginHistoryRequest, PluginHistoryResponse};
use clap::Args;
use serde::Serialize;

use super::history;
use crate::failure::Failure;
use crate::output::{bytes, duration, number, time};
use crate::runtime::block_on;
use crate::session::{Session, nearest};

/// Describe a plugin: state, limits, options, topics, counters, revisions
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker plugin describe key-hash
  broker plugin describe by-region --json")]
pub(super) struct DescribeArgs {
    /// Name of the plugin
    name: String,
}

#[derive(Serialize)]
struct Described {
    /// One for each revision that a topic still runs, the present one first.
    #[serde(flatten)]
    plugin: PluginEntry,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    also_running: Vec<PluginEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<PluginHistoryResponse>,
}

impl DescribeArgs {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let (plugins, history) = block_on(async {
            let client = session.connect().await?;
            let plugins = client.admin().list_plugins().await?;
            let request = PluginHistoryRequest {
                name: self.name.clone(),
            };
            let history = match client.request_any(&request, Retries::AtLeastOnce).await {
                Ok(history) => Some(history),
                // Shipped plugins and those of the manifest have none.
                Err(error) if error.code() == Some(ErrorCode::UnknownPlugin) => None,
                Err(error) => return Err(error.into()),
            };
            Ok((plugins, history))
        })?;
        let (own, others): (Vec<_>, Vec<_>) = plugins
            .into_iter()
            .partition(|plugin| plugin.name == self.name);
        let mut own = own.into_iter();
        let Some(plugin) = own.next() else {
            let names = others.iter().map(|plugin| plugin.name.as_str());
            let hint = match nearest(&self.name, names) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => "see `broker plugin list`".to_owned(),
            };
            let code = ErrorCode::UnknownPlugin;
            let error = WireError::new(code, format!("there is no plugin {:?}", self.name));
            return Err(Failure::failed(error.to_string()).with_hint(hint));
        };
        let described = Described {
            plugin,
            also_running: own.collect(),
            history: history.filter(|history| !history.revisions.is_empty()),
        };
        session.output.show(&described, text)
    }
}

fn text(described: &Described) -> String {
    let mut text = entry(&described.plugin);
    let also_running = described.also_running.iter();
    for other in also_running.filter(|other| !other.pinned.is_empty()) {
        let _ = write!(text, "\nstill run by topics:\n{}", entry(other));
    }
    if let Some(revisions) = &described.history {
        let _ = write!(text, "\n{}", history::text(revisions));
    }
    text
}

fn entry(plugin: &PluginEntry) -> String {
    let list = |items: &[String]| match items {
        [] => "none".to_owned(),
        some => some.join(", "),
    };
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<11} {value}");
    };
    let revision = plugin
        .revision
        .map(|revision| format!(", revision {revision}"));
    line("plugin", format!("{} {}", plugin.name, plugin.version));
    line("kind", plugin.kind.clone());
    line(
        "source",
        format!("{}{}", plugin.source, revision.unwrap_or_default()),
    );
    line("sha256", plugin.digest.clone());
    line("state", state(plugin));
    if let Some(fallback) = &plugin.fallback {
        line("fallback", fallback.clone());
    }
    let options = plugin.options.iter();
    let options: Vec<_> = options
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    line("options", list(&options));
    line("limits", limits(plugin));
    // A module that the name no longer means has only topics that are bound to it.
    let topics = match plugin.topics.as_slice() {
        [] => plugin.pinned.as_slice(),
        some => some,
    };
    line("topics", list(topics));
    if plugin.pinned != topics {
        line("bound", list(&plugin.pinned));
    }
    line(
        "calls",
        format!(
            "{} with {} records, {} in all",
            number(plugin.calls),
            number(plugin.records),
            time_in_calls(plugin)
        ),
    );
    line(
        "failures",
        format!(
            "{} errors, {} of them traps; {} answered by the fallback, {} suspensions",
            number(plugin.errors),
            number(plugin.traps),
            number(plugin.fallbacks),
            number(plugin.suspensions)
        ),
    );
    line("memory", bytes(plugin.memory_bytes));
    text
}

/// The time that all calls took; none for a plugin that was never called.
pub(super) fn time_in_calls(plugin: &PluginEntry) -> String {
    match plugin.calls {
        0 => "-".to_owned(),
        _ => duration(Duration::from_micros(plugin.time_us)),
    }
}

fn state(plugin: &PluginEntry) -> String {
    match (&plugin.suspended_since_ms, &plugin.suspended_reason) {
        (Some(since), reason) => format!(
            "{} for {} since {}: {}",
            plugin.state,
            plugin.suspended_topics.join(", "),
            time(*since),
            reason.as_deref().unwrap_or("no reason given")
        ),
        _ => plugin.state.clone(),
    }
}

fn limits(plugin: &PluginEntry) -> String {
    let limits = &plugin.limits;
    let mut text = format!(
        "{} for a call, {} of memory, {} of output",
        duration(Duration::from_millis(limits.call_ms_max)),
        bytes(limits.memory_bytes_max),
        bytes(limits.output_bytes_max)
    );
    if let Some(budget) = limits.budget_ms_max {
        let _ = write!(
            text,
            ", {} for a cleaning",
            duration(Duration::from_millis(budget))
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_that_was_never_called_took_no_time() {
        let mut plugin = PluginEntry::default();
        assert_eq!(time_in_calls(&plugin), "-");
        plugin.calls = 1;
        assert_eq!(time_in_calls(&plugin), "0.00 µs");
    }

    #[test]
    fn a_module_that_the_name_meant_before_is_shown_while_topics_run_it() {
        let mut described = Described {
            plugin: PluginEntry::default(),
            also_running: vec![PluginEntry::default()],
            history: None,
        };
        assert!(!text(&described).contains("still run"));
        described.also_running[0].pinned.push("orders".to_owned());
        let text = text(&described);
        let (_, still) = text.split_once("still run by topics:").unwrap();
        assert!(still.contains("topics      orders"), "{text}");
        assert!(!still.contains("bound"), "{text}");
    }
}
