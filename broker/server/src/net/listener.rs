//! Accepts connections and hands each to an arbiter. A connection above a limit, of all or of one address, is
//! told so and closed. So is one that there is no file descriptor for: one is kept in reserve, to accept it with.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use broker_model::limits::ANSWER_BYTES_UNSENT_MAX;
use broker_protocol::{ErrorCode, WireError, error_frame};
use futures::FutureExt;
use rustix::io::Errno;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, warn};

/// So many connections are accepted in a row, or this many refused, ...
const ACCEPTED_IN_A_ROW: usize = 8;
const REFUSED_IN_A_ROW: usize = 128;
/// ... and then none for a moment: to be woken for each takes the core from whoever serves, and thousands a second are
/// enough.
const PAUSE_AFTER_SOME: Duration = Duration::from_millis(1);
/// So many may wait to be accepted, if the system lets them (`net.core.somaxconn`): all that come back at once when
/// the broker was away. Those beyond it try again after a second or more.
const BACKLOG: u32 = 4096;
/// How long accepting pauses after the system refused to hand out a socket.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);
/// How often the log says that connections are refused, however many are.
const WARN_EVERY: Duration = Duration::from_secs(1);

/// Counts open connections; cheap to clone.
#[derive(Clone)]
pub(crate) struct ConnectionCount {
    open: Arc<Mutex<Open>>,
    max: usize,
    per_ip_max: usize,
}

#[derive(Default)]
struct Open {
    all: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// The place of one open connection; given back when dropped.
pub(crate) struct ConnectionPlace {
    count: ConnectionCount,
    ip: IpAddr,
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        let mut open = self.count.lock();
        open.all -= 1;
        if let Some(of_ip) = open.by_ip.get_mut(&self.ip) {
            *of_ip -= 1;
            if *of_ip == 0 {
                open.by_ip.remove(&self.ip);
            }
        }
    }
}

/// Why a connection has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoPlace {
    All { max: usize },
    OfAddress { max: usize },
    InSystem,
}

impl NoPlace {
    fn message(self) -> String {
        match self {
            Self::All { max } => {
                format!("the broker holds {max} connections already, try again later")
            }
            Self::OfAddress { max } => {
                format!("the broker holds {max} connections from this address already")
            }
            Self::InSystem => "the broker has no file descriptor left for a connection, try again later; its limit of open files (ulimit -n) is too low if that lasts".to_owned(),
        }
    }
}

impl ConnectionCount {
    /// At most `max` at once, and `per_ip_max` from one address.
    pub(crate) fn new(max: usize, per_ip_max: usize) -> Self {
        Self {
            open: Arc::default(),
            max,
            per_ip_max,
        }
    }

    /// Connections open now.
    pub(crate) fn open(&self) -> usize {
        self.lock().all
    }

    fn enter(&self, ip: IpAddr) -> Result<ConnectionPlace, NoPlace> {
        // Behind a listener for both, an IPv4 address looks like an IPv6 one.
        let ip = ip.to_canonical();
        let mut open = self.lock();
        if open.all >= self.max {
            return Err(NoPlace::All { max: self.max });
        }
        let of_ip = open.by_ip.entry(ip).or_default();
        if *of_ip >= self.per_ip_max {
            let max = self.per_ip_max;
            return Err(NoPlace::OfAddress { max });
        }
        *of_ip += 1;
        open.all += 1;
        let count = self.clone();
        Ok(ConnectionPlace { count, ip })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open
            .lock()
            .expect("no code panics while it holds this lock")
    }
}

/// Listens on the first of the addresses of `address` that can be listened on.
///
/// # Errors
/// Why the last of them cannot, or that there is none.
pub(crate) async fn bind(address: &str) -> io::Result<TcpListener> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host(address).await? {
        match listen_on(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Connections of a broker that was here before do not keep this one out.
    socket.set_reuseaddr(true)?;
    limit_unsent(&socket);
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Connections that are accepted take over what the system holds for each: by default megabytes that a client does not
/// read, of memory that all connections of the machine share. When that is used up, segments are dropped, and whoever
/// sends much waits for hundreds of milliseconds until they are sent again.
fn limit_unsent(listening: &TcpSocket) {
    let limit = u32::try_from(ANSWER_BYTES_UNSENT_MAX).unwrap_or(u32::MAX);
    if let Err(error) = SockRef::from(listening).set_tcp_notsent_lowat(limit) {
        warn!(%error, "what clients do not read may take much of the system's memory");
    }
}

/// Accepts until `stop` says so, those that come together in parts. `serve` gets each connection, on the accepting
/// thread.
pub(crate) async fn accept_connections(
    listener: TcpListener,
    count: ConnectionCount,
    mut stop: watch::Receiver<bool>,
    serve: impl Fn(std::net::TcpStream, SocketAddr, ConnectionPlace),
) {
    let mut refusals = Refusals::default();
    let mut reserve = Reserve::default();
    let mut last_came = Instant::now();
    loop {
        reserve.fill(&listener);
        let first = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let at_once = || listener.accept().now_or_never();
        let (mut accepted, mut refused) = (0, 0);
        let mut pause = PAUSE_AFTER_SOME;
        for came in std::iter::once(first).chain(std::iter::from_fn(at_once)) {
            match came {
                Ok((socket, peer)) => match count.enter(peer.ip()) {
                    Ok(place) => {
                        hand_over(socket, peer, place, &serve);
                        accepted += 1;
                    }
                    Err(reason) => {
                        refusals.refuse(&socket, peer, reason);
                        refused += 1;
                    }
                },
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    if is_out_of_files(&error) {
                        reserve.refuse_waiting(&listener, &mut refusals);
                    }
                    pause = PAUSE_AFTER_ERROR;
                    break;
                }
            }
            if accepted == ACCEPTED_IN_A_ROW || refused == REFUSED_IN_A_ROW {
                break;
            }
        }
        let was_quiet = last_came.elapsed() > PAUSE_AFTER_SOME;
        last_came = Instant::now();
        let is_alone = was_quiet && (accepted, refused) == (1, 0);
        if !is_alone || pause > PAUSE_AFTER_SOME {
            tokio::time::sleep(pause).await;
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

/// Whether the process, or the system, has no descriptor left.
fn is_out_of_files(error: &io::Error) -> bool {
    let found = Errno::from_io_error(error);
    matches!(found, Some(Errno::MFILE | Errno::NFILE))
}

/// A descriptor that is given up when there is none for a connection: who waits for an answer gets one.
#[derive(Default)]
struct Reserve(Option<OwnedFd>);

impl Reserve {
    /// Takes one again, if there is one.
    fn fill(&mut self, listener: &TcpListener) {
        if self.0.is_none() {
            self.0 = listener.as_fd().try_clone_to_owned().ok();
        }
    }

    /// Accepts those that wait, one after the other, tells them why they cannot stay, and closes them.
    fn refuse_waiting(&mut self, listener: &TcpListener, refusals: &mut Refusals) {
        self.0 = None;
        for _ in 0..REFUSED_IN_A_ROW {
            match listener.accept().now_or_never() {
                Some(Ok((socket, peer))) => refusals.refuse(&socket, peer, NoPlace::InSystem),
                _ => break,
            }
        }
        self.fill(listener);
    }
}

/// Connections that were refused since the log last said so.
#[derive(Default)]
struct Refusals {
    unsaid: u64,
    said: Option<Instant>,
}

impl Refusals {
    /// Tells a client why, as far as the socket takes it at once, and closes.
    fn refuse(&mut self, socket: &TcpStream, peer: SocketAddr, reason: NoPlace) {
        let message = reason.message();
        self.unsaid += 1;
        if self.said.is_none_or(|said| said.elapsed() >= WARN_EVERY) {
            let refused = std::mem::take(&mut self.unsaid);
            warn!(%peer, refused, reason = message, "connections refused");
            self.said = Some(Instant::now());
        }
        let error = WireError::new(ErrorCode::TooManyConnections, message);
        let _: io::Result<usize> = socket.try_write(&error_frame(None, &error));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::net::Ipv4Addr;
    use std::rc::Rc;

    use super::*;

    #[actix_rt::test]
    async fn those_that_come_together_are_accepted_in_parts() {
        const CLIENTS: usize = 5 * ACCEPTED_IN_A_ROW;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connect = |_| std::net::TcpStream::connect(address).unwrap();
        let clients: Vec<_> = (0..CLIENTS).map(connect).collect();
        let (accepted, (stop, stopping)) = (Rc::new(Cell::new(0)), watch::channel(false));
        let counted = accepted.clone();
        let accepting = actix_rt::spawn(accept_connections(
            listener,
            ConnectionCount::new(CLIENTS, CLIENTS),
            stopping,
            move |_, _, _| counted.set(counted.get() + 1),
        ));
        let mut before = 0;
        while accepted.get() < CLIENTS {
            tokio::task::yield_now().await;
            let at_once = accepted.get() - before;
            assert!(
                at_once <= ACCEPTED_IN_A_ROW,
                "{at_once} while nobody else got to run"
            );
            before = accepted.get();
        }
        stop.send_replace(true);
        accepting.await.unwrap();
        drop(clients);
    }

    #[actix_rt::test]
    async fn many_may_wait_to_be_accepted() {
        let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
        let most: usize = most.trim().parse().unwrap();
        let listener = bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // Beyond what may wait, the system does not answer at all.
        let connect = |_| std::net::TcpStream::connect_timeout(&address, Duration::from_secs(20));
        let waiting: Result<Vec<_>, _> = (0..most.min(300)).map(connect).collect();
        waiting.unwrap();
    }

    #[actix_rt::test]
    async fn of_what_a_client_does_not_read_little_lies_in_the_system() {
        let listener = bind("127.0.0.1:0").await.unwrap();
        let client = TcpSocket::new_v4().unwrap();
        client.set_recv_buffer_size(16 * 1024).unwrap();
        let connecting = client.connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(connecting, listener.accept());
        let (_client, (socket, _)) = (client.unwrap(), accepted.unwrap());
        socket.writable().await.unwrap();
        let mut taken = 0;
        while let Ok(some) = socket.try_write(&[0; ANSWER_BYTES_UNSENT_MAX / 8]) {
            taken += some;
        }
        assert!(taken <= 4 * ANSWER_BYTES_UNSENT_MAX, "{taken} bytes");
    }

    #[test]
    fn one_address_cannot_take_every_place() {
        let count = ConnectionCount::new(3, 2);
        let (greedy, other) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let first = count.enter(greedy.into()).ok();
        let _second = count.enter(greedy.to_ipv6_mapped().into()).ok();
        let refused = count.enter(greedy.into()).err();
        assert_eq!(refused, Some(NoPlace::OfAddress { max: 2 }));
        let _third = count.enter(other.into()).ok();
        assert_eq!(
            count.enter(other.into()).err(),
            Some(NoPlace::All { max: 3 })
        );
        drop(first);
        assert!(count.enter(greedy.into()).is_ok());
        assert_eq!(count.open(), 2);
    }
}
