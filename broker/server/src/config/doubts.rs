//! What a configuration may say and cannot mean on this machine. It is told by a check and refused by nobody: with
//! too high a threshold everything that is stored is still read, and the disk may be about to be replaced.

use std::path::Path;
use std::thread::available_parallelism;

use broker_storage::MinFree;
use broker_storage::io::{Io, RealIo};

use super::BrokerConfig;

/// Above so many arbiters a core they only take turns.
const ARBITERS_PER_CORE_MAX: usize = 4;

impl BrokerConfig {
    /// A line for each value that does not work on this machine as it is.
    pub fn doubts(&self) -> Vec<String> {
        let dirs = self.log_dirs.iter();
        let rooms = dirs.filter_map(|dir| too_high(self.min_free, dir, total_of(dir)?));
        let cores = available_parallelism().map_or(1, usize::from);
        let threads = self.arbiters.and_then(|count| too_many(count, cores));
        let copies = too_many_copies(self.creation.replication_factor);
        rooms.chain(threads).chain(copies).collect()
    }
}

/// Bytes of the file system that a directory is on, or will be made on.
fn total_of(dir: &Path) -> Option<u64> {
    let whole = std::path::absolute(dir).ok()?;
    let mut folders = whole.ancestors();
    folders.find_map(|folder| Some(RealIo.space(folder).ok()?.total))
}

fn too_high(min_free: MinFree, dir: &Path, total: u64) -> Option<String> {
    let MinFree::Bytes(wanted) = min_free else {
        return None;
    };
    let dir = dir.display();
    (wanted >= total).then(|| {
        format!("log.min.free.bytes is {wanted}, and the file system of {dir} has {total} bytes in all: no record will ever be taken there")
    })
}

fn too_many(arbiters: usize, cores: usize) -> Option<String> {
    (arbiters > cores.saturating_mul(ARBITERS_PER_CORE_MAX)).then(|| {
        format!("num.arbiters is {arbiters}, and this machine has {cores} core(s): so many threads take turns and make everything slower; 0 is one per core")
    })
}

fn too_many_copies(copies: u32) -> Option<String> {
    (copies > 1).then(|| {
        format!("default.replication.factor is {copies}, and this version runs one broker: a topic is only created where its own factor of 1 is asked for")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_as_large_as_the_disk_is_doubted() {
        let dir = Path::new("/data");
        assert_eq!(too_high(MinFree::Bytes(999), dir, 1000), None);
        assert_eq!(too_high(MinFree::Auto, dir, 1000), None);
        assert_eq!(too_high(MinFree::Off, dir, 0), None);
        let doubt = too_high(MinFree::Bytes(1000), dir, 1000).unwrap();
        assert!(doubt.contains("/data has 1000 bytes"), "{doubt}");
    }

    #[test]
    fn a_directory_that_is_not_there_yet_is_on_the_file_system_of_the_next_one_above() {
        let there = std::env::temp_dir();
        let total = total_of(&there);
        assert!(total.is_some());
        assert_eq!(total_of(&there.join("not/made/yet")), total);
    }

    #[test]
    fn arbiters_without_cores_are_doubted() {
        assert_eq!(too_many(16, 4), None);
        let doubt = too_many(17, 4).unwrap();
        assert!(doubt.contains("num.arbiters is 17"), "{doubt}");
    }

    #[test]
    fn copies_without_brokers_are_doubted() {
        assert_eq!(too_many_copies(1), None);
        let doubt = too_many_copies(3).unwrap();
        assert!(doubt.contains("default.replication.factor is 3"), "{doubt}");
    }
}
