//! `ControllerLauncher`: opens the metadata log, replays it and starts the controller on it: at start,
//! and again by the broker actor when the controller panicked.

use std::sync::Arc;

use arc_swap::ArcSwap;
use broker_cluster::{ClusterMetadata, CreationDefaults};
use broker_model::Clock;
use tracing::error;

use super::actor::{ControllerActor, ControllerSetup};
use super::handle::ControllerHandle;
use super::metadata_log::{MetadataLog, MetadataLogError, Replayed};
use crate::arbiters::Arbiters;
use crate::broker::BrokerHandle;
use crate::death_notice::DeathNotice;
use crate::log_dirs::LogDirs;

/// What it takes to start a controller.
pub(crate) struct ControllerLauncher {
    pub(crate) handle: ControllerHandle,
    pub(crate) dirs: Arc<LogDirs>,
    pub(crate) published: Arc<ArcSwap<ClusterMetadata>>,
    pub(crate) defaults: Arc<CreationDefaults>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) arbiters: Arbiters,
}

impl ControllerLauncher {
    /// Starts the controller and publishes the metadata it starts from.
    pub(crate) async fn start(&self, broker: BrokerHandle) -> Result<Replayed, MetadataLogError> {
        let dir = self.dirs.home_of(&MetadataLog::partition()).clone();
        let partitions = self.dirs.partitions().into_iter();
        let mut of_topics = partitions.filter(|(partition, _)| !partition.topic.is_reserved());
        let some_partition = of_topics.next().map(|(partition, _)| partition);
        let opening = move || MetadataLog::open(dir, some_partition.as_ref());
        let opened = actix_rt::task::spawn_blocking(opening).await;
        let (log, replayed) = opened.unwrap_or_else(|panic| {
            Err(MetadataLogError::Log {
                dir: self.dirs.first().path().display().to_string(),
                problem: panic.to_string(),
            })
        })?;
        self.published.store(Arc::new(replayed.metadata.clone()));
        self.handle.notice_board().store(None);
        let log_dir = log.dir().clone();
        let parent = broker.clone();
        let addr = ControllerActor::start_on(
            self.arbiters.control(),
            ControllerSetup {
                log,
                metadata: replayed.metadata.clone(),
                term: replayed.term,
                published: self.published.clone(),
                defaults: self.defaults.clone(),
                clock: self.clock.clone(),
                broker,
                stats: self.handle.stats().clone(),
                trouble: self.handle.notice_board().clone(),
                death: DeathNotice::new(move || parent.controller_died()),
            },
        );
        self.handle.attach(addr, log_dir);
        Ok(replayed)
    }

    /// Starts the controller again after a panic and answers the metadata there is.
    pub(crate) async fn restart(&self, broker: BrokerHandle) -> Arc<ClusterMetadata> {
        self.handle.stats().restarted();
        if let Err(problem) = self.start(broker).await {
            error!(%problem, "the controller cannot be started again: metadata can be read, not changed");
        }
        self.published.load_full()
    }

    /// Ends the controller. If that fails, its log stays one that was not closed.
    pub(crate) async fn close(&self) {
        let _ = self.handle.close().await;
    }
}
