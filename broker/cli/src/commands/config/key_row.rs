//! `KeyRow`: a configuration key as JSON and tables show it.

use broker_server::config::{BrokerKey, Explanation, Level};
use serde::Serialize;

/// A key with everything there is to say about it.
#[derive(Serialize)]
pub(super) struct KeyRow {
    pub(super) key: &'static str,
    pub(super) level: &'static str,
    pub(super) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unit: Option<&'static str>,
    pub(super) default: &'static str,
    pub(super) allowed: String,
    pub(super) documentation: &'static str,
    pub(super) consequence: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) environment: Option<String>,
    /// The broker key that a topic key overrides, or the topic key that overrides a broker key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) counterpart: Option<&'static str>,
}

impl KeyRow {
    /// A key of the broker.
    pub(super) fn of_broker(row: &'static BrokerKey) -> Self {
        let level = Level::Broker(row);
        Explanation {
            key: row.key,
            level,
        }
        .into()
    }

    /// The key under which topics override a key of the broker, if they can.
    pub(super) fn of_topics(row: &'static BrokerKey) -> Option<Self> {
        let key = row.key.renamed(row.topic_name?);
        let level = Level::Broker(row);
        Some(Self {
            level: "topic",
            environment: None,
            counterpart: Some(row.key.name),
            ..Explanation { key, level }.into()
        })
    }
}

impl From<Explanation> for KeyRow {
    fn from(explanation: Explanation) -> Self {
        let key = explanation.key;
        let (level, environment, counterpart) = match explanation.level {
            Level::Broker(row) => ("broker", Some(row.variable()), row.topic_name),
            Level::Topic(row) => ("topic", None, Some(row.broker_name)),
        };
        Self {
            key: key.name,
            level,
            kind: key.kind_name(),
            unit: key.unit(),
            default: key.default,
            allowed: key.allowed(),
            documentation: key.documentation,
            consequence: key.consequence,
            environment,
            counterpart,
        }
    }
}
