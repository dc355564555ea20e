//! `ReadingPace`: how fast a client takes its answers. One that takes none for `ANSWER_WRITE_TIME_MAX` is given
//! up; one that takes less than 64 KiB in `ANSWER_STALL_MAX` is, when others wait for the memory that its
//! answers hold.

use std::io;
use std::time::Duration;

use broker_model::limits::ANSWER_WRITE_TIME_MAX;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::answer_budget::AnswerBudget;

/// How often a client that takes nothing is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// So many bytes more and a client does read.
const PROGRESS_BYTES: usize = 64 * 1024;

/// What a client has taken lately.
pub(crate) struct ReadingPace {
    answers: AnswerBudget,
    /// When it was first waited for since it has taken much; the clock is not asked for one that keeps up.
    since: Option<Instant>,
    taken: usize,
}

impl ReadingPace {
    /// Of a connection that has no answers yet.
    pub(crate) fn new(answers: AnswerBudget) -> Self {
        Self {
            answers,
            since: None,
            taken: 0,
        }
    }

    /// There was nothing to take until now.
    pub(crate) fn start(&mut self) {
        self.since = None;
        self.taken = 0;
    }

    /// The client has taken so many bytes.
    pub(crate) fn took(&mut self, bytes: usize) {
        self.taken += bytes;
        if self.taken >= PROGRESS_BYTES {
            self.start();
        }
    }

    /// Waits until the client takes more.
    ///
    /// # Errors
    /// When it is too slow.
    pub(crate) async fn writable(&mut self, socket: &TcpStream) -> io::Result<()> {
        let began = Instant::now();
        let since = *self.since.get_or_insert(began);
        loop {
            if let Ok(ready) = timeout(LOOK_EVERY, socket.writable()).await {
                return ready;
            }
            let stall_max = self.answers.stall_max();
            let stalls = stall_max.is_some_and(|max| since.elapsed() >= max);
            if stalls || began.elapsed() >= ANSWER_WRITE_TIME_MAX {
                let problem = "the peer does not read its answers";
                return Err(io::Error::new(io::ErrorKind::TimedOut, problem));
            }
        }
    }
}
