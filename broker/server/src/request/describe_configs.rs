//! `describe_configs`: every configuration value with where it comes from.

use std::sync::Arc;

use broker_cluster::config_key::ConfigKey;
use broker_cluster::{DescribedKey, Topic, TopicConfig};
use broker_protocol::WireError;
use broker_protocol::api::describe_configs::{
    ConfigEntry, DescribeConfigsRequest, DescribeConfigsResponse, ResourceKind,
};

use super::lookup;
use crate::config::DescribedEntry;
use crate::context::Context;

/// Describes the broker or a topic.
pub(super) async fn handle(
    context: Arc<Context>,
    request: DescribeConfigsRequest,
) -> Result<DescribeConfigsResponse, WireError> {
    let entries = match request.resource.kind {
        ResourceKind::Broker => context
            .config
            .describe()
            .into_iter()
            .map(of_broker)
            .collect(),
        ResourceKind::Topic => {
            let metadata = context.metadata.load();
            let name = &request.resource.name;
            let topic = metadata
                .topic(name)
                .ok_or_else(|| lookup::unknown_topic(name))?;
            of_topic(&context, topic)
        }
    };
    let mut entries: Vec<ConfigEntry> = entries;
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(DescribeConfigsResponse { entries })
}

/// The effective configuration of a topic.
pub(super) fn of_topic(context: &Context, topic: &Topic) -> Vec<ConfigEntry> {
    let described = TopicConfig::describe(&topic.config, &context.config.creation.topic);
    described.into_iter().map(of_topic_key).collect()
}

fn of_topic_key(key: DescribedKey) -> ConfigEntry {
    let table = key.row.map(|row| &row.key);
    ConfigEntry {
        key: key.name,
        value: key.value,
        default: Some(key.default),
        source: key.source.name().to_owned(),
        unit: unit(table),
        documentation: documentation(table),
        read_only: false,
    }
}

fn of_broker(entry: DescribedEntry) -> ConfigEntry {
    let key = &entry.row.key;
    ConfigEntry {
        key: key.name.to_owned(),
        value: entry.value,
        default: Some(key.default.to_owned()),
        source: entry.origin.to_string(),
        unit: unit(Some(key)),
        documentation: documentation(Some(key)),
        read_only: entry.read_only,
    }
}

fn unit(key: Option<&ConfigKey>) -> String {
    key.and_then(ConfigKey::unit).unwrap_or_default().to_owned()
}

fn documentation(key: Option<&ConfigKey>) -> String {
    key.map_or_else(
        || "An option of one of the topic's plugins.".to_owned(),
        |key| key.documentation.to_owned(),
    )
}
