//! `hello`: the first request of every connection. Agrees on the protocol version and announces
//! what the broker can do and what it allows.

use broker_model::{BrokerId, limits};
use serde::{Deserialize, Serialize};

use crate::call::plain_call;
use crate::wire;
use crate::{PROTOCOL_MAX, PROTOCOL_MIN};

/// Arguments of `hello`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HelloRequest {
    /// Lowest protocol version the client speaks. Default 1.
    pub protocol_min: u32,
    /// Highest protocol version the client speaks. Default 1.
    pub protocol_max: u32,
    /// Name and version of the client, for the broker's logs. Default empty.
    pub client: String,
}

impl HelloRequest {
    /// What this build speaks, under this client name.
    pub fn new(client: impl Into<String>) -> Self {
        Self {
            client: client.into(),
            ..Self::default()
        }
    }

    /// The version both sides speak, or `None` when the ranges do not meet.
    pub fn agree(&self) -> Option<u32> {
        let highest = self.protocol_max.min(PROTOCOL_MAX);
        (highest >= self.protocol_min.max(PROTOCOL_MIN)).then_some(highest)
    }
}

impl Default for HelloRequest {
    fn default() -> Self {
        Self {
            protocol_min: PROTOCOL_MIN,
            protocol_max: PROTOCOL_MAX,
            client: String::new(),
        }
    }
}

/// Result of `hello`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloResponse {
    /// The version this connection speaks from now on.
    pub protocol: u32,
    /// Version of the broker, for people.
    #[serde(default)]
    pub broker_version: String,
    /// The cluster's id.
    #[serde(default)]
    pub cluster_id: String,
    /// The broker that answered.
    #[serde(with = "wire")]
    pub broker_id: BrokerId,
    /// What the broker can do beyond the bare protocol version.
    #[serde(default)]
    pub features: Vec<String>,
    /// Codecs it takes in produced batches.
    #[serde(default)]
    pub codecs: Vec<String>,
    /// What it allows.
    #[serde(default)]
    pub limits: AnnouncedLimits,
}

/// The limits a client has to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AnnouncedLimits {
    /// Largest frame body in bytes, both ways.
    pub frame_bytes_max: u64,
    /// Deepest nesting of arrays and maps in a frame.
    pub nesting_depth_max: u64,
    /// Requests that may be under way on this connection.
    pub in_flight_requests_max: u64,
    /// Bytes of requests that may be under way on this connection.
    pub in_flight_bytes_max: u64,
    /// Largest batch, in bytes, unless the topic says otherwise (`message.max.bytes`).
    pub batch_bytes_max: u64,
    /// Most records in a batch.
    pub batch_records_max: u64,
    /// Most bytes of records in a fetch answer; one whole batch may exceed it.
    pub fetch_bytes_max: u64,
    /// Most partitions in a fetch.
    pub fetch_partitions_max: u64,
    /// Longest wait of a fetch, in milliseconds.
    pub fetch_wait_ms_max: u64,
    /// Most keys in a `partition_for`.
    pub partition_for_keys_max: u64,
    /// Milliseconds after which an idle connection is closed.
    pub connection_idle_ms_max: u64,
}

impl Default for AnnouncedLimits {
    fn default() -> Self {
        Self {
            frame_bytes_max: limits::FRAME_BYTES_MAX as u64,
            nesting_depth_max: limits::NESTING_DEPTH_MAX as u64,
            in_flight_requests_max: limits::IN_FLIGHT_REQUESTS_PER_CONNECTION as u64,
            in_flight_bytes_max: limits::IN_FLIGHT_BYTES_PER_CONNECTION as u64,
            batch_bytes_max: 1024 * 1024,
            batch_records_max: u64::from(limits::BATCH_RECORDS_MAX),
            fetch_bytes_max: u64::from(limits::FETCH_BYTES_MAX),
            fetch_partitions_max: limits::FETCH_PARTITIONS_MAX as u64,
            fetch_wait_ms_max: millis(limits::FETCH_WAIT_MAX),
            partition_for_keys_max: limits::PARTITION_FOR_KEYS_MAX as u64,
            connection_idle_ms_max: millis(limits::CONNECTION_IDLE_TIME_MAX),
        }
    }
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

plain_call!(Hello, HelloRequest => HelloResponse);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Request;

    fn range(protocol_min: u32, protocol_max: u32) -> HelloRequest {
        HelloRequest {
            protocol_min,
            protocol_max,
            ..HelloRequest::default()
        }
    }

    #[test]
    fn the_highest_common_version_is_agreed_on() {
        assert_eq!(range(1, 1).agree(), Some(1));
        assert_eq!(range(0, 99).agree(), Some(PROTOCOL_MAX));
        assert_eq!(range(PROTOCOL_MAX + 1, 99).agree(), None);
        assert_eq!(range(0, 0).agree(), None);
        assert_eq!(range(2, 1).agree(), None);
    }

    #[test]
    fn an_empty_hello_is_a_client_of_version_1() {
        let hello = HelloRequest::decode(&b"\x80"[..].into()).unwrap();
        assert_eq!((hello.protocol_min, hello.protocol_max), (1, 1));
        assert_eq!(hello.agree(), Some(1));
    }
}
