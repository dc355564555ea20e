//! `FaultyDisks`: a broker on two log directories, either of which can be made to fail or to hang while it
//! runs. A preloaded library (`io_faults.c`) does it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::broker::{Broker, Setup};
use super::preload::preloaded;

/// A broker on two directories, and the switch by which either can be made to fail.
pub(crate) struct FaultyDisks {
    pub(crate) broker: Broker,
    folder: TempDir,
}

impl FaultyDisks {
    /// With a topic `t` of four partitions.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::start_on(&["first", "second"])
    }

    /// The same on directories of these names.
    #[track_caller]
    pub(crate) fn start_on(names: &[&str]) -> Self {
        Self::start_with(Setup::new(), names)
    }

    /// The same with options of its own.
    #[track_caller]
    pub(crate) fn start_with(setup: Setup, names: &[&str]) -> Self {
        let folder = TempDir::new().expect("a temporary directory can be made");
        let library = preloaded("io_faults.c", folder.path());
        let dirs: Vec<PathBuf> = names.iter().map(|name| folder.path().join(name)).collect();
        let broker = setup
            .log_dirs(&dirs)
            .environment("LD_PRELOAD", &library.display().to_string())
            .environment("IO_FAULTS", &folder.path().display().to_string())
            .start();
        let mut wire = broker.connect();
        wire.create_topic("t", 4, &[]);
        Self { broker, folder }
    }

    /// From now on the N-th sync of a file with this in its path fails, and so many after it.
    pub(crate) fn fail_syncs(&self, path: &str, from: u64, count: u64) {
        self.rule("sync", &format!("{path} {from} {count}\n"));
    }

    /// The same for one sync on a thread with this in its name.
    pub(crate) fn fail_syncs_on(&self, thread: &str, path: &str, from: u64) {
        self.rule("sync", &format!("{path} {from} 1 {thread}\n"));
    }

    /// From now on reads of files with this in their path fail.
    pub(crate) fn fail_reads(&self, path: &str) {
        self.rule("read", &format!("{path}\n"));
    }

    /// From now on syncs of files with this in their paths take so much longer.
    pub(crate) fn slow_syncs(&self, path: &str, by: Duration) {
        self.rule("slow", &format!("{path} {}\n", by.as_millis()));
    }

    /// From now on syncs of files with this in their paths do not return.
    pub(crate) fn hang_syncs(&self, path: &str) {
        self.rule("stuck", &format!("{path}\n"));
    }

    /// Syncs that do not return go on.
    pub(crate) fn let_syncs_go(&self) {
        let _ = fs::remove_file(self.folder.path().join("stuck"));
    }

    /// The slow syncs that are done: a line each, with the length that the file had when it began.
    pub(crate) fn synced(&self) -> String {
        fs::read_to_string(self.folder.path().join("synced")).unwrap_or_default()
    }

    /// From now on nothing of files with this in their paths counts as being in memory.
    pub(crate) fn nothing_in_memory(&self, path: &str) {
        self.rule("cold", &format!("{path}\n"));
    }

    /// From now on reads of such files into memory wait, and nothing of them counts as being there.
    pub(crate) fn hold_reads(&self, path: &str) {
        self.rule("hold", &format!("{path}\n"));
    }

    /// From now on files with this in their paths are not opened: whoever does so waits.
    pub(crate) fn hang_opens(&self, path: &str) {
        self.rule("open", &format!("{path}\n"));
    }

    /// From now on vectored writes to files with this in their paths do not return.
    pub(crate) fn hang_writes(&self, path: &str) {
        self.rule("write", &format!("{path}\n"));
    }

    /// Whether such a write has begun.
    pub(crate) fn a_write_hangs(&self) -> bool {
        self.folder.path().join("writing").exists()
    }

    /// From now on whoever asks how much room there is on such a path waits.
    pub(crate) fn hang(&self, path: &str) {
        self.rule("hang", &format!("{path}\n"));
    }

    /// From now on directories with this in their paths are not made: whoever does so waits.
    pub(crate) fn hang_new_directories(&self, path: &str) {
        self.rule("make", &format!("{path}\n"));
    }

    /// From now on the broker may not open files with this in their paths to write to them, make, rename or remove
    /// them.
    pub(crate) fn deny_writing(&self, path: &str) {
        self.rule("deny", &format!("{path}\n"));
    }

    /// From now on the broker may not open files with this in their paths.
    pub(crate) fn deny_opening(&self, path: &str) {
        self.rule("hide", &format!("{path}\n"));
    }

    /// In one step: the broker looks at any time.
    fn rule(&self, name: &str, text: &str) {
        let made = self.folder.path().join(format!("{name}.new"));
        fs::write(&made, text).expect("it can be written");
        fs::rename(made, self.folder.path().join(name)).expect("it can be renamed");
    }

    /// The disks are well again.
    pub(crate) fn heal(&self) {
        let names = [
            "sync", "read", "slow", "stuck", "hold", "cold", "hang", "make", "open", "write",
            "deny", "hide",
        ];
        for name in names {
            let _ = fs::remove_file(self.folder.path().join(name));
        }
    }

    /// One of the two directories, `first` or `second`.
    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Whether a directory is marked as cleanly stopped.
    pub(crate) fn is_clean(&self, dir: &str) -> bool {
        let file = self.dir(dir).join("recovery-point-checkpoint");
        fs::read_to_string(file).is_ok_and(|text| text.contains("clean=true"))
    }

    /// The partitions of `t` in a directory.
    pub(crate) fn partitions_in(&self, name: &str) -> Vec<u32> {
        let is_here = |number: &u32| self.dir(name).join(format!("t-{number}")).exists();
        (0..4).filter(is_here).collect()
    }
}
