//! `plugin_logs`: what a plugin has logged lately on this broker.

use std::sync::Arc;

use broker_model::Timestamp;
use broker_model::limits::PLUGIN_LOG_LINES_KEPT;
use broker_protocol::WireError;
use broker_protocol::api::plugin_logs::{PluginLogLine, PluginLogsRequest, PluginLogsResponse};

use super::lookup;
use crate::context::Context;

/// Tells the lines that are kept.
pub(super) async fn handle(
    context: Arc<Context>,
    request: PluginLogsRequest,
) -> Result<PluginLogsResponse, WireError> {
    let named = lookup::plugins_named(&context, &request.name)?;
    let Some(plugin) = named.first() else {
        return Ok(PluginLogsResponse::default());
    };
    let max = usize::try_from(request.max).unwrap_or(usize::MAX);
    let kept = plugin
        .log()
        .after(request.after, max.min(PLUGIN_LOG_LINES_KEPT));
    // The numbers of another module under this name, or of before a restart, mean nothing here.
    let last = plugin.log().last_sequence();
    let after = if request.after > last {
        0
    } else {
        request.after
    };
    let kept = if after == request.after {
        kept
    } else {
        plugin.log().after(0, max)
    };
    let first = kept.first().map(|line| line.sequence);
    let dropped = first.map_or(0, |first| first.saturating_sub(after + 1));
    Ok(PluginLogsResponse {
        next: kept.last().map_or(after, |line| line.sequence),
        dropped: (dropped > 0).then_some(dropped),
        lines: kept
            .into_iter()
            .map(|line| PluginLogLine {
                sequence: line.sequence,
                at_ms: Timestamp::from_millis(line.at_ms),
                level: line.level.to_owned(),
                topic: line.topic.to_string(),
                message: line.message,
            })
            .collect(),
    })
}
