//! `list_actors`: the live actors of the broker that answers, their mailboxes and restarts. A
//! snapshot: the numbers of two actors need not belong to the same moment.

use serde::{Deserialize, Serialize};

use crate::call::plain_call;

/// Arguments of `list_actors`: none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListActorsRequest {}

/// Result of `list_actors`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListActorsResponse {
    /// Actors, by kind and name.
    pub actors: Vec<ActorEntry>,
}

/// One actor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ActorEntry {
    /// `broker`, `controller`, `partition`, …
    pub kind: String,
    /// Which one of its kind, such as `orders-0`.
    pub name: String,
    /// `running` or `offline`.
    pub state: String,
    /// Messages waiting.
    pub mailbox_depth: u64,
    /// Messages handled since it started first.
    pub handled: u64,
    /// How often it was restarted after a crash.
    pub restarts: u64,
}

plain_call!(ListActors, ListActorsRequest => ListActorsResponse);
