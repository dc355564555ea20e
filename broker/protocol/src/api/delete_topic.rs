//! `delete_topic`: deletes a topic and all of its data. With an id it deletes that very topic and
//! never a younger one of the same name.

use broker_model::TopicId;
use serde::{Deserialize, Serialize};

use crate::call::plain_call;
use crate::wire;

/// Arguments of `delete_topic`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteTopicRequest {
    /// Name of the topic.
    pub name: String,
    /// Delete it only if it still has this id; missing means whatever its id is.
    #[serde(with = "wire", default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<TopicId>,
}

/// Result of `delete_topic`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeleteTopicResponse {
    /// Id of the topic that was deleted.
    #[serde(with = "wire", skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<TopicId>,
}

plain_call!(DeleteTopic, DeleteTopicRequest => DeleteTopicResponse);
