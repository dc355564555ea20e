//! `create_topic`: creates a topic, or with `validate_only` says whether it could.

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
