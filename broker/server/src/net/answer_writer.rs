//! Writes answers to a socket: everything that waits goes out in one vectored write, file regions by
//! `sendfile`, at most 1 MiB at a time so that one large answer does not hold up the arbiter.
//! A peer that reads nothing, or too slowly while others wait, loses its connection: see `reading_pace`.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;

use broker_storage::FileSlice;
use bytes::{Buf, Bytes};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::mpsc;

use super::answer::{Answer, AnswerPiece};
use super::reading_pace::ReadingPace;

/// Answers taken from the channel at once.
const ANSWERS_PER_TURN: usize = 256;
/// Slices in one vectored write.
const SLICES_PER_WRITE: usize = 64;
/// Bytes of a file moved before other tasks of the arbiter get their turn.
const FILE_BYTES_PER_TURN: usize = 1024 * 1024;

/// Runs until the channel is closed and empty.
///
/// # Errors
/// When the socket fails, the peer does not read, or a file is shorter than promised.
pub(crate) async fn write_answers(
    mut answers: mpsc::UnboundedReceiver<Answer>,
    socket: OwnedWriteHalf,
    mut pace: ReadingPace,
) -> io::Result<()> {
    let mut turn = Vec::new();
    let mut pieces = VecDeque::new();
    while answers.recv_many(&mut turn, ANSWERS_PER_TURN).await > 0 {
        pieces.extend(turn.iter_mut().flat_map(|answer| answer.pieces.drain(..)));
        pace.start();
        write_all(&mut pieces, socket.as_ref(), &mut pace).await?;
        turn.clear();
    }
    Ok(())
}

async fn write_all(
    pieces: &mut VecDeque<AnswerPiece>,
    socket: &TcpStream,
    pace: &mut ReadingPace,
) -> io::Result<()> {
    loop {
        match pieces.front() {
            None => return Ok(()),
            Some(AnswerPiece::Bytes(_)) => write_bytes(pieces, socket, pace).await?,
            Some(AnswerPiece::External { .. }) => {
                if let Some(AnswerPiece::External { len, source }) = pieces.pop_front() {
                    send_file(&source, len, socket, pace).await?;
                }
            }
        }
    }
}

/// One vectored write of the bytes at the front.
async fn write_bytes(
    pieces: &mut VecDeque<AnswerPiece>,
    socket: &TcpStream,
    pace: &mut ReadingPace,
) -> io::Result<()> {
    let written = loop {
        let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
        let waiting = pieces.iter().map_while(|piece| match piece {
            AnswerPiece::Bytes(bytes) => Some(bytes),
            AnswerPiece::External { .. } => None,
        });
        let mut count = 0;
        for (slice, bytes) in slices.iter_mut().zip(waiting) {
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        match socket.try_write_vectored(&slices[..count]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                pace.writable(socket).await?
            }
            other => break other?,
        }
    };
    pace.took(written);
    consume(pieces, written);
    Ok(())
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
    socket: &TcpStream,
    pace: &mut ReadingPace,
) -> io::Result<()> {
    let mut sent = 0_u64;
    let mut this_turn = 0;
    while sent < len {
        let left = usize::try_from(len - sent).unwrap_or(usize::MAX);
        let room = left.min(FILE_BYTES_PER_TURN);
        let step = socket.try_io(Interest::WRITABLE, || {
            slice.send_to(socket.as_fd(), sent, room)
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
                pace.writable(socket).await?
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
