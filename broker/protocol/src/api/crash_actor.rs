//! `crash_actor`: makes an actor panic, so that supervision can be seen from outside. Refused
//! unless the broker was started with fault injection.

use serde::{Deserialize, Serialize};

use crate::call::plain_call;

/// Arguments of `crash_actor`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashActorRequest {
    /// Kind of the actor, as `list_actors` shows it.
    pub kind: String,
    /// Name of the actor, as `list_actors` shows it. Default empty.
    #[serde(default)]
    pub name: String,
}

/// Result of `crash_actor`: empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashActorResponse {}

plain_call!(CrashActor, CrashActorRequest => CrashActorResponse);
