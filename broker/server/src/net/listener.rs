//! Accepts connections and hands each to an arbiter. A connection above the limit is told so and closed;
//! running out of file descriptors pauses accepting instead of spinning.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use broker_protocol::{ErrorCode, WireError, error_frame};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tracing::{debug, warn};

/// How long accepting pauses after the system refused to hand out a socket.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// Counts open connections; cheap to clone.
#[derive(Clone)]
pub(crate) struct ConnectionCount {
    open: Arc<AtomicUsize>,
    max: usize,
}

/// The place of one open connection; given back when dropped.
pub(crate) struct ConnectionPlace(Arc<AtomicUsize>);

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl ConnectionCount {
    /// At most `max` at once.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            open: Arc::default(),
            max,
        }
    }

    /// Connections open now.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    fn enter(&self) -> Option<ConnectionPlace> {
        let place = ConnectionPlace(self.open.clone());
        let before = self.open.fetch_add(1, Ordering::AcqRel);
        (before < self.max).then_some(place)
    }
}

/// Accepts until `stop` says so. `serve` gets each connection, on the accepting thread.
pub(crate) async fn accept_connections(
    listener: TcpListener,
    count: ConnectionCount,
    mut stop: watch::Receiver<bool>,
    serve: impl Fn(std::net::TcpStream, SocketAddr, ConnectionPlace),
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((socket, peer)) => match count.enter() {
                Some(place) => hand_over(socket, peer, place, &serve),
                None => refuse(&socket, peer, count.max),
            },
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
            }
        }
    }
}

fn hand_over(
    socket: TcpStream,
    peer: SocketAddr,
    place: ConnectionPlace,
    serve: &impl Fn(std::net::TcpStream, SocketAddr, ConnectionPlace),
) {
    let prepared = socket.set_nodelay(true).and_then(|()| socket.into_std());
    match prepared {
        Ok(socket) => serve(socket, peer, place),
        Err(error) => debug!(%peer, %error, "a connection was lost while it was accepted"),
    }
}

/// Tells a client why, as far as the socket takes it at once, and closes.
fn refuse(socket: &TcpStream, peer: SocketAddr, max: usize) {
    warn!(%peer, max, "connection refused: too many are open");
    let message = format!("the broker holds {max} connections already, try again later");
    let error = WireError::new(ErrorCode::TooManyConnections, message);
    let _: io::Result<usize> = socket.try_write(&error_frame(None, &error));
}
