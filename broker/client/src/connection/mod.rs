//! `Connection`: one TCP connection to one broker, shared by as many tasks as like. Requests are
//! pipelined, answers may overtake each other, and what is under way is bounded by what the broker
//! announced in `hello`. When the connection dies, everything that waits fails at once and says
//! whether it had been handed to the network. It never reconnects and never retries: that is the
//! business of [`Client`](crate::Client).

mod frame_buffer;
mod handshake;
mod options;
mod pending;
mod raw_args;
mod reader;
mod request;
mod shared;
mod writer;

use std::fmt;
use std::sync::Arc;

use broker_protocol::api::hello::HelloResponse;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, UnboundedSender};

use self::handshake::Opened;
use self::shared::Shared;
use self::writer::Outgoing;
use crate::error::{Call, ClientError};

pub use self::options::ConnectionOptions;
pub use self::pending::Answered;
pub use self::raw_args::RawArgs;
pub use self::request::Submitted;

/// A connection to a broker; cheap to clone. It closes when the last clone is dropped, after what
/// is queued has been written.
///
/// ```no_run
/// # async fn example() -> Result<(), broker_client::ClientError> {
/// use broker_client::{Connection, ConnectionOptions};
/// use broker_client::protocol::api::ping::PingRequest;
///
/// let connection = Connection::connect("127.0.0.1:7420", ConnectionOptions::default()).await?;
/// let pong = connection.request(&PingRequest {}).await?;
/// println!("broker {} says {}", connection.hello().broker_id, pong.time_ms);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Connection {
    inner: Arc<Inner>,
}

struct Inner {
    address: Arc<str>,
    options: ConnectionOptions,
    hello: HelloResponse,
    shared: Arc<Shared>,
    queue: UnboundedSender<Outgoing>,
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    bytes_max: usize,
}

impl Connection {
    /// Connects to `address` (`host:port`) and says hello. Must be called within a tokio runtime
    /// with I/O and time enabled; the connection's task lives there.
    ///
    /// # Errors
    /// When the broker cannot be reached in time, is no broker, or shares no protocol version.
    pub async fn connect(address: &str, options: ConnectionOptions) -> Result<Self, ClientError> {
        let address: Arc<str> = address.into();
        let opening = handshake::open(&address, &options);
        let opened = tokio::time::timeout(options.connect_timeout, opening).await;
        let opened = opened.unwrap_or_else(|_| {
            Err(ClientError::Connect {
                address: address.clone(),
                reason: format!("no answer within {:?}", options.connect_timeout).into(),
            })
        })?;
        Ok(Self::start(address, options, opened))
    }

    fn start(
        address: Arc<str>,
        options: ConnectionOptions,
        (socket, buffer, hello): Opened,
    ) -> Self {
        let limit = |announced: u64| {
            let at_least_one = usize::try_from(announced).unwrap_or(usize::MAX).max(1);
            at_least_one.min(Semaphore::MAX_PERMITS)
        };
        let shared = Arc::new(Shared::new());
        let (queue, queued) = mpsc::unbounded_channel();
        let keep_alive = options.keep_alive;
        let driver = shared.clone();
        let (read_half, write_half) = socket.into_split();
        tokio::spawn(async move {
            let reason = tokio::select! {
                ended = driver.stopped() => ended,
                ended = reader::run(read_half, buffer, &driver) => ended,
                ended = writer::run(queued, write_half, &driver, keep_alive) => {
                    ended.unwrap_or_else(|| "closed by this client".to_owned())
                }
            };
            driver.pending.die(reason);
        });
        // acquire_many counts in u32.
        let bytes_max = limit(hello.limits.in_flight_bytes_max).min(u32::MAX as usize);
        let inner = Inner {
            requests: Arc::new(Semaphore::new(limit(hello.limits.in_flight_requests_max))),
            bytes: Arc::new(Semaphore::new(bytes_max)),
            bytes_max,
            address,
            options,
            hello,
            shared,
            queue,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The broker's address, as it was connected to.
    pub fn address(&self) -> &str {
        &self.inner.address
    }

    /// What the broker announced: its id, cluster, features, codecs and limits.
    pub fn hello(&self) -> &HelloResponse {
        &self.inner.hello
    }

    /// Fails for a broker that has not announced a feature: it would ignore arguments that it does
    /// not know.
    pub(crate) fn needs_feature(&self, feature: &str) -> Result<(), ClientError> {
        let hello = self.hello();
        if hello.features.iter().any(|name| name == feature) {
            return Ok(());
        }
        Err(ClientError::invalid(format!(
            "broker {} (version {}) does not have the feature {feature:?}",
            hello.broker_id, hello.broker_version
        )))
    }

    /// How this connection was set up.
    pub fn options(&self) -> &ConnectionOptions {
        &self.inner.options
    }

    /// Whether the connection still stood when something was last heard of it.
    pub fn is_alive(&self) -> bool {
        self.inner.shared.pending.death().is_none()
    }

    /// Ends the connection now; everything that waits fails.
    pub fn close(&self) {
        self.inner.shared.pending.die("closed by this client");
        self.inner.shared.stop();
    }

    pub(crate) fn call(&self, method: &'static str) -> Call {
        Call {
            address: self.inner.address.clone(),
            method,
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("address", &self.address())
            .field("broker_id", &self.inner.hello.broker_id)
            .field("alive", &self.is_alive())
            .finish_non_exhaustive()
    }
}
