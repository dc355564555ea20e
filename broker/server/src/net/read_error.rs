//! `ReadError`: why no further frame is read from a connection, in the words that its client is told. What code goes
//! with each of them is the connection's to say.

use std::io;
use std::time::Duration;

use broker_model::limits::{FRAME_TIME_MAX, HANDSHAKE_TIME_MAX};
use broker_protocol::FrameError;

/// Why no further frame can be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The bytes are not a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The peer closed the connection within a frame.
    #[error("the connection was closed {missing} bytes before the end of a frame")]
    Truncated { missing: usize },
    /// No `hello` in time.
    #[error("no hello within {HANDSHAKE_TIME_MAX:?}")]
    HandshakeTime,
    /// A frame took too long.
    #[error("a frame was not complete within {FRAME_TIME_MAX:?}: {missing} bytes are missing")]
    FrameTime { missing: usize },
    /// A frame got no place in time, however its bytes came.
    #[error("the memory for a frame was in use for {FRAME_TIME_MAX:?}")]
    PlaceTime,
    /// A frame stood still while others waited for its place.
    #[error("a frame stood still with {missing} bytes missing, while others waited for its place")]
    FrameStalled { missing: usize },
    /// Nothing was asked and nothing under way for too long.
    #[error("idle for {after:?}")]
    Idle { after: Duration },
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}
