//! A connection between two arbiters: everything it consists of but its tasks. Nothing has to be finished
//! first: requests under way answer through the connection's channel, from whatever thread; the channel, the
//! bytes read ahead and the budget go along. Appends keep their order, since the request in hand is started
//! after all before it were put into their partitions' mailboxes.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::session::Session;
use super::{Request, serve};
use crate::arbiters::Shard;
use crate::context::Context;
use crate::net::answer_writer::Written;
use crate::net::frame_reader::ReadAhead;
use crate::net::lane::Trials;
use crate::net::listener::ConnectionPlace;
use crate::net::{AnswerSink, Answers, ConnectionBudget, FrameReader};

/// What requests of a connection share, wherever it lives.
pub(super) struct SessionState {
    pub(super) sink: AnswerSink,
    pub(super) budget: ConnectionBudget,
    /// Whether `hello` was answered.
    pub(super) greeted: bool,
}

/// A connection that no task serves at the moment.
pub(super) struct Resting {
    pub(super) socket: std::net::TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) context: Arc<Context>,
    pub(super) place: ConnectionPlace,
    pub(super) state: SessionState,
    pub(super) input: ReadAhead,
    pub(super) answers: Answers,
    /// Read, but not started.
    pub(super) next: Option<Request>,
    pub(super) trials: Trials,
}

impl Resting {
    /// A connection of which nothing was read yet.
    pub(super) fn new(
        socket: std::net::TcpStream,
        peer: SocketAddr,
        context: Arc<Context>,
        place: ConnectionPlace,
    ) -> Self {
        let budget = context.requests.for_connection();
        let (sink, answers) = AnswerSink::channel(budget.answers().clone());
        Self {
            socket,
            peer,
            context,
            place,
            state: SessionState {
                sink,
                budget,
                greeted: false,
            },
            input: ReadAhead::default(),
            answers,
            next: None,
            trials: Trials::default(),
        }
    }

    /// Is served on a shard from now on.
    pub(super) fn go_to(self, shard: Shard) {
        let arbiters = self.context.arbiters.clone();
        // What it consists of is taken apart there, and is not to be in its task beside its parts.
        let resting = Box::new(self);
        // A broker that has stopped drops it.
        arbiters.shard(shard).spawn_fn(move || {
            actix_rt::spawn(serve(resting, shard));
        });
    }
}

type Packed = (std::net::TcpStream, SessionState, ReadAhead, Answers);

/// Takes a connection out of its tasks. The writer is not writing, so that it ends at once.
pub(super) async fn pack(
    session: Rc<Session>,
    reader: FrameReader,
    writer: JoinHandle<io::Result<Written>>,
) -> io::Result<Packed> {
    let in_use = || io::Error::other("a request still uses the connection");
    let session = Rc::try_unwrap(session).map_err(|_| in_use())?;
    session.sink().stop_writing();
    let state = session.into_state();
    let (answers, writing) = match writer.await {
        Ok(Ok(Written::InPart(answers, writing))) => (answers, writing),
        Ok(Ok(Written::All)) => return Err(in_use()),
        Ok(Err(error)) => return Err(error),
        Err(panicked) => return Err(io::Error::other(panicked)),
    };
    let (reading, input) = reader.into_parts();
    let socket = reading.reunite(writing).map_err(io::Error::other)?;
    Ok((socket.into_std()?, state, input, answers))
}
