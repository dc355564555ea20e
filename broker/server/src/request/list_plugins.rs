//! `list_plugins`: what is offered, what topics are pinned to beside it, and what each has cost.

use std::sync::Arc;

use broker_model::Timestamp;
use broker_protocol::WireError;
use broker_protocol::api::list_plugins::{
    ListPluginsRequest, ListPluginsResponse, PluginEntry, PluginLimits,
};
use broker_wasm::{Plugin, PluginKind, PluginSource, PluginState};

use crate::context::Context;

/// So many of the topics are listed for which a plugin is suspended.
const SUSPENDED_TOPICS_LISTED: usize = 100;

/// Lists every plugin, and under its own digest each module that a name no longer means but topics run.
pub(super) async fn handle(
    context: Arc<Context>,
    _: ListPluginsRequest,
) -> Result<ListPluginsResponse, WireError> {
    let offered = context.plugins.offered().clone();
    let mut plugins: Vec<PluginEntry> = offered
        .plugins()
        .map(|plugin| describe(&context, plugin, Meaning::Present))
        .collect();
    let pinned = context.plugins.pinned();
    let pinned = pinned
        .iter()
        .filter(|plugin| !users(&context, plugin).is_empty());
    plugins.extend(pinned.map(|plugin| describe(&context, plugin, Meaning::Past)));
    plugins.sort_by(|a, b| (&a.kind, &a.name).cmp(&(&b.kind, &b.name)));
    Ok(ListPluginsResponse { plugins })
}

/// Whether a plugin is what its name means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Present,
    Past,
}

fn describe(context: &Context, plugin: &Arc<Plugin>, meaning: Meaning) -> PluginEntry {
    let usage = plugin.counters().usage();
    let digest = plugin.module().digest();
    let metadata = context.metadata.load();
    let revision = metadata.plugins().get(plugin.name()).and_then(|deployed| {
        let mut newest_first = deployed.history.iter().rev();
        newest_first.find(|deployment| deployment.digest == digest)
    });
    let (state, mut suspended_topics) = plugin.suspended_topics();
    suspended_topics.truncate(SUSPENDED_TOPICS_LISTED);
    let state_name = state.name().to_owned();
    let (since, reason) = match state {
        PluginState::Active => (None, None),
        PluginState::Suspended { since, reason } => {
            (Some(Timestamp::from_millis(since)), Some(reason))
        }
    };
    let pinned = users(context, plugin);
    PluginEntry {
        name: plugin.name().to_owned(),
        version: plugin.version().to_owned(),
        kind: plugin.kind().to_string(),
        digest: digest.to_owned(),
        source: match plugin.source() {
            PluginSource::Builtin => "builtin".to_owned(),
            PluginSource::File(path) => path.display().to_string(),
            PluginSource::Deployed => "deployed".to_owned(),
        },
        revision: revision.map(|deployment| deployment.revision),
        state: state_name,
        suspended_since_ms: since,
        suspended_reason: reason,
        suspended_topics,
        options: plugin.options().iter().cloned().collect(),
        fallback: plugin.fallback().map(|fallback| fallback.name().to_owned()),
        limits: limits(plugin),
        topics: match meaning {
            Meaning::Present => pinned.clone(),
            Meaning::Past => Vec::new(),
        },
        pinned,
        calls: usage.calls,
        records: usage.records,
        errors: usage.errors,
        traps: usage.traps,
        fallbacks: usage.fallbacks,
        suspensions: usage.suspensions,
        time_us: usage.time_ns / 1_000,
        memory_bytes: usage.memory_bytes,
    }
}

/// What a call may use.
fn limits(plugin: &Plugin) -> PluginLimits {
    let limits = plugin.limits();
    let millis =
        |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    PluginLimits {
        call_ms_max: millis(limits.deadline),
        memory_bytes_max: limits.memory_bytes as u64,
        output_bytes_max: limits.output_bytes as u64,
        budget_ms_max: (plugin.kind() == PluginKind::Compaction).then(|| millis(limits.budget)),
    }
}

/// Topics of which a slot runs this very plugin.
pub(super) fn users(context: &Context, plugin: &Arc<Plugin>) -> Vec<String> {
    let hosted = context.topics.all();
    let runs = |bound: &Arc<Plugin>| {
        bound.name() == plugin.name() && bound.module().digest() == plugin.module().digest()
    };
    let mut users: Vec<String> = hosted
        .values()
        .filter(|topic| {
            let mut slots = topic.plugins.slots();
            slots.any(|(_, slot)| slot.as_ref().is_ok_and(|slot| runs(&slot.plugin)))
        })
        .map(|topic| topic.name.to_string())
        .collect();
    users.sort();
    users
}
