//! `describe_configs`: the effective configuration of a broker or a topic, each key with its
//! default, its source and its documentation.

use serde::{Deserialize, Serialize};

use crate::call::plain_call;

/// Arguments of `describe_configs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeConfigsRequest {
    /// What to describe.
    pub resource: ConfigResource,
}

/// Something that has a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigResource {
    /// Broker or topic.
    pub kind: ResourceKind,
    /// Topic name; for a broker its id, or empty for the broker that answers. Default empty.
    #[serde(default)]
    pub name: String,
}

/// Kinds of things that have a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKind {
    /// A broker.
    Broker,
    /// A topic.
    Topic,
}

/// Result of `describe_configs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DescribeConfigsResponse {
    /// Every key, sorted.
    pub entries: Vec<ConfigEntry>,
}

/// One key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigEntry {
    /// Its name.
    pub key: String,
    /// Its value in force.
    pub value: String,
    /// What it would be if nobody set it; absent when it has no default.
    pub default: Option<String>,
    /// Where the value comes from: for a topic `topic`, `broker` or `default`; for a broker
    /// `default` or, in words, the place where it was set.
    pub source: String,
    /// Its unit: `bytes`, `ms`, …; empty when it has none.
    pub unit: String,
    /// What it does.
    pub documentation: String,
    /// Whether it is fixed while the broker runs.
    pub read_only: bool,
}

plain_call!(DescribeConfigs, DescribeConfigsRequest => DescribeConfigsResponse);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Request;

    #[test]
    fn a_broker_needs_no_name_and_other_kinds_are_refused() {
        let decode = |args: &'static [u8]| DescribeConfigsRequest::decode(&args.into());
        let own = decode(b"\x81\xA8resource\x81\xA4kind\xA6broker").unwrap();
        assert_eq!(
            own.resource,
            ConfigResource {
                kind: ResourceKind::Broker,
                name: String::new()
            }
        );
        let error = decode(b"\x81\xA8resource\x81\xA4kind\xA5group").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`resource.kind`: unknown variant `group`, expected `broker` or `topic`"
        );
    }
}
