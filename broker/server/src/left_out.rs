//! `LeftOut`: directories that were once in log.dirs and are not there at this start. Partitions that are missing
//! may be in one of them; when none is missing, they held nothing, and are not asked for again.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use broker_storage::LogDir;
use tracing::{info, warn};

/// The directories that the broker was started without, by the paths they had last.
#[derive(Clone, Debug)]
pub(crate) struct LeftOut {
    paths: Vec<PathBuf>,
    /// Of these, those that are in log.dirs, and their disks are broken.
    broken: BTreeSet<PathBuf>,
}

impl LeftOut {
    pub(crate) fn new(paths: impl Iterator<Item = PathBuf>, broken: BTreeSet<PathBuf>) -> Self {
        let mut paths: Vec<PathBuf> = paths.collect();
        paths.sort_unstable();
        Self { paths, broken }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Whether nothing is to be asked for again when nothing is missing: what is in log.dirs is.
    pub(crate) fn may_be_forgotten(&self) -> bool {
        self.broken.is_empty()
    }

    /// Says which there are, and that so many partitions are missing.
    pub(crate) fn tell(&self, missing: usize) {
        for path in &self.paths {
            let dir = path.display();
            if self.broken.contains(path) {
                warn!(%dir, missing, "a log directory of this broker cannot be used: partitions that are in no other are offline");
            } else if missing > 0 {
                warn!(%dir, missing, "a log directory of this broker is left out: partitions that are in none of log.dirs are offline");
            } else {
                info!(%dir, "a log directory of this broker is left out, and nothing is missing: it is not asked for again");
            }
        }
    }

    /// Has the directories that there are know of no others.
    pub(crate) fn forget(&self, dirs: &[LogDir]) {
        let named = |dir: &LogDir| (dir.identity().directory_id, dir.path().to_owned());
        let all = dirs.iter().map(named).collect();
        for dir in dirs {
            if let Err(error) = dir.store_siblings(&all) {
                warn!(%error, "a directory that is left out may be asked for again at the next start");
            }
        }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<String> = self
            .paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let paths = paths.join(" and ");
        if !self.broken.is_empty() {
            return write!(
                f,
                "{paths} cannot be used, or is left out: replace its disk or mend it, name it in log.dirs, and restart the broker"
            );
        }
        match self.paths.len() {
            1 => write!(
                f,
                "{paths} is left out, which was one of them: put it back into log.dirs and restart the broker"
            ),
            _ => write!(
                f,
                "{paths} are left out, which were some of them: put back into log.dirs what holds it and restart the broker"
            ),
        }
    }
}
