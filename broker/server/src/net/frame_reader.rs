//! Reads frames from a socket, much a little at a time. The buffer is sized from the announced length; an idle
//! connection holds none. A frame takes its place in the budget when it is complete, one above 16 KiB as soon as
//! its first bytes have been read: nothing but those is in memory without a place. A frame that was begun has to be
//! complete in `FRAME_TIME_MAX`, waiting included, and has to go on while others wait for its place.

use std::cell::Cell;
use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

use broker_model::limits::{FRAME_TIME_MAX, READ_BUFFER_TRUSTED_BYTES};
use broker_protocol::{Decoded, Envelope, FRAME_HEADER_LEN, FrameDecoder};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use rustix::io::ioctl_fionread;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout_at};
use tracing::debug;

use super::apart::{SHORT_BYTES, apart, at_once};
use super::begun_frame::{Begun, Deadline, Patience};
use super::budget::{ConnectionBudget, NEWCOMER_READ_BYTES, TINY_FRAME_BYTES};
use super::busy_poll::Rhythm;
use super::lane::Stint;
use super::read_error::ReadError;
use super::standing::InFlight;
use super::unwanted::throw_away;
use crate::memory;

/// Room for small requests, several of which arrive at once when a client pipelines.
const BUFFER_BYTES_MIN: usize = TINY_FRAME_BYTES;
/// Bytes that are read at once.
const READ_BYTES_MAX: usize = 128 * 1024;
/// From so much room on it is looked how much of it is needed, before the system writes to it.
const TOUCHED_BYTES_MIN: usize = 32 * 1024;
/// How often a frame that stands still is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often one looks that waits until others hold less.
const LOOK_FOR_ROOM_EVERY: Duration = Duration::from_millis(10);
/// Bytes that are thrown away of one that was sent away, after the frame that it was in.
const DRAINED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The reading half of a connection.
pub(crate) struct FrameReader {
    socket: OwnedReadHalf,
    buffer: BytesMut,
    /// Whether the buffer may be larger than one for small requests.
    has_grown: bool,
    /// The buffer holds what was read ahead and has no room.
    is_short: bool,
    decoder: FrameDecoder,
    /// Bytes still to come of a frame that nobody wants any more.
    unwanted: usize,
    /// Bytes that are read at once of what comes next.
    read_max: usize,
    frame_time_max: Duration,
    /// For waiting until a frame begins; kept, since setting it costs more than reading a small frame.
    timer: Option<Pin<Box<Sleep>>>,
    /// How soon frames have begun lately.
    rhythm: Rhythm,
}

/// What was read of a connection and not made use of, and what may come next.
pub(crate) struct ReadAhead {
    buffer: BytesMut,
    decoder: FrameDecoder,
    unwanted: usize,
}

impl Default for ReadAhead {
    /// Of a new connection, with the small limit that holds before `hello`.
    fn default() -> Self {
        Self {
            buffer: BytesMut::new(),
            decoder: FrameDecoder::before_hello(),
            unwanted: 0,
        }
    }
}

impl FrameReader {
    /// Reads on where `input` ends.
    pub(crate) fn resume(socket: OwnedReadHalf, input: ReadAhead, rhythm: Rhythm) -> Self {
        Self {
            socket,
            has_grown: input.buffer.capacity() > 0,
            is_short: false,
            buffer: input.buffer,
            decoder: input.decoder,
            unwanted: input.unwanted,
            read_max: NEWCOMER_READ_BYTES,
            frame_time_max: FRAME_TIME_MAX,
            timer: None,
            rhythm,
        }
    }

    /// The socket, and what was read ahead from it.
    pub(crate) fn into_parts(self) -> (OwnedReadHalf, ReadAhead) {
        let input = ReadAhead {
            buffer: self.buffer,
            decoder: self.decoder,
            unwanted: self.unwanted,
        };
        (self.socket, input)
    }

    /// `hello` was answered: frames may be large now.
    pub(crate) fn allow_large_frames(&mut self) {
        self.decoder = FrameDecoder::after_hello();
    }

    /// The next frame's body and its place in the budget; `None` when the peer has closed. Of a large frame whose
    /// start tells that it is none to accept, that start is all there is: it is wrong in the same way.
    pub(crate) async fn next(
        &mut self,
        budget: &ConnectionBudget,
        patience: Patience,
        stint: &Stint,
    ) -> Result<Option<(Bytes, InFlight)>, ReadError> {
        if self.unwanted > 0 {
            Box::pin(self.skip_unwanted(stint)).await?;
        }
        let mut permit = None;
        let mut begun: Option<Begun> = None;
        loop {
            let missing = match self.decoder.decode(&mut self.buffer)? {
                Decoded::Frame(body) => {
                    return Ok(Some(match permit {
                        Some(permit) => (body, permit),
                        None => self.placed(body, budget).await,
                    }));
                }
                Decoded::NeedMore { missing } => missing,
            };
            let start_max = budget.start_max().min(READ_BYTES_MAX);
            self.read_max = start_max.saturating_sub(self.buffer.len()).max(missing);
            let read = if self.buffer.is_empty() {
                self.read_first(budget, patience).await?
            } else {
                let read = self.buffer.len();
                let frame_bytes = (read + missing).saturating_sub(FRAME_HEADER_LEN);
                let begun = begun.get_or_insert_with(|| {
                    stint.has_begun();
                    let by = Deadline::of_frame(patience, self.frame_time_max);
                    Begun::new(budget, (frame_bytes, read), by)
                });
                begun.has(read);
                // Also when there is always a byte more.
                if begun.stands_still(budget) {
                    return Err(self.stalled(missing));
                }
                if permit.is_none() && frame_bytes > TINY_FRAME_BYTES {
                    if let Some(start) = self.start_of_unacceptable(missing) {
                        let place = budget.acquire(start.len()).await;
                        return Ok(Some((start, place)));
                    }
                    self.put_room_away();
                    // As long as nobody knew how long it is, it was one of the tiny ones.
                    begun.incomplete = None;
                    let place = timeout_at(begun.deadline.at(), budget.acquire(frame_bytes));
                    permit = Some(place.await.map_err(|_| self.got_no_place(missing))?);
                    *begun = Begun::new(budget, (frame_bytes, read), begun.deadline);
                }
                if permit.is_some() {
                    self.read_max = READ_BYTES_MAX;
                    // For all of it: to grow is to copy, and what is not written to takes no memory.
                    self.has_grown = true;
                    self.buffer.reserve(missing);
                    stint.breathe(stint.is_newcomer()).await;
                }
                self.wait_for_room(begun, budget, missing).await?;
                let more = self.read_more(missing, begun, budget).await?;
                stint.has_copied(more);
                stint.has_read(more * budget.caution(frame_bytes)).await;
                more
            };
            match (read, self.buffer.is_empty()) {
                (0, true) => return Ok(None),
                (0, false) => return Err(ReadError::Truncated { missing }),
                _ => {}
            }
        }
    }

    /// A complete frame and its place; while it waits for one, no room for more is held.
    async fn placed(&mut self, body: Bytes, budget: &ConnectionBudget) -> (Bytes, InFlight) {
        let mut acquiring = pin!(budget.acquire(body.len()));
        if let Some(place) = at_once(acquiring.as_mut()).await {
            return (body, place);
        }
        self.put_room_away();
        let body = apart(body);
        let place = acquiring.await;
        (body, place)
    }

    /// Waits for a frame to begin, without holding a buffer.
    async fn read_first(
        &mut self,
        budget: &ConnectionBudget,
        patience: Patience,
    ) -> Result<usize, ReadError> {
        if self.buffer.capacity() > 0 {
            match self.try_read(BUFFER_BYTES_MIN) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return Ok(other?),
            }
        }
        let since = Instant::now();
        let read = match self.poll_first(since).await? {
            Some(read) => read,
            None => self.sleep_until_first(budget, patience).await?,
        };
        self.rhythm.note(since.elapsed());
        Ok(read)
    }

    /// Looks whether a frame begins for a moment, if its client is quick.
    async fn poll_first(&mut self, now: Instant) -> Result<Option<usize>, ReadError> {
        if let Some(mut poll) = self.rhythm.poll(now) {
            while poll.goes_on().await {
                match self.try_read(BUFFER_BYTES_MIN) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    other => return Ok(Some(other?)),
                }
            }
        }
        Ok(None)
    }

    async fn sleep_until_first(
        &mut self,
        budget: &ConnectionBudget,
        patience: Patience,
    ) -> Result<usize, ReadError> {
        if self.buffer.capacity() > 0 {
            self.put_buffer_away();
        }
        loop {
            let until = match patience {
                Patience::Handshake(until) => until,
                Patience::Idle(after) => Instant::now() + after,
            };
            match (self.is_readable_by(until).await?, patience) {
                (true, _) => match self.try_read(BUFFER_BYTES_MIN) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    other => return Ok(other?),
                },
                (false, Patience::Handshake(_)) => return Err(ReadError::HandshakeTime),
                (false, Patience::Idle(after)) if budget.is_idle() => {
                    return Err(ReadError::Idle { after });
                }
                // A long poll is under way: not idle.
                (false, Patience::Idle(_)) => {}
            }
        }
    }

    /// Waits until there is something to read, or until then.
    async fn is_readable_by(&mut self, until: Instant) -> io::Result<bool> {
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        if timer.deadline() > until {
            timer.as_mut().reset(until);
        }
        loop {
            tokio::select! {
                biased;
                ready = self.socket.readable() => return ready.map(|()| true),
                () = timer.as_mut() => {}
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            // It was set for an earlier frame.
            timer.as_mut().reset(until);
        }
    }

    /// Waits with the rest of a tiny frame that is not very short, until others hold less of such that are not complete.
    async fn wait_for_room(
        &mut self,
        begun: &Begun,
        budget: &ConnectionBudget,
        missing: usize,
    ) -> Result<(), ReadError> {
        let may_go_on = begun.incomplete.is_none() || self.buffer.len() + missing <= SHORT_BYTES;
        while !may_go_on && budget.holds_much_incomplete() {
            self.put_room_away();
            if Instant::now() >= begun.deadline.at() {
                return Err(self.got_no_place(missing));
            }
            sleep(LOOK_FOR_ROOM_EVERY).await;
        }
        Ok(())
    }

    async fn read_more(
        &mut self,
        missing: usize,
        begun: &mut Begun,
        budget: &ConnectionBudget,
    ) -> Result<usize, ReadError> {
        loop {
            match self.try_read(missing) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if begun.incomplete.is_some() {
                        self.put_room_away();
                    }
                    let since = Instant::now();
                    let until = begun.deadline.at().min(since + LOOK_EVERY);
                    match timeout_at(until, self.socket.readable()).await {
                        Ok(ready) => {
                            ready?;
                            // Beyond that this task was not run, whenever they came.
                            begun.waited(since.elapsed().min(LOOK_EVERY));
                        }
                        Err(_) if Instant::now() >= begun.deadline.at() => {
                            return Err(begun.deadline.passed(missing));
                        }
                        Err(_) => {
                            begun.waited(since.elapsed());
                            if begun.stands_still(budget) {
                                return Err(self.stalled(missing));
                            }
                        }
                    }
                }
                other => return Ok(other?),
            }
        }
    }

    /// Reads what is there into the buffer, which is given room for `wanted` bytes within reason.
    fn try_read(&mut self, wanted: usize) -> io::Result<usize> {
        self.make_room(wanted);
        let room = (self.buffer.capacity() - self.buffer.len()).min(self.read_max);
        if room >= TOUCHED_BYTES_MIN {
            let socket: &TcpStream = self.socket.as_ref();
            let there = ioctl_fionread(socket)?;
            let there = usize::try_from(there).unwrap_or(room).min(room);
            let fresh = self.buffer.spare_capacity_mut().get_mut(..there);
            memory::fresh::touch(fresh.unwrap_or_default());
        }
        let read = self
            .socket
            .try_read_buf(&mut (&mut self.buffer).limit(room))?;
        if read < room {
            // Nothing is left, and this thread is the one that hears of more: the next attempt need not ask.
            let socket: &TcpStream = self.socket.as_ref();
            let _ = socket.try_io(Interest::READABLE, || -> io::Result<()> {
                Err(io::ErrorKind::WouldBlock.into())
            });
        }
        Ok(read)
    }

    /// Makes room for `wanted` bytes within reason, if there is none.
    fn make_room(&mut self, wanted: usize) {
        let mut start = BytesMut::new();
        self.is_short = false;
        if self.buffer.capacity() == self.buffer.len() && self.buffer.len() <= SHORT_BYTES {
            start = std::mem::replace(&mut self.buffer, SPARE.take());
        }
        // From its start, when nobody holds anything in it any more.
        let is_free = self.buffer.is_empty() && self.buffer.try_reclaim(BUFFER_BYTES_MIN);
        if !is_free && self.buffer.capacity() - self.buffer.len() <= start.len() {
            self.has_grown |= !self.buffer.is_empty() || wanted > BUFFER_BYTES_MIN;
            self.buffer
                .reserve(wanted.clamp(BUFFER_BYTES_MIN, READ_BUFFER_TRUSTED_BYTES));
        }
        self.buffer.extend_from_slice(&start);
    }

    /// Holds no more than what was read ahead, if that is short: the room is left to whoever comes next. There may be
    /// very many connections that have begun a frame and do not go on, or wait for what they asked before.
    pub(crate) fn put_room_away(&mut self) {
        // One with little room may be the end of a block that it would keep.
        if self.buffer.len() > SHORT_BYTES || self.is_short {
            return;
        }
        let ahead = BytesMut::from(&*self.buffer);
        self.buffer.clear();
        self.put_buffer_away();
        self.buffer = ahead;
        self.is_short = true;
    }

    /// Holds no buffer any more: a small one is left to whoever comes next.
    fn put_buffer_away(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        if !std::mem::take(&mut self.has_grown) {
            SPARE.set(buffer);
        }
    }

    /// What there is of the frame that begins the buffer, if that cannot be accepted whatever the missing
    /// bytes are: nobody wants those any more.
    fn start_of_unacceptable(&mut self, missing: usize) -> Option<Bytes> {
        let start = self.buffer.get(FRAME_HEADER_LEN..)?;
        if Envelope::check_start(start).is_ok() {
            return None;
        }
        self.unwanted = missing;
        let mut start = std::mem::take(&mut self.buffer);
        start.advance(FRAME_HEADER_LEN);
        Some(start.freeze())
    }

    /// The frame stands still: nobody wants the bytes that are missing any more.
    fn stalled(&mut self, missing: usize) -> ReadError {
        self.unwanted = missing;
        ReadError::FrameStalled { missing }
    }

    /// There was no memory for the frame: nobody wants the bytes that are missing any more.
    fn got_no_place(&mut self, missing: usize) -> ReadError {
        self.unwanted = missing;
        ReadError::PlaceTime
    }

    /// Throws the rest of a frame away that was answered already. It has to come in time like any other.
    async fn skip_unwanted(&mut self, stint: &Stint) -> Result<(), ReadError> {
        if self.unwanted == 0 {
            return Ok(());
        }
        let until = Instant::now() + self.frame_time_max;
        while self.unwanted > 0 {
            let missing = self.unwanted;
            let thrown_away = timeout_at(until, throw_away(&self.socket, missing)).await;
            let thrown_away = thrown_away.map_err(|_| ReadError::FrameTime { missing })??;
            if thrown_away == 0 {
                return Err(ReadError::Truncated { missing });
            }
            self.unwanted = missing.saturating_sub(thrown_away);
            stint.has_read(thrown_away).await;
        }
        Ok(())
    }

    /// Nothing that was read and not made use of is wanted any more.
    pub(crate) fn forget(&mut self) {
        self.buffer.clear();
        self.put_buffer_away();
    }

    /// Lets a peer that was sent away end the frame that it is in: until then it may not read.
    pub(crate) async fn leave_frame(&mut self, stint: &Stint) {
        if let Err(error) = self.skip_unwanted(stint).await {
            debug!(%error, "a frame that was refused did not end");
        }
    }

    /// Throws away what the peer still sends, for at most `time` and not without end: closing a socket with unread
    /// bytes would take back the error it was just sent.
    pub(crate) async fn drain(&mut self, time: Duration, stint: &Stint) {
        let until = Instant::now() + time;
        let mut left = DRAINED_BYTES_MAX;
        // A timeout alone is not looked at as long as there are bytes.
        while left > 0 && Instant::now() < until {
            match timeout_at(until, throw_away(&self.socket, left)).await {
                Ok(Ok(read)) if read > 0 => {
                    left = left.saturating_sub(read);
                    stint.has_read(read).await;
                }
                _ => return,
            }
        }
    }
}

thread_local! {
    /// The room of the connection of this thread that fell idle last, for the next that has something to read: to
    /// get and to give back as much for each request costs more than to read it.
    static SPARE: Cell<BytesMut> = Cell::default();
}

#[cfg(test)]
#[path = "frame_reader_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "frame_reader_room_tests.rs"]
mod room_tests;
