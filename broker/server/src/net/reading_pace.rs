//! `ReadingPace`: how fast a client takes its answers. One that takes none for `ANSWER_WRITE_TIME_MAX` is given
//! up; one that takes less than 64 KiB in `ANSWER_STALL_MAX`, or a small part of much, is, when others wait for the memory that its
//! answers hold, or there is none for its tiny ones: then one that has many of those is given up after a moment. A broker
//! that stops waits for each only as long as that takes some now and then.

use std::io;
use std::time::Duration;

use broker_model::limits::{ANSWER_STALL_MAX, ANSWER_STOP_TIME_MAX, ANSWER_WRITE_TIME_MAX};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::answer::Answers;
use super::answer_budget::{AnswerBudget, UnreadCount};
use super::lane::Stint;

/// How often a client that takes nothing is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A client with more answers than this for which there is no memory does not get `ANSWER_STALL_MAX`.
const ANSWERS_SOME: usize = 16;
/// So many bytes more and a client does read, ...
const PROGRESS_BYTES: usize = 64 * 1024;
/// ... or this part of what its answers hold, if that is more.
const PROGRESS_PART: usize = 16;

/// A client that answers are written to.
pub(crate) struct Reader<'a> {
    pub(crate) socket: &'a TcpStream,
    /// How many answers are being written.
    pub(crate) written: usize,
    /// Those that are to be written after them.
    pub(crate) queued: &'a Answers,
    /// Of the writer.
    pub(crate) stint: &'a Stint,
}

impl Reader<'_> {
    /// How many answers it has not read, but for what lies in the socket.
    fn unread(&self) -> usize {
        self.written.saturating_add(self.queued.len())
    }
}

/// What a client has taken lately.
pub(crate) struct ReadingPace {
    answers: AnswerBudget,
    /// When it was first waited for since it has taken much; the clock is not asked for one that keeps up.
    since: Option<Instant>,
    taken: usize,
    taken_in_all: usize,
    unread: UnreadCount,
    stopping: watch::Receiver<bool>,
    /// When the stop was first seen.
    stops_since: Option<Instant>,
    write_time_max: Duration,
}

impl ReadingPace {
    /// Of a connection that has no answers yet, to a broker that says when it stops.
    pub(crate) fn new(answers: AnswerBudget, stopping: watch::Receiver<bool>) -> Self {
        Self {
            answers,
            since: None,
            taken: 0,
            taken_in_all: 0,
            unread: UnreadCount::default(),
            stopping,
            stops_since: None,
            write_time_max: ANSWER_WRITE_TIME_MAX,
        }
    }

    /// With another limit than `ANSWER_WRITE_TIME_MAX`.
    #[cfg(test)]
    pub(crate) fn within(self, write_time_max: Duration) -> Self {
        Self {
            write_time_max,
            ..self
        }
    }

    /// There was nothing to take until now.
    pub(crate) fn start(&mut self) {
        self.unread = UnreadCount::default();
        self.goes_on();
    }

    fn goes_on(&mut self) {
        self.since = None;
        self.taken = 0;
    }

    /// Whether the client has shown that it reads its answers.
    pub(crate) fn has_read(&self) -> bool {
        self.answers.has_read()
    }

    /// The client has taken so many bytes.
    pub(crate) fn took(&mut self, bytes: usize) {
        self.taken += bytes;
        self.taken_in_all = self.taken_in_all.saturating_add(bytes);
        self.answers.note_read(self.taken_in_all);
        let part = self.answers.held() / PROGRESS_PART;
        if self.taken >= part.max(PROGRESS_BYTES) {
            self.goes_on();
        }
    }

    /// Waits until the client takes more.
    ///
    /// # Errors
    /// When it is too slow.
    pub(crate) async fn writable(&mut self, reader: &Reader<'_>) -> io::Result<()> {
        let began = Instant::now();
        let since = *self.since.get_or_insert(began);
        self.answers.count(reader.unread(), &mut self.unread);
        loop {
            if let Ok(ready) = timeout(LOOK_EVERY, reader.socket.writable()).await {
                return ready;
            }
            let has_memory = self.answers.count(reader.unread(), &mut self.unread);
            let stall_max = match has_memory {
                true => self.answers.stall_max(&self.unread),
                false if reader.unread() > ANSWERS_SOME => return Err(too_slow()),
                false => Some(ANSWER_STALL_MAX),
            };
            let stalls = stall_max.is_some_and(|max| since.elapsed() >= max);
            if stalls || self.has_waited_enough(began) {
                return Err(too_slow());
            }
        }
    }

    /// Whether a client is given up that has taken nothing since it `began` to be waited for.
    fn has_waited_enough(&mut self, began: Instant) -> bool {
        let is_stopping = *self.stopping.borrow();
        let stops_since = is_stopping.then(|| *self.stops_since.get_or_insert_with(Instant::now));
        let is_in_the_way =
            stops_since.is_some_and(|stop| began.max(stop).elapsed() >= ANSWER_STOP_TIME_MAX);
        is_in_the_way || began.elapsed() >= self.write_time_max
    }
}

fn too_slow() -> io::Error {
    let problem = "the peer does not read its answers";
    io::Error::new(io::ErrorKind::TimedOut, problem)
}
