//! `ClientOptions`: where a client starts, how long it believes what it knows, how it comes back.

use std::time::Duration;

use super::backoff::BackoffBounds;
use super::bootstrap::Bootstrap;
use crate::connection::ConnectionOptions;
use crate::error::ClientError;

/// How a [`Client`](crate::Client) behaves.
///
/// ```
/// use std::time::Duration;
/// use broker_client::ClientOptions;
///
/// let mut options = ClientOptions::new("a:7420,b:7420")?;
/// assert_eq!(options.metadata_max_age, Duration::from_secs(300));
/// options.connection.client_name = "billing".into();
/// # Ok::<(), broker_client::ClientError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Brokers to start from; tried in order.
    pub bootstrap: Bootstrap,
    /// How each connection behaves.
    pub connection: ConnectionOptions,
    /// Metadata older than this is asked for again (Kafka's `metadata.max.age.ms`).
    pub metadata_max_age: Duration,
    /// Metadata of a topic that was not used for this long is dropped (`metadata.max.idle.ms`).
    pub metadata_max_idle: Duration,
    /// Pauses between attempts, of connects and of requests.
    pub backoff: BackoffBounds,
    /// How long a request that may be sent again is tried for. Producers have a timeout of their
    /// own, consumers try for ever.
    pub retry_timeout: Duration,
}

impl ClientOptions {
    /// The defaults, with this bootstrap list.
    ///
    /// # Errors
    /// When the list is empty or an address in it is malformed.
    pub fn new(bootstrap: &str) -> Result<Self, ClientError> {
        Ok(Self {
            bootstrap: bootstrap.parse()?,
            connection: ConnectionOptions::default(),
            metadata_max_age: Duration::from_secs(5 * 60),
            metadata_max_idle: Duration::from_secs(5 * 60),
            backoff: BackoffBounds::default(),
            retry_timeout: Duration::from_secs(30),
        })
    }
}
