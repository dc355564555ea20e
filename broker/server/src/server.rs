//! `Server`: start-up and shut-down. Everything is created here and handed down: arbiters, directories,
//! plugins, actors, listeners. A broker accepts connections once every partition it could open is open.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use broker_cluster::{ClusterMetadata, InvalidConfig, PluginSlot, TopicConfig};
use broker_model::{Clock, PartitionId, TopicPartition};
use broker_storage::{LogDirError, LogDirOptions, ReserveRoom};
use broker_wasm::{Builtin, Catalog, EngineError, Manifest, ManifestError, PluginEngine};
use rustix::process::Signal;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};
use uuid::Uuid;

use crate::arbiters::{Arbiters, DiskThreads};
use crate::broker::{BrokerActor, BrokerHandle, Hosting, Openings, watch};
use crate::cleaner::Cleaner;
use crate::clock::BrokerClock;
use crate::config::BrokerConfig;
use crate::connection;
use crate::context::Context;
use crate::controller::{
    ControllerError, ControllerHandle, ControllerLauncher, Intent, MetadataLog, MetadataLogError,
    Plan, Share,
};
use crate::descriptors::{Descriptors, TooFewFiles};
use crate::dry_run::DryRuns;
use crate::log_dirs::LogDirs;
use crate::memory;
use crate::net::listener::{self, ConnectionCount, accept_connections};
use crate::net::{BusyPolls, RequestBudget};
use crate::plugins::Plugins;
use crate::request::follow_manifest;
use crate::scrubber::{AUTO_BYTES_MIN, ScrubSettings, Scrubber, Stored};
use crate::threads::NoThreads;
use crate::topics::Topics;

/// How often the room on the disks is looked at.
const SPACE_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How often high watermarks and recovery points are saved.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);
/// How often a stopping broker looks whether its connections have ended.
const DRAIN_CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// Why a broker did not start. Each text says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address.
    #[error("cannot listen on {address}: {source}{}", listen_hint(.source))]
    Listen {
        /// The address as configured.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A log directory.
    #[error(transparent)]
    LogDir(#[from] LogDirError),
    /// The threads of the broker.
    #[error(transparent)]
    Threads(#[from] NoThreads),
    /// The files of the broker.
    #[error(transparent)]
    Files(#[from] TooFewFiles),
    /// The metadata log.
    #[error("{0}")]
    Metadata(String),
    /// The plugin manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The engine that runs plugins.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A plugin that topics use by default, or its options.
    #[error("the configured default {slot} cannot be used: {reason}")]
    DefaultPlugin {
        /// The key that names it.
        slot: PluginSlot,
        /// Why not.
        reason: String,
    },
    /// The defaults of topic configuration.
    #[error(transparent)]
    TopicDefaults(#[from] InvalidConfig),
    /// The broker could not enter itself into the metadata.
    #[error("the broker cannot register itself: {0}")]
    Register(String),
}

fn listen_hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            ": another process uses the port; stop it, or choose another with --listen"
        }
        std::io::ErrorKind::PermissionDenied => ": ports below 1024 need privileges",
        std::io::ErrorKind::AddrNotAvailable => ": the machine has no such address",
        _ => "",
    }
}

impl From<MetadataLogError> for StartError {
    fn from(error: MetadataLogError) -> Self {
        Self::Metadata(error.to_string())
    }
}

/// A running broker. It lives on an actix system: start it inside one, as [`crate::run`] does.
pub struct Server {
    addresses: Vec<SocketAddr>,
    context: Arc<Context>,
    arbiters: Arbiters,
    stop: watch::Sender<bool>,
}

impl Server {
    /// Starts a broker and waits until it accepts connections.
    ///
    /// # Errors
    /// When an address, a directory, the metadata or a plugin is not usable.
    pub async fn start(config: BrokerConfig) -> Result<Self, StartError> {
        ignore_file_size_signal();
        let config = Arc::new(config);
        let arbiter_count = arbiter_count(&config);
        let descriptors = Descriptors::claim(&config, arbiter_count)?;
        let listeners = listen(&config.listeners).await?;
        let addresses: Vec<SocketAddr> = listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .collect();
        let topic_defaults = TopicConfig::check(&Default::default(), &config.creation.topic)?;
        let (engine, catalog) = load_plugins(config.plugin_manifest.clone()).await?;
        let clock = crate::clock::start();
        let dirs = Arc::new(open_dirs(&config, descriptors, clock.clone()).await?);
        let clock = clock.clock;
        let plugins = Arc::new(Plugins::new(engine, catalog, dirs.first().blobs()));
        let arbiters = start_arbiters(arbiter_count, &config, &dirs);
        let (stop, stopping) = watch::channel(false);
        let hosting = hosting(&config, &arbiters, &clock, (&dirs, &plugins));
        let context = Arc::new(Context {
            broker_id: config.broker_id,
            cluster_id: dirs.first().identity().cluster_id,
            advertised: advertised(&config, &addresses),
            message_bytes_max: topic_defaults.message_bytes_max,
            config: config.clone(),
            started: clock.monotonic(),
            clock,
            metadata: hosting.metadata.clone(),
            topics: hosting.topics.clone(),
            controller: hosting.controller.handle.clone(),
            broker: hosting.handle.clone(),
            dirs,
            plugins: plugins.clone(),
            dry_runs: DryRuns::new(),
            arbiters: arbiters.clone(),
            requests: RequestBudget::new(arbiters.background().workers().clone()),
            busy_polls: BusyPolls::new(config.busy_poll, arbiters.background().workers().clone()),
            connections: ConnectionCount::new(
                descriptors.connections,
                config.connections_per_ip_max,
            ),
            stopping: stopping.clone(),
        });
        let replayed = hosting.controller.start(hosting.handle.clone()).await?;
        hosting
            .finish_deletions(&replayed.deleted, &replayed.metadata)
            .await?;
        expect_partitions(&context).await?;
        plugins.install_deployed(&replayed.metadata).await;
        check_default_plugins(&plugins, &topic_defaults)?;
        BrokerActor::start_on(hosting.clone());
        let hosted = hosting
            .handle
            .host_all(Arc::new(replayed.metadata.clone()))
            .await;
        hosted.map_err(|_| StartError::Register("the broker actor crashed".to_owned()))?;
        register(&context).await?;
        follow_manifest(&context).await;
        for listener in listeners {
            actix_rt::spawn(accept(listener, context.clone(), stopping.clone()));
        }
        look_after_plugins(&context, hosting.scrubber.clone());
        actix_rt::spawn(memory::give_back_when_quiet(stopping));
        Ok(Self {
            addresses,
            context,
            arbiters,
            stop,
        })
    }

    /// Where it listens, with the ports that were actually given.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The id of its cluster.
    pub fn cluster_id(&self) -> Uuid {
        self.context.cluster_id
    }

    /// Stops: no new connections and requests, what is under way is finished (as long as
    /// `shutdown.timeout.ms` allows), everything is synced, the directories are marked clean.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.context.dry_runs.cancel_all();
        self.context.controller.stop_letting_in();
        let connections = &self.context.connections;
        let drained = async {
            while connections.open() > 0 {
                tokio::time::sleep(DRAIN_CHECK_INTERVAL).await;
            }
        };
        let timeout = self.context.config.shutdown_timeout;
        if tokio::time::timeout(timeout, drained).await.is_err() {
            warn!(
                open = connections.open(),
                "connections are cut off: shutdown.timeout.ms has passed"
            );
        }
        if self.context.broker.shutdown().await.is_err() {
            warn!("the broker actor crashed during shutdown; the next start recovers the logs");
        }
        self.arbiters.stop();
    }
}

/// Tells the directories of every partition that the metadata knows.
async fn expect_partitions(context: &Context) -> Result<(), StartError> {
    let (dirs, metadata) = (context.dirs.clone(), context.metadata.load_full());
    let expecting = actix_rt::task::spawn_blocking(move || {
        dirs.expect(metadata.topics().flat_map(|topic| {
            let numbers = (0_u32..).zip(topic.partitions.iter());
            numbers.map(|(number, _)| {
                let number = PartitionId::new(number);
                (TopicPartition::new(topic.name.clone(), number), topic.id)
            })
        }))
    });
    expecting
        .await
        .map_err(|panicked| StartError::Metadata(panicked.to_string()))
}

/// How many event loops serve.
pub(crate) fn arbiter_count(config: &BrokerConfig) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    config.arbiters.unwrap_or_else(cores)
}

/// A write beyond the limit on file sizes (`ulimit -f`) is an error like a full disk, not the end of
/// the process. The handler of a signal stays when the stream of it is dropped.
fn ignore_file_size_signal() {
    let kind = SignalKind::from_raw(Signal::XFSZ.as_raw());
    if let Err(error) = signal(kind) {
        warn!(%error, "a limit on file sizes would end the process");
    }
}

async fn listen(addresses: &[String]) -> Result<Vec<TcpListener>, StartError> {
    let mut listeners = Vec::new();
    for address in addresses {
        let listening = listener::bind(address).await;
        let failed = |source| StartError::Listen {
            address: address.clone(),
            source,
        };
        listeners.push(listening.map_err(failed)?);
    }
    Ok(listeners)
}

/// Checks the plugins of a topic that says nothing about plugins.
fn check_default_plugins(plugins: &Plugins, defaults: &TopicConfig) -> Result<(), StartError> {
    for slot in PluginSlot::ALL {
        let checked = plugins.check_default(defaults, slot);
        checked.map_err(|error| StartError::DefaultPlugin {
            slot,
            reason: error.to_string(),
        })?;
    }
    Ok(())
}

/// Shipped plugins are compiled when they are first used; those that topics have are ready before that. Kept modules
/// that have rotted are written anew while the broker has them in its binary or its manifest.
fn look_after_plugins(context: &Context, scrubber: Arc<Scrubber>) {
    let (topics, plugins) = (context.topics.clone(), context.plugins.clone());
    actix_rt::task::spawn_blocking(move || {
        for topic in topics.all().values() {
            plugins.compile(&topic.plugins);
        }
    });
    actix_rt::spawn(async move { scrubber.look_at_modules().await });
}

type Loaded = (Arc<PluginEngine>, Catalog);

/// The arbiters, with threads for what waits for disks, and a look at these now and then.
fn start_arbiters(count: usize, config: &BrokerConfig, dirs: &Arc<LogDirs>) -> Arbiters {
    let disk_threads = DiskThreads {
        of_shard: dirs.reading_threads(),
        of_control: dirs.threads(config.cleaner_threads),
    };
    let arbiters = Arbiters::start(count, disk_threads);
    watch(Arc::downgrade(dirs), arbiters.watches());
    arbiters
}

async fn load_plugins(manifest: Option<PathBuf>) -> Result<Loaded, StartError> {
    let loading = actix_rt::task::spawn_blocking(move || load_catalog(manifest.as_deref()));
    loading
        .await
        .unwrap_or_else(|panicked| Err(StartError::Metadata(panicked.to_string())))
}

fn load_catalog(manifest: Option<&Path>) -> Result<Loaded, StartError> {
    let engine = PluginEngine::new()?;
    let shipped: Vec<Builtin<'_>> = broker_plugin_bundle::modules()
        .iter()
        .map(|module| Builtin {
            name: module.name,
            bytes: module.bytes,
            digest: module.digest,
        })
        .collect();
    let manifest = manifest.map(Manifest::load).transpose()?;
    let catalog = Catalog::load(&engine, &shipped, manifest.as_ref())?;
    Ok((engine, catalog))
}

/// Loads the shipped plugins and those of the manifest as a start does, and nothing else: no port is
/// bound, no log directory touched.
///
/// # Errors
/// When a broker of this configuration would not start because of its plugins.
pub fn check_plugins(config: &BrokerConfig) -> Result<(), StartError> {
    load_catalog(config.plugin_manifest.as_deref()).map(drop)
}

async fn open_dirs(
    config: &BrokerConfig,
    descriptors: Descriptors,
    clock: BrokerClock,
) -> Result<LogDirs, StartError> {
    let (paths, broker_id) = (config.log_dirs.clone(), config.broker_id);
    let (min_free, grace) = (config.min_free, config.retention_clock_grace);
    let opening = actix_rt::task::spawn_blocking(move || {
        LogDirs::open(&paths, (&clock, grace), &|path| {
            let mut options = LogDirOptions::new(path, broker_id);
            options.clock = clock.clock.clone();
            options.wall_clock = Some(clock.wall.clone());
            options.open_files_max = descriptors.data_files.div_ceil(paths.len());
            options.min_free = min_free;
            options.reserve = ReserveRoom::Keep;
            options
        })
    });
    let dirs = match opening.await {
        Ok(opened) => opened?,
        Err(panicked) => return Err(StartError::Metadata(panicked.to_string())),
    };
    let metadata = MetadataLog::partition();
    let known = dirs.check_not_left_out(&metadata);
    known.map_err(|problem| {
        StartError::Metadata(format!(
            "which topics there are is kept in {metadata}: {problem}"
        ))
    })?;
    Ok(dirs)
}

fn hosting(
    config: &Arc<BrokerConfig>,
    arbiters: &Arbiters,
    clock: &Arc<dyn Clock>,
    (dirs, plugins): (&Arc<LogDirs>, &Arc<Plugins>),
) -> Arc<Hosting> {
    let topics = Arc::new(Topics::default());
    let cleaner = Cleaner::new(
        topics.clone(),
        plugins.clone(),
        clock.clone(),
        dirs.all(),
        (config.cleaner_threads, config.cleaner_bytes_per_second),
    );
    let metadata = Arc::new(ArcSwap::from_pointee(ClusterMetadata::new()));
    let controller = ControllerHandle::new(metadata.clone(), config.creation.partitions);
    let scrubber = Scrubber::new(
        Stored {
            topics: topics.clone(),
            controller: controller.clone(),
            metadata_in: dirs.index_of(&MetadataLog::partition()),
            metadata: metadata.clone(),
            plugins: plugins.clone(),
        },
        clock.clone(),
        dirs.all(),
        ScrubSettings {
            enabled: config.scrub_enabled,
            auto_bytes_min: AUTO_BYTES_MIN,
            bytes_per_second: config.scrub_bytes_per_second,
            interval: config.scrub_interval,
        },
    );
    Arc::new(Hosting {
        handle: BrokerHandle::default(),
        arbiters: arbiters.clone(),
        clock: clock.clone(),
        dirs: dirs.clone(),
        topics,
        metadata: metadata.clone(),
        topic_defaults: Arc::new(config.creation.topic.clone()),
        controller: ControllerLauncher {
            handle: controller,
            dirs: dirs.clone(),
            published: metadata,
            defaults: Arc::new(config.creation.clone()),
            clock: clock.clone(),
            arbiters: arbiters.clone(),
        },
        plugins: plugins.clone(),
        cleaner: Arc::new(cleaner),
        cleaner_backoff: config.cleaner_backoff,
        scrubber: Arc::new(scrubber),
        retention_check_interval: config.retention_check_interval,
        checkpoint_interval: CHECKPOINT_INTERVAL,
        space_check_interval: SPACE_CHECK_INTERVAL,
        stopping: false.into(),
        openings: Openings::default(),
        checkpointing: dirs.all().iter().map(|_| Arc::default()).collect(),
    })
}

/// Where clients are told to connect: as configured, else the first listener. A listener on every
/// interface is advertised under the machine's name.
fn advertised(config: &BrokerConfig, addresses: &[SocketAddr]) -> String {
    if let Some(address) = &config.advertised_listener {
        return address.clone();
    }
    match addresses.first() {
        Some(address) if address.ip().is_unspecified() => {
            let name = rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned();
            warn!(
                name,
                "listening on every interface: clients are told the machine's name; set advertised.listeners to change it"
            );
            format!("{name}:{}", address.port())
        }
        Some(address) => address.to_string(),
        None => config.listeners.first().cloned().unwrap_or_default(),
    }
}

/// Enters the broker into the metadata, unless it is there already under this address.
async fn register(context: &Context) -> Result<(), StartError> {
    let (id, address) = (context.broker_id, context.advertised.clone());
    let known = context.metadata.load().brokers().get(&id).cloned();
    if known.as_ref().is_some_and(|known| known.address == address) {
        return Ok(());
    }
    let plan = Plan::RegisterBroker { id, address };
    let share = Share::default();
    let proposed = context.controller.propose(plan, Intent::CarryOut, &share);
    match proposed.await {
        Ok(_) => Ok(()),
        Err(ControllerError::NoRoom { reason }) if known.is_some() => {
            warn!(
                reason,
                "the disk is full: this broker's new address is not in the metadata before the next start"
            );
            Ok(())
        }
        Err(
            ControllerError::Offline { reason }
            | ControllerError::Uncertain { reason }
            | ControllerError::NoRoom { reason },
        ) => Err(StartError::Register(reason)),
        Err(other) => Err(StartError::Register(format!("{other:?}"))),
    }
}

async fn accept(listener: TcpListener, context: Arc<Context>, stopping: watch::Receiver<bool>) {
    let local = listener.local_addr().ok();
    info!(address = ?local, "accepting connections");
    let count = context.connections.clone();
    accept_connections(listener, count, stopping, move |socket, peer, place| {
        connection::start(socket, peer, context.clone(), place);
    })
    .await;
}
