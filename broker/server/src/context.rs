//! `Context`: everything a request handler can reach. One per broker, shared by all connections; it holds
//! handles and read-only views, never state of its own.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use broker_cluster::ClusterMetadata;
use broker_model::{BrokerId, Clock};
use tokio::sync::watch;
use uuid::Uuid;

use crate::arbiters::Arbiters;
use crate::broker::BrokerHandle;
use crate::config::BrokerConfig;
use crate::controller::ControllerHandle;
use crate::dry_run::DryRuns;
use crate::log_dirs::LogDirs;
use crate::net::listener::ConnectionCount;
use crate::net::{BusyPolls, RequestBudget};
use crate::plugins::Plugins;
use crate::topics::Topics;

/// What handlers work with.
pub(crate) struct Context {
    pub(crate) broker_id: BrokerId,
    pub(crate) cluster_id: Uuid,
    /// Where clients are told to connect to this broker.
    pub(crate) advertised: String,
    pub(crate) config: Arc<BrokerConfig>,
    /// `message.max.bytes` of topics that do not say otherwise.
    pub(crate) message_bytes_max: u32,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) started: Duration,
    pub(crate) metadata: Arc<ArcSwap<ClusterMetadata>>,
    pub(crate) topics: Arc<Topics>,
    pub(crate) controller: ControllerHandle,
    pub(crate) broker: BrokerHandle,
    pub(crate) dirs: Arc<LogDirs>,
    pub(crate) plugins: Arc<Plugins>,
    pub(crate) dry_runs: DryRuns,
    pub(crate) arbiters: Arbiters,
    pub(crate) requests: RequestBudget,
    pub(crate) busy_polls: BusyPolls,
    pub(crate) connections: ConnectionCount,
    pub(crate) stopping: watch::Receiver<bool>,
}
