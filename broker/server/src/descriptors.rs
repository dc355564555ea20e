//! `Descriptors`: how the file descriptors that the system gives to this process are shared out, so that no number
//! of partitions or connections uses them up. With too few of them for anything the broker does not start.

use broker_model::limits::CONNECTIONS_MAX;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

use crate::config::BrokerConfig;

/// Descriptors for everything else: listeners, event loops, directories that are synced, files that are read at
/// start, the cleaner.
const RESERVED: usize = 96;
/// What each event loop has.
const PER_ARBITER: usize = 8;
/// Never fewer data files than these, however low the limit.
const FILES_MIN: usize = 16;
/// Never fewer connections.
const CONNECTIONS_MIN: usize = 8;
/// What a broker that has nothing to do has open, and a few for a moment.
const IDLE: usize = 32;
/// What an event loop has open, as far as is known.
const PER_IDLE_ARBITER: usize = 4;
/// The same of a log directory.
const PER_LOG_DIR: usize = 5;

/// The limit of open files is too low for a broker.
#[derive(Debug, thiserror::Error)]
#[error(
    "the limit of open files is {limit}, and the broker needs {needed} at least; raise it (ulimit -n {needed} or more, LimitNOFILE in a systemd unit), or have fewer threads (num.arbiters)"
)]
pub struct TooFewFiles {
    limit: usize,
    needed: usize,
}

/// What may be open at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// Data files of all log directories together.
    pub(crate) data_files: usize,
    /// Connections.
    pub(crate) connections: usize,
}

impl Descriptors {
    /// Raises the soft limit to the hard one and shares that out. Where it is too low for `max.connections`, fewer
    /// are accepted.
    ///
    /// # Errors
    /// It is too low for a broker that does anything.
    pub(crate) fn claim(config: &BrokerConfig, arbiters: usize) -> Result<Self, TooFewFiles> {
        let limit = check_limit(config, arbiters)?;
        let wanted = Self {
            data_files: config.open_files_max,
            connections: config.connections_max,
        };
        let shared = wanted.within(limit, RESERVED + PER_ARBITER * arbiters);
        if shared.connections < wanted.connections {
            let (connections, wanted) = (shared.connections, wanted.connections);
            if wanted > CONNECTIONS_MAX || connections < CONNECTIONS_MAX / 10 {
                warn!(
                    limit,
                    connections,
                    wanted,
                    "the limit of open files is too low for max.connections: raise it (ulimit -n)"
                );
            } else {
                info!(
                    limit,
                    connections, wanted, "fewer connections, by the limit of open files"
                );
            }
        }
        Ok(shared)
    }

    /// As much of both as fits: up to two thirds of what is left for data files (partitions that are written to need
    /// one each, or else a sync whenever they take turns), the rest for connections.
    fn within(self, limit: usize, reserved: usize) -> Self {
        let left = limit.saturating_sub(reserved);
        let data_files = self.data_files.min(left / 3 * 2).max(FILES_MIN);
        let rest = left.saturating_sub(data_files).max(CONNECTIONS_MIN);
        Self {
            data_files,
            connections: self.connections.min(rest),
        }
    }
}

/// The limit, as high as it can be.
///
/// # Errors
/// It is too low for a broker that does anything.
pub(crate) fn check_limit(config: &BrokerConfig, arbiters: usize) -> Result<usize, TooFewFiles> {
    let limit = raised_limit();
    let needed = needed(arbiters, config.log_dirs.len(), config.listeners.len());
    match limit >= needed {
        true => Ok(limit),
        false => Err(TooFewFiles { limit, needed }),
    }
}

fn needed(arbiters: usize, log_dirs: usize, listeners: usize) -> usize {
    let idle = IDLE + PER_IDLE_ARBITER * arbiters + PER_LOG_DIR * log_dirs + listeners;
    idle + FILES_MIN + CONNECTIONS_MIN
}

fn raised_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let in_force = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            warn!(%error, "the limit of open files cannot be raised");
            limit.current
        }
    };
    in_force.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_and_directory_needs_some() {
        let least = needed(1, 1, 1);
        assert!(least > FILES_MIN + CONNECTIONS_MIN, "{least}");
        assert_eq!(needed(5, 1, 1), least + 4 * PER_IDLE_ARBITER);
        assert_eq!(needed(1, 3, 2), least + 2 * PER_LOG_DIR + 1);
    }

    #[test]
    fn data_files_and_connections_fit_below_the_limit_together() {
        let wanted = Descriptors {
            data_files: 4_096,
            connections: 10_000,
        };
        assert_eq!(wanted.within(1 << 20, 128), wanted);
        for limit in [256, 1_024, 4_096, 12_000] {
            let shared = wanted.within(limit, 128);
            assert!(
                shared.data_files + shared.connections + 128 <= limit,
                "{limit}: {shared:?}"
            );
            assert!(shared.connections >= 40, "{limit}: {shared:?}");
        }
        let least = wanted.within(64, 128);
        assert_eq!(
            (least.data_files, least.connections),
            (FILES_MIN, CONNECTIONS_MIN)
        );
    }
}
