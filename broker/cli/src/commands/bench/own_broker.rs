//! `OwnBroker`: a broker that is started for a benchmark, by this very binary, on a free port and with its
//! data in a folder of its own. When it is dropped it is killed and its folder removed: what it holds was
//! made to be measured.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::failure::Failure;

/// A broker in the background.
pub(super) struct OwnBroker {
    child: Child,
    folder: PathBuf,
    /// Where it listens.
    pub(super) address: String,
}

impl OwnBroker {
    /// Starts one with its data below `parent`, and waits until it listens.
    pub(super) fn start(parent: &Path) -> Result<Self, Failure> {
        let folder = parent.join(format!("broker-bench-{}", std::process::id()));
        let at_folder = |error| Failure::from(error).after(folder.display());
        fs::create_dir_all(&folder).map_err(at_folder)?;
        let log = folder.join("broker.log");
        let spawn = || {
            Command::new(std::env::current_exe()?)
                .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
                .arg(folder.join("data"))
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(File::create(&log)?)
                .spawn()
        };
        let child = spawn().map_err(at_folder)?;
        let mut own = Self {
            child,
            folder,
            address: String::new(),
        };
        let lines = own.child.stdout.take().map(BufReader::new);
        let mut lines = lines.into_iter().flat_map(BufReader::lines);
        let listens =
            lines.find_map(|line| Some(line.ok()?.strip_prefix("listening on ")?.to_owned()));
        let Some(address) = listens else {
            let said = fs::read_to_string(&log).unwrap_or_default();
            return Err(Failure::failed(format!(
                "the broker does not start:\n{said}"
            )));
        };
        own.address = address;
        Ok(own)
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
