//! Writes answers to a socket: everything that waits goes out in one vectored write, file regions by
//! `sendfile`, but not much at a time so that large answers do not hold up the arbiter.
//! A peer that reads nothing, or too slowly while others wait, loses its connection: see `reading_pace`.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::rc::Rc;

use broker_storage::FileSlice;
use bytes::{Buf, Bytes};
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::timeout_at;

use super::answer::{AnswerPiece, Answers, Outgoing};
use super::lane::Stint;
use super::reading_pace::{Reader, ReadingPace};

/// Answers taken from the channel at once.
const ANSWERS_PER_TURN: usize = 256;
/// Bytes in one vectored write.
const BYTES_PER_WRITE: usize = 128 * 1024;
/// Slices in one vectored write.
const SLICES_PER_WRITE: usize = 64;
/// Regions of a file up to this size are copied into the write before them: cheaper than a call of their own.
const COPIED_BYTES_MAX: u64 = 16 * 1024;
/// Bytes of a file moved before other tasks of the arbiter get their turn.
const FILE_BYTES_PER_TURN: usize = 256 * 1024;

/// The writing half of a connection.
pub(crate) struct AnswerWriter {
    answers: Answers,
    socket: OwnedWriteHalf,
    pace: ReadingPace,
    stint: Stint,
    idle: Rc<Cell<bool>>,
}

/// How far the writer got.
pub(crate) enum Written {
    /// The channel is closed and empty, or the connection had its last words.
    All,
    /// It was told to stop; what is left comes along.
    InPart(Answers, OwnedWriteHalf),
}

impl AnswerWriter {
    /// Writes what comes out of `answers` to `socket`.
    pub(crate) fn new(answers: Answers, socket: OwnedWriteHalf, pace: ReadingPace) -> Self {
        Self {
            answers,
            socket,
            pace,
            stint: Stint::of_task(),
            idle: Rc::new(Cell::new(true)),
        }
    }

    /// Whether it waits for answers, rather than for the socket; on its own thread.
    pub(crate) fn idle(&self) -> Rc<Cell<bool>> {
        self.idle.clone()
    }

    /// Runs until the channel is closed and empty, until told to stop, or until the last words were written.
    ///
    /// # Errors
    /// When the socket fails, the peer does not read, or a file is shorter than promised.
    pub(crate) async fn run(mut self) -> io::Result<Written> {
        let mut turn = Vec::new();
        let mut held = Vec::new();
        let mut pieces = VecDeque::new();
        let mut last = None;
        loop {
            let more = self.answers.recv_many(&mut turn, ANSWERS_PER_TURN);
            let taken = match &last {
                None => more.await,
                Some((_, until)) => timeout_at(*until, more).await.unwrap_or(0),
            };
            if taken == 0 {
                break;
            }
            self.idle.set(false);
            let mut stop = false;
            for outgoing in turn.drain(..) {
                match outgoing {
                    Outgoing::Stop => stop = true,
                    Outgoing::Last(answer, until) => last = Some((answer, until)),
                    Outgoing::Answer(mut answer) => {
                        pieces.extend(answer.pieces.drain(..));
                        held.push(answer);
                    }
                }
            }
            self.pace.start();
            self.write_all(&mut pieces, held.len()).await?;
            // Gives the places in the budget back.
            held.clear();
            if stop {
                return Ok(Written::InPart(self.answers, self.socket));
            }
            self.idle.set(true);
        }
        if let Some((mut answer, _)) = last {
            pieces.extend(answer.pieces.drain(..));
            self.pace.start();
            self.write_all(&mut pieces, 1).await?;
        }
        Ok(Written::All)
    }

    /// Writes the pieces of so many answers.
    async fn write_all(
        &mut self,
        pieces: &mut VecDeque<AnswerPiece>,
        answers: usize,
    ) -> io::Result<()> {
        let reader = Reader {
            socket: self.socket.as_ref(),
            written: answers,
            queued: &self.answers,
            stint: &self.stint,
        };
        write_all(pieces, &reader, &mut self.pace).await
    }
}

async fn write_all(
    pieces: &mut VecDeque<AnswerPiece>,
    reader: &Reader<'_>,
    pace: &mut ReadingPace,
) -> io::Result<()> {
    loop {
        match pieces.front() {
            None => return Ok(()),
            Some(AnswerPiece::Bytes(_)) => write_bytes(pieces, reader, pace).await?,
            Some(AnswerPiece::External { .. }) => {
                let Some(AnswerPiece::External { len, source }) = pieces.pop_front() else {
                    continue;
                };
                if len <= COPIED_BYTES_MAX {
                    pieces.push_front(AnswerPiece::Bytes(source.read()?));
                } else {
                    send_file(&source, len, reader, pace).await?;
                }
            }
        }
    }
}

/// One vectored write of the bytes at the front, which small file regions join. What goes before a large
/// one waits for it in the socket, so that the peer is not woken for a header alone.
async fn write_bytes(
    pieces: &mut VecDeque<AnswerPiece>,
    reader: &Reader<'_>,
    pace: &mut ReadingPace,
) -> io::Result<()> {
    let mut flags = SendFlags::NOSIGNAL;
    let mut count = 0;
    for piece in pieces.iter_mut().take(SLICES_PER_WRITE) {
        match piece {
            AnswerPiece::Bytes(_) => {}
            AnswerPiece::External { len, source } if *len <= COPIED_BYTES_MAX => {
                *piece = AnswerPiece::Bytes(source.read()?);
            }
            AnswerPiece::External { .. } => {
                flags |= SendFlags::MORE;
                break;
            }
        }
        count += 1;
    }
    let bytes: usize = pieces
        .iter()
        .take(count)
        .map(bytes_of)
        .map(<[u8]>::len)
        .sum();
    if bytes > BYTES_PER_WRITE / 2 {
        reader.stint.breathe(!pace.has_read()).await;
    }
    let written = loop {
        let sent = reader.socket.try_io(Interest::WRITABLE, || {
            send(reader.socket, pieces.iter().take(count), flags)
        });
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                pace.writable(reader).await?
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    pace.took(written);
    reader.stint.has_copied(written);
    consume(pieces, written);
    Ok(())
}

/// Writes these pieces, as far as they go out at once. The list of them is made for each attempt: a writer that waits
/// for its socket is not to keep it, for there may be very many of those.
fn send<'a>(
    socket: &TcpStream,
    pieces: impl Iterator<Item = &'a AnswerPiece>,
    flags: SendFlags,
) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
    let mut room = BYTES_PER_WRITE;
    let mut count = 0;
    for (slice, piece) in slices.iter_mut().zip(pieces) {
        let bytes = bytes_of(piece);
        let some = bytes.get(..room).unwrap_or(bytes);
        room -= some.len();
        *slice = IoSlice::new(some);
        count += 1;
    }
    let slices = slices.get(..count).unwrap_or_default();
    Ok(sendmsg(
        socket,
        slices,
        &mut SendAncillaryBuffer::default(),
        flags,
    )?)
}

/// What of a piece is in memory.
fn bytes_of(piece: &AnswerPiece) -> &[u8] {
    match piece {
        AnswerPiece::Bytes(bytes) => bytes,
        AnswerPiece::External { .. } => &[],
    }
}

/// Drops what was written from the front, and pieces that are empty.
fn consume(pieces: &mut VecDeque<AnswerPiece>, mut written: usize) {
    while let Some(AnswerPiece::Bytes(bytes)) = pieces.front_mut() {
        let step = written.min(bytes.len());
        Bytes::advance(bytes, step);
        written -= step;
        if !bytes.is_empty() {
            return;
        }
        pieces.pop_front();
    }
}

async fn send_file(
    slice: &FileSlice,
    len: u64,
    reader: &Reader<'_>,
    pace: &mut ReadingPace,
) -> io::Result<()> {
    let mut sent = 0_u64;
    let mut this_turn = 0;
    while sent < len {
        let left = usize::try_from(len - sent).unwrap_or(usize::MAX);
        let room = left.min(FILE_BYTES_PER_TURN);
        let step = reader.socket.try_io(Interest::WRITABLE, || {
            slice.send_to(reader.socket.as_fd(), sent, room)
        });
        match step {
            Ok(0) => {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "a segment file ended before the batch it was to hold",
                ));
            }
            Ok(step) => {
                pace.took(step);
                sent += step as u64;
                this_turn += step;
                if this_turn >= FILE_BYTES_PER_TURN {
                    this_turn = 0;
                    tokio::task::yield_now().await;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                pace.writable(reader).await?
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "answer_writer_tests.rs"]
mod tests;
