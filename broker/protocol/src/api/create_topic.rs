//! `create_topic`: creates a topic, or with `validate_only` says whether it could. The name is plain
//! text in here, so that a bad one gets the error that explains the rule.

use std::collections::BTreeMap;

use broker_model::{BrokerId, TopicId};
use serde::{Deserialize, Serialize};

use crate::call::plain_call;
use crate::wire;

/// Arguments of `create_topic`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateTopicRequest {
    /// Name of the topic.
    pub name: String,
    /// Number of partitions; missing means the broker's `num.partitions`, or what `assignment` lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<u32>,
    /// Copies of each partition; missing means the broker's `default.replication.factor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_factor: Option<u32>,
    /// For each partition its brokers, the preferred leader first; missing lets the broker choose.
    #[serde(with = "wire", default, skip_serializing_if = "Option::is_none")]
    pub assignment: Option<Vec<Vec<BrokerId>>>,
    /// Configuration overrides.
    #[serde(with = "wire::config", default)]
    pub config: BTreeMap<String, String>,
    /// Check everything, create nothing. Default false.
    #[serde(default)]
    pub validate_only: bool,
}

/// Result of `create_topic`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateTopicResponse {
    /// Name of the topic.
    pub name: String,
    /// Its id; absent with `validate_only`.
    #[serde(with = "wire", default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<TopicId>,
    /// Partitions it has.
    pub partitions: u32,
    /// Copies of each.
    pub replication_factor: u32,
    /// What the caller may want to know, such as a name with both `.` and `_`.
    #[serde(default)]
    pub warnings: Vec<String>,
}

plain_call!(CreateTopic, CreateTopicRequest => CreateTopicResponse);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Request;

    #[test]
    fn configuration_values_may_be_numbers_and_booleans() {
        let args = b"\x82\xA4name\xA1t\xA6config\x84\xA1a\xCD\x03\xE8\xA1b\xC3\xA1c\xA27d\xA1d\xFF";
        let request = CreateTopicRequest::decode(&args[..].into()).unwrap();
        let config: Vec<_> = request.config.values().map(String::as_str).collect();
        assert_eq!(config, ["1000", "true", "7d", "-1"]);
    }

    #[test]
    fn a_configuration_value_is_never_nil() {
        let args = b"\x82\xA4name\xA1t\xA6config\x81\xACretention.ms\xC0";
        let error = CreateTopicRequest::decode(&args[..].into()).unwrap_err();
        assert_eq!(error.path(), "config.retention.ms");
    }

    #[test]
    fn a_negative_count_is_refused_by_name() {
        let args = b"\x82\xA4name\xA1t\xAApartitions\xFF";
        let error = CreateTopicRequest::decode(&args[..].into()).unwrap_err();
        assert_eq!(error.path(), "partitions");
    }
}
