//! Before a topic's configuration is accepted, its plugins are tried: a topic that names a plugin which
//! is not there, or options it refuses, is refused now and not at the first record.

use std::collections::BTreeMap;

use broker_cluster::TopicConfig;
use broker_protocol::WireError;

use super::wire;
use crate::context::Context;

/// Tries the plugins that `overrides` would give a topic. Overrides that are wrong in another way are the
/// controller's to refuse.
pub(super) fn check(
    context: &Context,
    topic: &str,
    overrides: &BTreeMap<String, String>,
) -> Result<(), WireError> {
    let Ok(config) = TopicConfig::resolve(overrides, &context.config.creation.topic) else {
        return Ok(());
    };
    context
        .plugins
        .check(topic, &config)
        .map_err(|error| wire::routing_error(&error))
}
