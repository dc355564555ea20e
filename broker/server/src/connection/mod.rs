//! A connection: a task that reads frames and starts requests, and a task that writes answers, both on one
//! arbiter. It keeps no state but whether `hello` was answered; requests go to handlers in the order they
//! arrive, answers leave as they are ready.

mod session;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use broker_model::limits::HANDSHAKE_TIME_MAX;
use broker_protocol::{ErrorCode, FrameError, LooksLike, WireError, error_frame};
use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tracing::{debug, info};

use crate::context::Context;
use crate::net::answer_writer::write_answers;
use crate::net::frame_reader::Patience;
use crate::net::listener::ConnectionPlace;
use crate::net::reading_pace::ReadingPace;
use crate::net::{Answer, AnswerSink, FrameReader, ReadError};
use session::Next;
pub(crate) use session::{Asker, Session, WorkInOrder};

/// How long a client may take to read the last answer of a connection that is being closed.
const GOODBYE_TIME_MAX: Duration = Duration::from_secs(5);
/// How long bytes of a client that was sent away are thrown away.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);

/// Serves one connection to its end.
pub(crate) async fn serve(
    socket: std::net::TcpStream,
    peer: SocketAddr,
    context: Arc<Context>,
    place: ConnectionPlace,
) {
    let _place = place;
    let socket = match TcpStream::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => {
            info!(%peer, %error, "a connection cannot be served");
            return;
        }
    };
    let (reading, writing) = socket.into_split();
    let budget = context.requests.for_connection();
    let (sink, answers) = AnswerSink::channel(budget.answers().clone());
    let pace = ReadingPace::new(budget.answers().clone());
    let writer = actix_rt::spawn(write_answers(answers, writing, pace));
    let mut reader = FrameReader::new(reading);
    let session = Rc::new(Session::new(context, sink, budget));
    let end = read_requests(&session, &mut reader).await;
    say_goodbye(&session, peer, &end);
    // The writer ends when the last request has been answered.
    drop(session);
    let sent_away = end.is_err();
    let written = if sent_away {
        tokio::time::timeout(GOODBYE_TIME_MAX, writer).await.ok()
    } else {
        Some(writer.await)
    };
    if let Some(Ok(Err(error))) = written {
        debug!(%peer, %error, "a connection's answers could not be written");
    }
    if sent_away {
        reader.drain(DRAIN_TIME_MAX).await;
    }
}

/// Reads and starts requests until the peer closes, the broker stops or something is wrong.
async fn read_requests(session: &Rc<Session>, reader: &mut FrameReader) -> Result<(), ReadError> {
    let handshake_until = Instant::now() + HANDSHAKE_TIME_MAX;
    let mut stopping = session.context().stopping.clone();
    loop {
        let patience = if session.is_greeted() {
            reader.allow_large_frames();
            Patience::Idle(session.context().config.connection_idle_max)
        } else {
            Patience::Handshake(handshake_until)
        };
        let next = tokio::select! {
            biased;
            next = reader.next(session.budget(), patience) => next?,
            _ = stopping.wait_for(|stop| *stop) => return Ok(()),
            // Nobody reads the answers: the writer has given up.
            () = session.sink().closed() => return Ok(()),
        };
        let Some((body, in_flight)) = next else {
            return Ok(());
        };
        match session.start_request(body, in_flight) {
            Next::Continue => {}
            Next::After(work) => work.await,
            Next::Close => return Ok(()),
        }
    }
}

fn say_goodbye(session: &Session, peer: SocketAddr, end: &Result<(), ReadError>) {
    let Err(problem) = end else { return };
    let last_words = match problem {
        ReadError::Frame(FrameError::ForeignProtocol {
            looks_like: LooksLike::Http,
            ..
        }) => Some(Bytes::from_static(HTTP_ANSWER.as_bytes())),
        ReadError::Frame(error) => Some(error_frame(None, &WireError::from(error.clone()))),
        ReadError::Truncated { .. } | ReadError::FrameTime { .. } => {
            let error = WireError::new(ErrorCode::MalformedFrame, problem.to_string());
            Some(error_frame(None, &error))
        }
        ReadError::FrameStalled { .. } => {
            let error = WireError::new(ErrorCode::Busy, problem.to_string());
            Some(error_frame(None, &error))
        }
        ReadError::HandshakeTime | ReadError::Idle { .. } => {
            let error = WireError::new(ErrorCode::TimedOut, problem.to_string());
            Some(error_frame(None, &error))
        }
        ReadError::Io(_) => None,
    };
    match problem {
        ReadError::Io(_) | ReadError::Idle { .. } | ReadError::FrameStalled { .. } => {
            debug!(%peer, %problem, "connection ended")
        }
        _ => info!(%peer, %problem, "connection closed"),
    }
    if let Some(frame) = last_words {
        session.sink().send(Answer::bytes(frame, None));
    }
}

/// What a browser or curl that found the port gets to see.
const HTTP_ANSWER: &str = "HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 96\r\n\
    Connection: close\r\n\
    \r\n\
    This port speaks the broker's MessagePack protocol, not HTTP. See broker/protocol/PROTOCOL.md.\r\n";

#[cfg(test)]
mod tests {
    #[test]
    fn the_http_answer_says_how_long_it_is() {
        let (head, body) = super::HTTP_ANSWER.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}
