//! `Answer`: one finished frame on its way to the socket, and `AnswerSink`, the connection's own reply
//! channel. Answers carry the permits of their request, so the channel is bounded by what is in flight.

use broker_protocol::api::fetch::Piece;
use broker_storage::FileSlice;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::budget::{AnswerMemory, InFlight};

/// A part of an answer: bytes in memory, or a region of a segment file that goes out by `sendfile`.
pub(crate) type AnswerPiece = Piece<FileSlice>;

/// One answer, complete with its frame header.
pub(crate) struct Answer {
    pub(crate) pieces: Vec<AnswerPiece>,
    /// Given back when the answer has been written.
    pub(crate) _in_flight: Option<InFlight>,
    /// Memory the answer occupies beyond its request, where it can be large.
    pub(crate) _memory: Option<AnswerMemory>,
}

impl Answer {
    /// An answer that is one run of bytes.
    pub(crate) fn bytes(frame: Bytes, in_flight: Option<InFlight>) -> Self {
        Self {
            pieces: vec![AnswerPiece::Bytes(frame)],
            _in_flight: in_flight,
            _memory: None,
        }
    }
}

/// The sending end of a connection's answers; cheap to clone, usable from any thread.
#[derive(Clone)]
pub(crate) struct AnswerSink(mpsc::UnboundedSender<Answer>);

impl AnswerSink {
    /// A sink and the end the connection's writer takes answers from.
    pub(crate) fn channel() -> (Self, mpsc::UnboundedReceiver<Answer>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Hands an answer to the writer. When the connection is gone, so is whoever asked.
    pub(crate) fn send(&self, answer: Answer) {
        let _ = self.0.send(answer);
    }

    /// Waits until the connection's writer has ended: nobody reads answers any more.
    pub(crate) async fn closed(&self) {
        self.0.closed().await;
    }
}
