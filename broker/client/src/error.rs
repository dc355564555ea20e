//! `ClientError`: everything that can go wrong for a caller, with the broker's address, the method
//! and the code. Each error says whether a retry can help and whether the request certainly had no
//! effect (`definite`) or may have had one. Cheap to clone: one lost connection fails many records.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use broker_model::{Offset, TopicPartition};
use broker_protocol::{ErrorCode, ErrorData, RefusedRecord, WireError};

/// Which request to which broker an error is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The broker, as `host:port`.
    pub address: Arc<str>,
    /// The method.
    pub method: &'static str,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.method, self.address)
    }
}

/// Whether a failed request may have had an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It certainly had none.
    Definite,
    /// It may have been carried out.
    Unknown,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Definite => "it was not carried out",
            Self::Unknown => "it may or may not have been carried out",
        })
    }
}

/// What went wrong.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// An argument makes no sense; nothing was sent.
    #[error("{0}")]
    Invalid(Arc<str>),

    /// None of the brokers could be reached.
    #[error("cannot reach any broker of the cluster: {0}")]
    NoBroker(Arc<str>),

    /// A broker could not be connected to.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// The broker, as `host:port`.
        address: Arc<str>,
        /// What the system or the peer said.
        reason: Arc<str>,
    },

    /// The connection ended before the answer came.
    #[error("{call}: the connection was lost ({reason}); {outcome}")]
    ConnectionLost {
        /// The request that was under way.
        call: Call,
        /// Why it ended.
        reason: Arc<str>,
        /// Whether the request had been handed to the network.
        outcome: Outcome,
    },

    /// No answer in time.
    #[error("{call}: no answer within {after:?}; {outcome}")]
    TimedOut {
        /// The request that was under way.
        call: Call,
        /// How long was waited.
        after: Duration,
        /// Whether the request had been handed to the network.
        outcome: Outcome,
    },

    /// The broker answered with an error.
    #[error("{call}: {error}")]
    Refused {
        /// The request.
        call: Call,
        /// What the broker said.
        error: Arc<WireError>,
    },

    /// The broker's answer is not what the protocol says; the request may have been carried out.
    #[error("{call}: the answer cannot be understood: {reason}")]
    Malformed {
        /// The request.
        call: Call,
        /// What is wrong with the answer.
        reason: Arc<str>,
    },

    /// The request is larger than the broker takes.
    #[error("{call}: the request has {bytes} bytes, the broker takes at most {limit}")]
    RequestTooLarge {
        /// The request.
        call: Call,
        /// Its size.
        bytes: u64,
        /// The limit from the broker's `hello`.
        limit: u64,
    },

    /// One record is larger than the producer's buffer.
    #[error("a record of {bytes} bytes does not fit the producer's buffer of {limit} bytes")]
    RecordTooLarge {
        /// Its size.
        bytes: usize,
        /// The producer's `buffer_bytes`.
        limit: usize,
    },

    /// The metadata has no such topic or partition, also after a refresh.
    #[error("the cluster has no {0}")]
    UnknownPartition(Arc<str>),

    /// The partition has no leader at the moment.
    #[error("{0} has no leader at the moment")]
    NoLeader(TopicPartition),

    /// A batch could not be delivered in time.
    #[error("no delivery to {target} within {after:?}; {outcome}; last error: {last}")]
    DeliveryTimedOut {
        /// Topic, or topic and partition.
        target: Arc<str>,
        /// The producer's `delivery_timeout`.
        after: Duration,
        /// Whether any attempt may have been carried out.
        outcome: Outcome,
        /// Why the last attempt failed.
        last: Arc<str>,
    },

    /// A batch was not sent again because records behind it are stored already.
    #[error("not sent again to {target}, records behind it are stored already ({outcome}): {last}")]
    WouldReorder {
        /// Topic, or topic and partition.
        target: Arc<str>,
        /// Whether an attempt may have been carried out.
        outcome: Outcome,
        /// Why the first attempt failed.
        last: Arc<str>,
    },

    /// A stored batch is damaged; the consumer goes on at `next_offset` when that is known.
    #[error("{partition}: damaged batch at offset {offset}{}: {reason}", Place { file, position })]
    CorruptBatch {
        /// Where.
        partition: TopicPartition,
        /// Offset of the batch, or the one asked for when its header is damaged as well.
        offset: Offset,
        /// First readable offset behind the damage.
        next_offset: Option<Offset>,
        /// The broker's file, when the broker found it.
        file: Option<Arc<str>>,
        /// Byte position of the batch in the file, or in the answer when the client found it.
        position: Option<u64>,
        /// What is wrong.
        reason: Arc<str>,
    },

    /// The consumer's position is not in the log and its policy is to fail.
    #[error("{partition}: offset {asked} is out of range, the log has {earliest} up to {latest}")]
    OffsetOutOfRange {
        /// Where.
        partition: TopicPartition,
        /// The consumer's position.
        asked: Offset,
        /// First offset of the log.
        earliest: Offset,
        /// The high watermark.
        latest: Offset,
    },

    /// The client, producer or consumer was closed.
    #[error("the {0} is closed")]
    Closed(&'static str),
}

/// The place of a damaged batch, as far as it is known.
struct Place<'a> {
    file: &'a Option<Arc<str>>,
    position: &'a Option<u64>,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file, self.position) {
            (Some(file), Some(position)) => write!(f, " in {file} at byte {position}"),
            (Some(file), None) => write!(f, " in {file}"),
            (None, Some(position)) => write!(f, " at byte {position} of the answer"),
            (None, None) => Ok(()),
        }
    }
}

impl ClientError {
    pub(crate) fn invalid(what: impl Into<Arc<str>>) -> Self {
        Self::Invalid(what.into())
    }

    /// One record that a serializer of its topic refused, while others of its batch went in.
    pub(crate) fn record_refused(call: &Call, record: &RefusedRecord) -> Self {
        let code = ErrorCode::from_name(&record.code).unwrap_or(ErrorCode::RecordRefused);
        let message = format!("{} of the record: {}", record.field, record.reason);
        let error = WireError::new(code, message).with_retriable(false);
        Self::Refused {
            call: call.clone(),
            error: Arc::new(error.with_data(ErrorData {
                record: Some(record.index),
                key: Some(record.field.clone()),
                plugin: record.plugin.clone(),
                refused: vec![record.clone()],
                ..ErrorData::default()
            })),
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::NoBroker(_)
            | Self::Connect { .. }
            | Self::ConnectionLost { .. }
            | Self::TimedOut { .. }
            | Self::NoLeader(_) => true,
            Self::Refused { error, .. } => error.retriable,
            _ => false,
        }
    }

    /// Whether the request certainly had no effect.
    pub fn is_definite(&self) -> bool {
        match self {
            Self::ConnectionLost { outcome, .. }
            | Self::TimedOut { outcome, .. }
            | Self::DeliveryTimedOut { outcome, .. }
            | Self::WouldReorder { outcome, .. } => *outcome == Outcome::Definite,
            Self::Refused { error, .. } => error.definite,
            Self::Malformed { .. } => false,
            _ => true,
        }
    }

    /// The broker's error code, when a broker refused the request.
    pub fn code(&self) -> Option<ErrorCode> {
        self.wire().map(|error| error.code)
    }

    /// The broker's error answer, when a broker refused the request.
    pub fn wire(&self) -> Option<&WireError> {
        match self {
            Self::Refused { error, .. } => Some(error),
            _ => None,
        }
    }

    /// The request and the broker it went to, when it got that far.
    pub fn call(&self) -> Option<&Call> {
        match self {
            Self::ConnectionLost { call, .. }
            | Self::TimedOut { call, .. }
            | Self::Refused { call, .. }
            | Self::Malformed { call, .. }
            | Self::RequestTooLarge { call, .. } => Some(call),
            _ => None,
        }
    }

    /// Whether what the client knows about the cluster may be out of date.
    pub(crate) fn hints_at_stale_metadata(&self) -> bool {
        match self {
            Self::NoBroker(_)
            | Self::Connect { .. }
            | Self::ConnectionLost { .. }
            | Self::NoLeader(_) => true,
            _ => matches!(
                self.code(),
                Some(
                    ErrorCode::NotLeader
                        | ErrorCode::LeaderNotAvailable
                        | ErrorCode::UnknownTopicOrPartition
                        | ErrorCode::TopicIdMismatch
                        | ErrorCode::PartitionOffline
                        | ErrorCode::ShuttingDown
                )
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call {
        Call {
            address: "a:1".into(),
            method: "produce",
        }
    }

    #[test]
    fn messages_name_the_broker_the_method_and_the_code() {
        let error = ClientError::Refused {
            call: call(),
            error: Arc::new(WireError::new(ErrorCode::NotLeader, "ask broker 2")),
        };
        assert_eq!(
            error.to_string(),
            "produce at a:1: NOT_LEADER: ask broker 2"
        );
        assert!(error.is_retriable() && error.is_definite());
        assert_eq!(error.code(), Some(ErrorCode::NotLeader));
    }

    #[test]
    fn a_lost_connection_says_whether_the_request_may_have_been_carried_out() {
        for (outcome, definite) in [(Outcome::Definite, true), (Outcome::Unknown, false)] {
            let error = ClientError::ConnectionLost {
                call: call(),
                reason: "reset".into(),
                outcome,
            };
            assert_eq!(error.is_definite(), definite);
            assert!(error.is_retriable());
        }
    }
}
