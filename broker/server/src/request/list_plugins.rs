//! `list_plugins`: what is installed, which topics use it, and what it has cost.

use std::sync::Arc;

use broker_model::Timestamp;
use broker_protocol::WireError;
use broker_protocol::api::list_plugins::{
    ListPluginsRequest, ListPluginsResponse, PluginEntry, PluginLimits,
};
use broker_wasm::{Plugin, PluginKind, PluginSource, PluginState};

use crate::context::Context;

/// Lists every plugin.
pub(super) async fn handle(
    context: Arc<Context>,
    _: ListPluginsRequest,
) -> Result<ListPluginsResponse, WireError> {
    let plugins = context
        .plugins
        .all()
        .map(|plugin| describe(&context, plugin))
        .collect();
    Ok(ListPluginsResponse { plugins })
}

fn describe(context: &Context, plugin: &Plugin) -> PluginEntry {
    let usage = plugin.counters().usage();
    let limits = plugin.limits();
    let hosted = context.topics.all();
    let users = hosted
        .values()
        .filter(|topic| topic.config.partitioner == plugin.name());
    let mut topics: Vec<String> = users.map(|topic| topic.name.to_string()).collect();
    topics.sort();
    let state = plugin.state();
    let (suspended_since_ms, suspended_reason) = match &state {
        PluginState::Active => (None, None),
        PluginState::Suspended { since, reason } => {
            (Some(Timestamp::from_millis(*since)), Some(reason.clone()))
        }
    };
    PluginEntry {
        name: plugin.name().to_owned(),
        version: plugin.version().to_owned(),
        kind: plugin.kind().to_string(),
        digest: plugin.module().digest().to_owned(),
        source: match plugin.source() {
            PluginSource::Builtin => "builtin".to_owned(),
            PluginSource::Deployed => "deployed".to_owned(),
            PluginSource::File(path) => path.display().to_string(),
        },
        revision: None,
        state: state.name().to_owned(),
        suspended_since_ms,
        suspended_reason,
        fallback: plugin.fallback().map(|other| other.name().to_owned()),
        options: plugin.options().iter().cloned().collect(),
        limits: PluginLimits {
            call_ms_max: u64::try_from(limits.deadline.as_millis()).unwrap_or(u64::MAX),
            memory_bytes_max: limits.memory_bytes as u64,
            output_bytes_max: limits.output_bytes as u64,
            budget_ms_max: (plugin.kind() == PluginKind::Compaction)
                .then(|| u64::try_from(limits.budget.as_millis()).unwrap_or(u64::MAX)),
        },
        topics,
        pinned: Vec::new(),
        calls: usage.calls,
        records: usage.records,
        errors: usage.errors,
        traps: usage.traps,
        time_us: usage.time_ns / 1_000,
        memory_bytes: usage.memory_bytes,
        fallbacks: usage.fallbacks,
        suspensions: usage.suspensions,
    }
}
