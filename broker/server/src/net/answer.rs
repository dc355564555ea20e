//! `Answer`: one finished frame on its way to the socket, and `AnswerSink`, the connection's own reply
//! channel. Answers carry the place of their request, so the channel is bounded by what is in flight;
//! the frame of a request is gone by then, and what it occupied is given back.

use std::time::Duration;

use broker_protocol::api::fetch::Piece;
use broker_storage::FileSlice;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::answer_budget::{AnswerBudget, AnswerMemory};
use super::standing::InFlight;

/// How long the last words of a connection wait for what is under way.
pub(crate) const LAST_ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// A part of an answer: bytes in memory, or a region of a segment file that goes out by `sendfile`.
pub(crate) type AnswerPiece = Piece<FileSlice>;

/// One answer, complete with its frame header.
pub(crate) struct Answer {
    pub(crate) pieces: Vec<AnswerPiece>,
    /// Given back when the answer has been written; what its frame occupied when it is sent.
    pub(crate) in_flight: Option<InFlight>,
    /// Memory the answer occupies; an answer that brings none is counted when it is sent.
    pub(crate) memory: Option<AnswerMemory>,
}

impl Answer {
    /// An answer that is one run of bytes.
    pub(crate) fn bytes(frame: Bytes, in_flight: Option<InFlight>) -> Self {
        Self {
            pieces: vec![AnswerPiece::Bytes(frame)],
            in_flight,
            memory: None,
        }
    }

    /// Bytes of it that are in memory.
    pub(crate) fn buffered(&self) -> usize {
        buffered(&self.pieces)
    }
}

/// Bytes of an answer that are in memory.
pub(crate) fn buffered(pieces: &[AnswerPiece]) -> usize {
    let bytes = pieces.iter().map(|piece| match piece {
        AnswerPiece::Bytes(bytes) => bytes.len(),
        AnswerPiece::External { .. } => 0,
    });
    bytes.sum()
}

/// What the writer of a connection is sent. Small, for the channel of each connection has room for many.
pub(crate) enum Outgoing {
    Answer(Box<Answer>),
    /// To be written when everything else was, or then, and nothing after it.
    Last(Box<Answer>, Instant),
    /// Stop writing: the connection moves to another arbiter.
    Stop,
}

/// The receiving end of a connection's answers.
pub(crate) type Answers = mpsc::UnboundedReceiver<Outgoing>;

/// The sending end of a connection's answers; cheap to clone, usable from any thread.
#[derive(Clone)]
pub(crate) struct AnswerSink {
    answers: mpsc::UnboundedSender<Outgoing>,
    budget: AnswerBudget,
}

impl AnswerSink {
    /// A sink and the end the connection's writer takes answers from.
    pub(crate) fn channel(budget: AnswerBudget) -> (Self, Answers) {
        let (answers, receiver) = mpsc::unbounded_channel();
        (Self { answers, budget }, receiver)
    }

    /// Hands an answer to the writer. When the connection is gone, so is whoever asked.
    pub(crate) fn send(&self, answer: Answer) {
        let _ = self.answers.send(Outgoing::Answer(self.counted(answer)));
    }

    /// Hands the last frame of the connection to the writer: it leaves after the answers that are ready within
    /// [`LAST_ANSWERS_WITHIN`].
    pub(crate) fn send_last(&self, frame: Bytes) {
        let answer = self.counted(Answer::bytes(frame, None));
        let until = Instant::now() + LAST_ANSWERS_WITHIN;
        let _ = self.answers.send(Outgoing::Last(answer, until));
    }

    fn counted(&self, mut answer: Answer) -> Box<Answer> {
        if let Some(place) = &mut answer.in_flight {
            place.is_answered();
        }
        if answer.memory.is_none() {
            answer.memory = self.budget.charge(answer.buffered());
        }
        Box::new(answer)
    }

    /// Has the writer hand back the socket and what it has not written.
    pub(crate) fn stop_writing(&self) {
        let _ = self.answers.send(Outgoing::Stop);
    }

    /// Whether nobody reads answers any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.answers.is_closed()
    }

    /// Waits until the connection's writer has ended: nobody reads answers any more.
    pub(crate) async fn closed(&self) {
        self.answers.closed().await;
    }
}

#[cfg(test)]
mod tests {
    use broker_model::limits::{IN_FLIGHT_BYTES_BATCHES, IN_FLIGHT_BYTES_TINY};

    use super::*;
    use crate::background::Workers;
    use crate::net::RequestBudget;
    use crate::net::budget::TINY_FRAME_BYTES;

    /// Frames of so many bytes that are answered, and nobody reads the answers.
    async fn answered(budget: &RequestBudget, frame_bytes: usize, count: usize) -> Vec<Answers> {
        let mut unread = Vec::new();
        for _ in 0..count {
            let connection = budget.for_connection();
            let (sink, answers) = AnswerSink::channel(connection.answers().clone());
            let place = connection.acquire(frame_bytes);
            let place = tokio::time::timeout(Duration::from_secs(5), place).await;
            let place = place.expect("nobody holds anything of a frame");
            sink.send(Answer::bytes(Bytes::from_static(b"done"), Some(place)));
            assert!(!connection.is_idle(), "it counts until it was read");
            unread.push(answers);
        }
        unread
    }

    #[actix_rt::test]
    async fn an_answer_that_nobody_reads_holds_nothing_of_its_frame() {
        const MIB: usize = 1024 * 1024;
        let budget = RequestBudget::new(Workers::start());
        let _batches = answered(&budget, MIB, 2 * IN_FLIGHT_BYTES_BATCHES / MIB).await;
        let tiny = 2 * IN_FLIGHT_BYTES_TINY / TINY_FRAME_BYTES;
        let _tiny = answered(&budget, TINY_FRAME_BYTES, tiny).await;
        let _tiniest = answered(&budget, 256, IN_FLIGHT_BYTES_TINY / 256 + 1).await;
    }
}
