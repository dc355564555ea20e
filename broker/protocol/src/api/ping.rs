//! `ping`: answers at once, touching nothing but the clock. Keeps a connection from being idle and
//! tells whether the other side is still there.

use broker_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::call::plain_call;
use crate::wire;

/// Arguments of `ping`: none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingRequest {}

/// Result of `ping`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingResponse {
    /// The broker's wall clock.
    #[serde(with = "wire", default)]
    pub time_ms: Timestamp,
}

plain_call!(Ping, PingRequest => PingResponse);
