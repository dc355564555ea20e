//! `DirTraces`: what the log directories say of themselves and of each other before they are opened: a
//! directory that is named twice, copied, not mounted, left out, or without its identity is noticed here.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use broker_model::Timestamp;
use broker_storage::{DirTrace, DoubtedClock, LogDir, LogDirError, LogDirOptions};
use tracing::{error, warn};
use uuid::Uuid;

use crate::left_out::LeftOut;

/// The traces of all directories, in their order.
pub(crate) struct DirTraces<'a> {
    found: Vec<(&'a Path, DirTrace)>,
    /// Those whose disks are broken.
    broken: Vec<(&'a Path, LogDirError)>,
}

impl<'a> DirTraces<'a> {
    /// Looks at the directories and changes nothing. One that the others know may be broken.
    pub(crate) fn of(
        paths: &'a [PathBuf],
        options_of: &dyn Fn(&Path) -> LogDirOptions,
    ) -> Result<Self, LogDirError> {
        let (mut found, mut unreadable) = (Vec::<(&Path, DirTrace)>::new(), Vec::new());
        for path in paths {
            let trace = match DirTrace::of(&*options_of(path).io, path) {
                Ok(trace) => trace,
                Err(error) => {
                    unreadable.push((path, error));
                    continue;
                }
            };
            if let Some(directory_id) = trace.directory_id {
                let same =
                    |(_, other): &&(&Path, DirTrace)| other.directory_id == Some(directory_id);
                if let Some((other, _)) = found.iter().find(same) {
                    return Err(LogDirError::SameDirectory {
                        other: other.to_path_buf(),
                        dir: path.clone(),
                        directory_id,
                    });
                }
            } else if trace.has_partitions {
                error!(dir = %path.display(), "log directory has partitions and no meta.properties: it gets a new identity. If it was another broker's, stop this one and move it away");
            }
            found.push((path, trace));
        }
        check_apart(paths)?;
        let broken = Vec::new();
        let mut traces = Self { found, broken };
        for (path, error) in unreadable {
            traces.leave_out(path, error)?;
        }
        traces.check_mounted()?;
        Ok(traces)
    }

    /// Goes on without a directory whose disk is broken, if another one has known it: what is missing then is known.
    ///
    /// # Errors
    /// Why it cannot be used, if that is not so.
    pub(crate) fn leave_out(
        &mut self,
        dir: &'a Path,
        error: LogDirError,
    ) -> Result<(), LogDirError> {
        self.found.retain(|(path, _)| *path != dir);
        let mut others = self.found.iter();
        let is_known = others.any(|(_, trace)| trace.siblings.values().any(|path| path == dir));
        if !is_known || !error.is_of_the_disk() {
            return Err(error.of_one(dir, self.found.len()));
        }
        error!(dir = %dir.display(), problem = %error, "the disk of a log directory is broken: the broker starts without the directory, and what is in it is offline");
        self.broken.push((dir, error));
        Ok(())
    }

    /// What is wrong with the first one that is left out for its disk.
    pub(crate) fn into_broken(self) -> Option<LogDirError> {
        let (_, error) = self.broken.into_iter().next()?;
        Some(error)
    }

    /// The directories that can be used, as far as is known.
    pub(crate) fn paths(&self) -> Vec<&'a Path> {
        self.found.iter().map(|(path, _)| *path).collect()
    }

    /// The cluster of the first directory that has one.
    pub(crate) fn cluster_id(&self) -> Option<Uuid> {
        self.found.iter().find_map(|(_, trace)| trace.cluster_id)
    }

    /// When a broker was last alive in any of them.
    pub(crate) fn last_alive(&self) -> Option<Timestamp> {
        let found = self.found.iter();
        found.filter_map(|(_, trace)| trace.last_alive).max()
    }

    /// What is believed instead of the clock that these are by, if it was in doubt. A directory that says
    /// so counts more than one that does not: a start may have come to some of them only.
    pub(crate) fn doubted_clock(&self) -> Option<DoubtedClock> {
        let found = self.found.iter();
        let doubts = found.filter_map(|(_, trace)| trace.doubted_clock);
        doubts.max_by_key(|doubt| doubt.last_alive)
    }

    /// Directories that were the broker's at an earlier start and are not there at this one.
    pub(crate) fn left_out(&self) -> LeftOut {
        let broken = self.broken.iter().map(|(path, _)| path.to_path_buf());
        LeftOut::new(self.missing().into_values(), broken.collect())
    }

    /// Stores in every directory which ones there are, those that are left out among them.
    pub(crate) fn store_in(&self, dirs: &[LogDir]) {
        let mut all = self.missing();
        for dir in dirs {
            all.insert(dir.identity().directory_id, dir.path().to_owned());
        }
        for (dir, (_, trace)) in dirs.iter().zip(&self.found) {
            if trace.siblings == all {
                continue;
            }
            if let Err(error) = dir.store_siblings(&all) {
                warn!(%error, "a directory that is missing at the next start may not be noticed");
            }
        }
    }

    fn missing(&self) -> BTreeMap<Uuid, PathBuf> {
        let mut known = BTreeMap::new();
        for (_, trace) in &self.found {
            known.extend(trace.siblings.clone());
        }
        let is_here = |id: &Uuid| {
            let mut here = self.found.iter();
            here.any(|(_, trace)| trace.directory_id == Some(*id))
        };
        // One that has lost its identity is still the one that it was.
        let lost_its_identity = |path: &Path| {
            let mut here = self.found.iter();
            here.any(|(dir, trace)| {
                *dir == path && trace.directory_id.is_none() && trace.has_partitions
            })
        };
        known.retain(|id, path| !is_here(id) && !lost_its_identity(path));
        known
    }

    /// A directory at the path of one that is missing, and without a trace of it, is its mount point.
    fn check_mounted(&self) -> Result<(), LogDirError> {
        for (directory_id, path) in self.missing() {
            let at_its_place = self.found.iter().find(|(here, _)| *here == path);
            if let Some((dir, trace)) = at_its_place
                && trace.directory_id.is_none()
            {
                return Err(LogDirError::NotMounted {
                    dir: dir.to_path_buf(),
                    directory_id,
                });
            }
        }
        Ok(())
    }
}

/// None of them may be inside of another: their files would get mixed up.
fn check_apart(paths: &[PathBuf]) -> Result<(), LogDirError> {
    let plain: Vec<PathBuf> = paths.iter().map(|path| plain(path)).collect();
    for (number, dir) in plain.iter().enumerate() {
        for (other, outer) in plain.iter().enumerate() {
            if number != other && dir.starts_with(outer) {
                return Err(LogDirError::Nested {
                    dir: dir.clone(),
                    outer: outer.clone(),
                });
            }
        }
    }
    Ok(())
}

/// The path from the root on, without detours.
fn plain(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut plain = PathBuf::new();
    for part in whole.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_inside_of_one_another_are_refused_however_they_are_written() {
        let check = |paths: [&str; 2]| check_apart(&paths.map(PathBuf::from));
        for nested in [
            ["/data", "/data/second"],
            ["/data/a/b", "/data"],
            ["/data", "/elsewhere/../data/second"],
            ["data", "./data/second"],
            ["/data", "/data/"],
        ] {
            let error = check(nested).unwrap_err();
            assert!(matches!(error, LogDirError::Nested { .. }), "{nested:?}");
        }
        for apart in [["/data/a", "/data/ab"], ["/data/a", "/data/b"], ["a", "b"]] {
            check(apart).unwrap();
        }
    }
}
