//! `Client`: the cluster as a client sees it. Knows where the brokers are and who leads what, asks
//! again when that turns out to be wrong or old, keeps one connection to each broker, and sends
//! requests again where that is safe. Producers, consumers and administration share one.

mod backoff;
mod bootstrap;
mod leader;
mod metadata_cache;
mod options;
mod pool;
mod retry;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use broker_model::BrokerId;
use broker_protocol::api::metadata::{MetadataRequest, MetadataResponse};
use broker_protocol::{ErrorCode, Request};
use tokio::time::Instant;

use self::metadata_cache::MetadataCache;
use self::pool::Pool;
use crate::connection::Connection;
use crate::error::{Call, ClientError};

pub(crate) use self::backoff::Backoff;
pub use self::backoff::BackoffBounds;
pub use self::bootstrap::{Bootstrap, DEFAULT_PORT};
pub use self::leader::Leader;
pub(crate) use self::leader::{KnownLeader, is_unknown};
pub use self::metadata_cache::{PartitionView, TopicView};
pub use self::options::ClientOptions;
pub use self::retry::Retries;

/// A client of a cluster; cheap to clone, and all clones share their connections.
///
/// ```no_run
/// # async fn example() -> Result<(), broker_client::ClientError> {
/// use broker_client::Client;
///
/// let client = Client::connect("127.0.0.1:7420").await?;
/// let admin = client.admin();
/// admin.create_topic("orders").partitions(3).send().await?;
/// println!("{:?}", client.topic("orders").await?.partitions);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    options: ClientOptions,
    pool: Pool,
    start: Instant,
    cache: Mutex<MetadataCache>,
    /// One refresh at a time: who waits for its turn mostly finds that its question was answered.
    refreshing: tokio::sync::Mutex<()>,
}

impl Client {
    /// Connects to the first broker of the list that answers, such as `a:7420,b:7420`.
    ///
    /// # Errors
    /// When the list is malformed, or none of the brokers can be reached.
    pub async fn connect(bootstrap: &str) -> Result<Self, ClientError> {
        Self::with_options(ClientOptions::new(bootstrap)?).await
    }

    /// Connects as the options say.
    ///
    /// # Errors
    /// When none of the brokers can be reached.
    pub async fn with_options(options: ClientOptions) -> Result<Self, ClientError> {
        let cache = MetadataCache::new(options.metadata_max_age, options.metadata_max_idle);
        let client = Self {
            inner: Arc::new(Inner {
                pool: Pool::new(options.connection.clone(), options.backoff),
                start: Instant::now(),
                cache: Mutex::new(cache),
                refreshing: tokio::sync::Mutex::new(()),
                options,
            }),
        };
        client.metadata(Some(Vec::new())).await?;
        Ok(client)
    }

    /// How this client behaves.
    pub fn options(&self) -> &ClientOptions {
        &self.inner.options
    }

    /// Asks for brokers and topics now; `None` means all topics. What comes back is believed from
    /// now on.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn metadata(
        &self,
        topics: Option<Vec<String>>,
    ) -> Result<MetadataResponse, ClientError> {
        Ok(self.fresh_metadata(topics).await?.1)
    }

    /// Asks for metadata and takes it in; answers it with who said so.
    async fn fresh_metadata(
        &self,
        topics: Option<Vec<String>>,
    ) -> Result<(Call, MetadataResponse), ClientError> {
        let (call, response) = self.ask_any(&MetadataRequest { topics }).await?;
        self.cache().absorb(&response, self.now());
        Ok((call, response))
    }

    /// What is known of a topic; asks when nothing is, or when it is too old.
    ///
    /// # Errors
    /// When the topic does not exist, or no broker answers.
    pub async fn topic(&self, name: &str) -> Result<Arc<TopicView>, ClientError> {
        let (known, seen) = {
            let mut cache = self.cache();
            (cache.topic(name, self.now()), cache.generation_of(name))
        };
        match known {
            Some(view) => Ok(view),
            None => self.refresh(name, seen).await,
        }
    }

    /// Asks for a topic, unless somebody else did since `seen`.
    async fn refresh(&self, name: &str, seen: u64) -> Result<Arc<TopicView>, ClientError> {
        let _turn = self.inner.refreshing.lock().await;
        {
            let mut cache = self.cache();
            let newer = cache.generation_of(name) > seen;
            if let Some(view) = cache.topic(name, self.now()).filter(|_| newer) {
                return Ok(view);
            }
        }
        let (call, response) = self.fresh_metadata(Some(vec![name.to_owned()])).await?;
        let found = response.topics.into_iter().find(|topic| topic.name == name);
        if let Some(error) = found.and_then(|topic| topic.error) {
            let error = Arc::new(error);
            return Err(ClientError::Refused { call, error });
        }
        let view = self.cache().topic(name, self.now());
        view.ok_or_else(|| ClientError::UnknownPartition(format!("topic {name}").into()))
    }

    /// Sends a request that any broker can answer, again where `retries` and the error allow it.
    ///
    /// # Errors
    /// The last error, when it may not be sent again or time has run out.
    pub async fn request_any<R: Request>(
        &self,
        request: &R,
        retries: Retries,
    ) -> Result<R::Response, ClientError> {
        let mut attempts = self.attempts();
        loop {
            match self.ask_any(request).await {
                Ok((_, response)) => return Ok(response),
                Err(error) if retries.allow(&error) => attempts.pause_after(error).await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// One round: every broker that might answer is tried until one can be talked to. A failure
    /// after the request was sent goes to the caller, who knows whether to send it again.
    async fn ask_any<R: Request>(&self, request: &R) -> Result<(Call, R::Response), ClientError> {
        let mut unreachable = Vec::new();
        for connection in self.inner.pool.alive() {
            let call = connection.call(R::METHOD.name());
            match connection.request(request).await {
                Err(error) if goes_elsewhere(&error) => unreachable.push(error.to_string()),
                answered => return Ok((call, answered?)),
            }
        }
        for address in self.known_addresses() {
            let asked = match self.inner.pool.get(&address).await {
                Ok(connection) => connection.request(request).await,
                Err(error) => Err(error),
            };
            let method = R::METHOD.name();
            match asked {
                Err(error) if goes_elsewhere(&error) => unreachable.push(error.to_string()),
                answered => return Ok((Call { address, method }, answered?)),
            }
        }
        Err(ClientError::NoBroker(unreachable.join("; ").into()))
    }

    /// A connection to any broker, an open one if there is one.
    pub(crate) async fn any_broker(&self) -> Result<Connection, ClientError> {
        if let Some(connection) = self.inner.pool.alive().into_iter().next() {
            return Ok(connection);
        }
        let mut unreachable = Vec::new();
        for address in self.known_addresses() {
            match self.inner.pool.get(&address).await {
                Ok(connection) => return Ok(connection),
                Err(error) => unreachable.push(error.to_string()),
            }
        }
        Err(ClientError::NoBroker(unreachable.join("; ").into()))
    }

    /// Brokers of the metadata first, then those the client was started with.
    fn known_addresses(&self) -> Vec<Arc<str>> {
        let cache = self.cache();
        let mut addresses: Vec<Arc<str>> = cache.brokers().map(|(_, at)| at.clone()).collect();
        drop(cache);
        for address in self.inner.options.bootstrap.addresses() {
            if !addresses.iter().any(|known| **known == **address) {
                addresses.push(address.as_str().into());
            }
        }
        addresses
    }

    /// The connection to one broker, opened if need be.
    ///
    /// # Errors
    /// When the metadata has no such broker, or it cannot be reached.
    pub async fn broker(&self, id: BrokerId) -> Result<Connection, ClientError> {
        let mut address = self.cache().address_of(id);
        if address.is_none() {
            self.metadata(Some(Vec::new())).await?;
            address = self.cache().address_of(id);
        }
        match address {
            Some(address) => self.inner.pool.get(&address).await,
            None => Err(ClientError::NoBroker(
                format!("broker {id} is not in the metadata").into(),
            )),
        }
    }

    /// Brokers of the cluster and where they listen, as last heard.
    pub fn brokers(&self) -> Vec<(BrokerId, Arc<str>)> {
        let cache = self.cache();
        let brokers = cache.brokers().map(|(id, address)| (id, address.clone()));
        brokers.collect()
    }

    /// The active controller, as last heard.
    pub fn controller(&self) -> Option<BrokerId> {
        self.cache().controller()
    }

    /// Closes all connections. Requests under way fail; the client can be used again after.
    pub fn close(&self) {
        self.inner.pool.close();
    }

    pub(crate) fn attempts(&self) -> Attempts {
        Attempts {
            backoff: Backoff::new(self.inner.options.backoff),
            give_up_at: Instant::now() + self.inner.options.retry_timeout,
        }
    }

    fn cache(&self) -> MutexGuard<'_, MetadataCache> {
        let cache = self.inner.cache.lock();
        cache.unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> std::time::Duration {
        self.inner.start.elapsed()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("bootstrap", &self.inner.options.bootstrap)
            .field("brokers", &self.brokers())
            .finish_non_exhaustive()
    }
}

/// Whether another broker may be asked the same at once: this one certainly did nothing, and
/// cannot at the moment.
fn goes_elsewhere(error: &ClientError) -> bool {
    let gone = matches!(
        error,
        ClientError::Connect { .. } | ClientError::ConnectionLost { .. }
    );
    let full = matches!(
        error.code(),
        Some(ErrorCode::ShuttingDown | ErrorCode::TooManyConnections)
    );
    (gone || full) && error.is_definite()
}

/// Pauses between attempts until time has run out.
pub(crate) struct Attempts {
    backoff: Backoff,
    give_up_at: Instant,
}

impl Attempts {
    /// Waits before the next attempt, or gives the error back when there is no time for one.
    pub(crate) async fn pause_after(&mut self, error: ClientError) -> Result<(), ClientError> {
        let wait = self.backoff.next_wait();
        if Instant::now() + wait >= self.give_up_at {
            return Err(error);
        }
        tracing::debug!(%error, ?wait, "trying again");
        tokio::time::sleep(wait).await;
        Ok(())
    }
}
