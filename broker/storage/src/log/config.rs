//! `LogConfig`: what a topic's configuration means to its logs.

use std::time::Duration;

use broker_record::TimestampType;

/// When an append counts as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushMode {
    /// After a sync that covers it.
    Sync,
    /// At once; it is synced at the latest `every` after it was written.
    Async {
        /// `flush.ms`.
        every: Duration,
    },
}

impl FlushMode {
    /// Whether acknowledgements do not wait for syncs.
    pub(crate) fn is_async(self) -> bool {
        matches!(self, Self::Async { .. })
    }
}

/// Whose a log is, which decides what it may take on a disk that is short of room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogPurpose {
    /// Producers': it takes nothing below the threshold, and nothing from the reserve.
    #[default]
    Records,
    /// The broker's own: it goes on for as long as there is any room.
    Internal,
}

/// The settings of one log. Any of them can change while it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A segment that would grow beyond this many bytes is followed by another (`log.segment.bytes`).
    pub segment_bytes: u64,
    /// A segment whose first batch is older than this is followed by another (`log.roll.ms`).
    pub roll_after: Duration,
    /// Bytes of data between two index entries (`log.index.interval.bytes`).
    pub index_interval_bytes: u32,
    /// A segment whose larger index file has grown to this is followed by another
    /// (`log.index.size.max.bytes`).
    pub index_bytes_max: u32,
    /// `flush.mode` and `flush.ms`.
    pub flush: FlushMode,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// Largest batch, header included (`message.max.bytes`).
    pub batch_bytes_max: u32,
    /// Whose it is; decided when it is opened.
    pub purpose: LogPurpose,
}

impl Default for LogConfig {
    /// Kafka's defaults, but durable.
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            roll_after: Duration::from_secs(7 * 24 * 3600),
            index_interval_bytes: 4096,
            index_bytes_max: 10 << 20,
            flush: FlushMode::Sync,
            timestamp_type: TimestampType::CreateTime,
            batch_bytes_max: 1 << 20,
            purpose: LogPurpose::Records,
        }
    }
}
