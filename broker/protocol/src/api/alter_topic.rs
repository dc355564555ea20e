//! `alter_topic`: sets and unsets configuration overrides of a topic, all of them or none. Which
//! keys and values there are is not known here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::call::plain_call;
use crate::wire;

/// Arguments of `alter_topic`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterTopicRequest {
    /// Name of the topic.
    pub name: String,
    /// Overrides to set.
    #[serde(with = "wire::config", default)]
    pub set: BTreeMap<String, String>,
    /// Keys that fall back to the broker's default.
    #[serde(default)]
    pub unset: Vec<String>,
    /// Check everything, change nothing. Default false.
    #[serde(default)]
    pub validate_only: bool,
}

/// Result of `alter_topic`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AlterTopicResponse {
    /// All overrides now in force.
    #[serde(with = "wire::config")]
    pub config: BTreeMap<String, String>,
    /// What the caller may want to know.
    pub warnings: Vec<String>,
}

plain_call!(AlterTopic, AlterTopicRequest => AlterTopicResponse);
