//! A connection: a task that reads frames and starts requests, and a task that writes answers, both on one
//! arbiter. Requests go to handlers in the order they arrive, answers leave as they are ready. A connection
//! that keeps asking for partitions of another arbiter moves there, between two requests: `moving` says
//! what it takes along, `affinity` when.

mod affinity;
mod closures;
mod in_turn;
mod moving;
mod session;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use broker_model::limits::HANDSHAKE_TIME_MAX;
use broker_protocol::{ErrorCode, FrameError, LooksLike, WireError, error_frame};
use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;
use tracing::{debug, info};

use crate::arbiters::Shard;
use crate::context::Context;
use crate::net::answer::LAST_ANSWERS_WITHIN;
use crate::net::answer_writer::{AnswerWriter, Written};
use crate::net::apart::at_once;
use crate::net::lane::Stint;
use crate::net::listener::ConnectionPlace;
use crate::net::reading_pace::ReadingPace;
use crate::net::{FrameReader, InFlight, Patience, ReadError};
use moving::{Resting, pack};
use session::Next;
pub(crate) use session::{Asker, Session, Weight, WorkInOrder};

/// How long a client may take to read the last answers of a connection that is being closed, after those were
/// waited for.
const GOODBYE_TIME_MAX: Duration = Duration::from_secs(5);
/// How long bytes of a client that was sent away are thrown away.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);

/// A request that was read and not started yet.
type Request = (Bytes, InFlight);

/// Why reading stopped without anything being wrong.
enum End {
    /// The peer has closed, the broker stops, or nobody reads answers.
    Over,
    /// The peer has sent something that ends the connection, and was told.
    SentAway,
    /// To go on elsewhere, with this request.
    Move(Shard, Request),
}

/// Starts serving a connection that was just accepted.
pub(crate) fn start(
    socket: std::net::TcpStream,
    peer: SocketAddr,
    context: Arc<Context>,
    place: ConnectionPlace,
) {
    let shard = context.arbiters.for_connection();
    Resting::new(socket, peer, context, place).go_to(shard);
}

/// Serves a connection until it ends or moves. There may be very many that only wait for a request: what comes once
/// in the life of a connection is apart from its task.
async fn serve(connection: Box<Resting>, shard: Shard) {
    let Resting {
        socket,
        peer,
        context,
        place,
        state,
        input,
        answers,
        mut next,
        trials,
    } = *connection;
    let stint = Stint::of_connection(trials);
    stint.arrive().await;
    let socket = match TcpStream::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => {
            info!(%peer, %error, "a connection cannot be served");
            return;
        }
    };
    let (reading, writing) = socket.into_split();
    let pace = ReadingPace::new(state.budget.answers().clone(), context.stopping.clone());
    let writer = AnswerWriter::new(answers, writing, pace);
    let idle = writer.idle();
    let writer = actix_rt::spawn(writer.run());
    let polled = context.arbiters.polled(shard);
    let rhythm = context.busy_polls.for_connection(polled);
    let mut reader = FrameReader::resume(reading, input, rhythm);
    let session = Rc::new(Session::resume(context.clone(), state, shard));
    let end = read_requests(&session, (&mut reader, &stint), &mut next, || idle.get()).await;
    stint.end();
    if let Ok(End::Move(shard, next)) = end {
        debug!(%peer, ?shard, "a connection moves to another arbiter");
        match Box::pin(pack(session, reader, writer)).await {
            Ok((socket, state, input, answers)) => Resting {
                socket,
                peer,
                context,
                place,
                state,
                input,
                answers,
                next: Some(next),
                trials: stint.trials(),
            }
            .go_to(shard),
            Err(error) => debug!(%peer, %error, "a connection was lost while it moved"),
        }
        return;
    }
    reader.forget();
    session.budget().fetches().input_has_ended();
    say_goodbye(&session, peer, &end);
    // The writer ends when the last request has been answered.
    drop(session);
    let sent_away = matches!(end, Err(_) | Ok(End::SentAway));
    let written = if sent_away {
        Box::pin(part(writer, (&mut reader, &stint), &context)).await
    } else {
        Some(writer.await)
    };
    if let Some(Ok(Err(error))) = written {
        debug!(%peer, %error, "a connection's answers could not be written");
    }
    stint.leave().await;
    // No task holds the socket any more.
    drop(reader);
    drop(place);
}

type Writing = JoinHandle<io::Result<Written>>;

/// Gives a client that was sent away time to read why, and what it asked before. A writer that is not done by
/// then is ended: it holds the socket, and whoever still asks has to see that nobody reads.
async fn part(
    mut writer: Writing,
    (reader, stint): (&mut FrameReader, &Stint),
    context: &Context,
) -> Option<Result<io::Result<Written>, JoinError>> {
    let writing = async {
        let within = LAST_ANSWERS_WITHIN + GOODBYE_TIME_MAX;
        if let Ok(written) = tokio::time::timeout(within, &mut writer).await {
            return Some(written);
        }
        writer.abort();
        // Its end, not what became of it: an answer was cut off.
        let _ = writer.await;
        None
    };
    let mut stopping = context.stopping.clone();
    let leaving = async {
        let leaving = pin!(reader.leave_frame(stint));
        tokio::select! {
            () = stint.take_in(leaving) => {}
            _ = stopping.wait_for(|stop| *stop) => {}
        }
        stint.end();
    };
    let (written, ()) = tokio::join!(writing, leaving);
    stint
        .take_in(pin!(reader.drain(DRAIN_TIME_MAX, stint)))
        .await;
    stint.end();
    written
}

/// Reads and starts requests until the peer closes, the broker stops, something is wrong, or the connection
/// had better live elsewhere. It moves only while no answer is being written.
async fn read_requests(
    session: &Rc<Session>,
    (reader, stint): (&mut FrameReader, &Stint),
    first: &mut Option<Request>,
    no_answer_is_written: impl Fn() -> bool,
) -> Result<End, ReadError> {
    let handshake_until = Instant::now() + HANDSHAKE_TIME_MAX;
    let mut stopping = session.context().stopping.clone();
    // Nobody reads the answers any more when the writer has given up.
    let mut over = pin!(async {
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => {}
            () = session.sink().closed() => {}
        }
    });
    loop {
        let patience = if session.is_greeted() {
            reader.allow_large_frames();
            Patience::Idle(session.context().config.connection_idle_max)
        } else {
            Patience::Handshake(handshake_until)
        };
        let next = match first.take() {
            Some(carried) => Some(carried),
            None => {
                let reading = pin!(reader.next(session.budget(), patience, stint));
                tokio::select! {
                    biased;
                    next = stint.take_in(reading) => next?,
                    () = &mut over => return Ok(End::Over),
                }
            }
        };
        let Some((body, in_flight)) = next else {
            return Ok(End::Over);
        };
        if let Some(shard) = session.better_shard()
            && Rc::strong_count(session) == 1
            && no_answer_is_written()
        {
            return Ok(End::Move(shard, (body, in_flight)));
        }
        let mut next = session.start_request(body, in_flight);
        stint.has_worked_on(session.take_work());
        if let Next::Heavy(body, in_flight) = next {
            stint.end();
            next = Box::pin(session.start_heavy(body, in_flight)).await;
        }
        match next {
            Next::After(mut work) => {
                stint.end();
                if at_once(work.as_mut()).await.is_none() {
                    reader.put_room_away();
                    work.await;
                }
            }
            Next::Close => return Ok(End::SentAway),
            Next::Continue | Next::Heavy(..) => {}
        }
    }
}

/// What a client is told whose connection ends for a reason.
fn last_words(problem: &ReadError) -> Option<Bytes> {
    let code = match problem {
        ReadError::Frame(FrameError::ForeignProtocol {
            looks_like: LooksLike::Http,
            ..
        }) => return Some(Bytes::from_static(HTTP_ANSWER.as_bytes())),
        ReadError::Frame(error) => {
            return Some(error_frame(None, &WireError::from(error.clone())));
        }
        ReadError::Truncated { .. } | ReadError::FrameTime { .. } => ErrorCode::MalformedFrame,
        ReadError::FrameStalled { .. } | ReadError::PlaceTime => ErrorCode::Busy,
        ReadError::HandshakeTime | ReadError::Idle { .. } => ErrorCode::TimedOut,
        ReadError::Io(_) => return None,
    };
    let error = WireError::new(code, problem.to_string());
    Some(error_frame(None, &error))
}

fn say_goodbye(session: &Session, peer: SocketAddr, end: &Result<End, ReadError>) {
    let Err(problem) = end else { return };
    match problem {
        ReadError::Io(_)
        | ReadError::Idle { .. }
        | ReadError::FrameStalled { .. }
        | ReadError::PlaceTime => {
            debug!(%peer, %problem, "connection ended")
        }
        _ => closures::tell(peer, problem),
    }
    if let Some(frame) = last_words(problem) {
        session.sink().send_last(frame);
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
    use super::*;

    #[test]
    fn who_got_no_place_is_told_that_the_broker_is_busy() {
        let told = |problem| last_words(&problem).expect("it is told");
        let names =
            |frame: Bytes, name: &str| frame.windows(name.len()).any(|at| at == name.as_bytes());
        assert!(names(told(ReadError::PlaceTime), "BUSY"));
        assert!(names(
            told(ReadError::FrameTime { missing: 1 }),
            "MALFORMED_FRAME"
        ));
    }

    /// What a future takes that is made by this.
    fn bytes_of<A, F: Future>(_: impl Fn(A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connection_that_waits_for_a_request_takes_little() {
        let serving = bytes_of(|(connection, shard)| serve(connection, shard));
        assert!(serving <= 3 * 1024, "{serving} bytes to read");
        let writing = bytes_of(AnswerWriter::run);
        assert!(writing <= 1024 + 128, "{writing} bytes to write");
    }

    #[test]
    fn the_http_answer_says_how_long_it_is() {
        let (head, body) = HTTP_ANSWER.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}
