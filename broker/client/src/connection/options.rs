//! `ConnectionOptions`: what a client says about itself and how long it is willing to wait.
//! The bounds on what is under way come from the broker, in its answer to `hello`.

use std::time::Duration;

use broker_model::limits;

/// How a [`Connection`](super::Connection) behaves.
///
/// ```
/// use std::time::Duration;
/// use broker_client::ConnectionOptions;
///
/// let options = ConnectionOptions {
///     client_name: "billing".into(),
///     request_timeout: Duration::from_secs(5),
///     ..ConnectionOptions::default()
/// };
/// assert_eq!(options.connect_timeout, Duration::from_secs(5));
/// ```
#[derive(Clone, Debug)]
pub struct ConnectionOptions {
    /// Told to the broker in `hello`; shows in its logs.
    pub client_name: String,
    /// How long TCP connect and `hello` together may take.
    pub connect_timeout: Duration,
    /// How long an answer may take, unless the call says otherwise.
    pub request_timeout: Duration,
    /// After this long without a request a `ping` keeps the connection open, and a broker that has
    /// not sent anything by the next one is given up. Shorter than the broker's idle time.
    pub keep_alive: Duration,
    /// Largest answer that is taken in, in bytes; a longer one ends the connection.
    pub answer_bytes_max: usize,
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            client_name: concat!("broker-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(60),
            // A fetch answer carries a whole batch even above its limit.
            answer_bytes_max: 2 * limits::FRAME_BYTES_MAX + 64 * 1024,
        }
    }
}
