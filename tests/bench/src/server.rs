//! `Server`: a process under test on an empty folder and a port of its own, and what it costs. Whatever
//! was started is stopped and its folder removed when it is dropped, on an error, and on Ctrl-C.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use rustix::process::{Pid, Signal, kill_process};

use crate::systems::{Class, Place, System};

/// No server takes so long to start.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// What /proc counts processor time in, whatever the kernel's own clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// What has to be tidied up if everything ends at once: processes and folders.
static LEFT_BEHIND: Mutex<LeftBehind> = Mutex::new(LeftBehind {
    processes: Vec::new(),
    folders: Vec::new(),
});

struct LeftBehind {
    processes: Vec<u32>,
    folders: Vec<PathBuf>,
}

fn left_behind() -> MutexGuard<'static, LeftBehind> {
    LEFT_BEHIND.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stops every server and removes every folder.
pub(crate) fn tidy_up() {
    let mut left = left_behind();
    for id in left.processes.drain(..) {
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may be gone already.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    for folder in left.folders.drain(..) {
        let _ = fs::remove_dir_all(folder);
    }
}

/// A folder that is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes one below `parent` that nobody else has.
    pub(crate) fn new(parent: &Path, name: &str) -> Result<Self> {
        let folder = parent.join(format!("compare-{}-{name}", std::process::id()));
        left_behind().folders.push(folder.clone());
        fs::create_dir_all(&folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(Self(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
        left_behind().folders.retain(|folder| *folder != self.0);
    }
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// From the start of the process until it answered.
    pub(crate) start_time: Duration,
}

impl Server {
    /// Starts a system in a folder and waits until it answers.
    pub(crate) fn start(system: &dyn System, folder: &Folder, class: Class) -> Result<Self> {
        let port = free_port()?;
        let place = Place {
            folder: folder.path(),
            port,
            class,
        };
        let mut command = system.command(&place)?;
        let log = folder.path().join("server.out");
        let out = File::options().create(true).append(true).open(&log)?;
        command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out);
        let begun = Instant::now();
        let child = command
            .spawn()
            .with_context(|| format!("{:?} cannot be started", command.get_program()))?;
        left_behind().processes.push(child.id());
        let mut server = Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            start_time: Duration::ZERO,
        };
        loop {
            let greeted = system.greet(server.address);
            server.start_time = begun.elapsed();
            let Err(error) = greeted else {
                return Ok(server);
            };
            let ended = server.child.try_wait()?;
            if ended.is_some() || server.start_time > START_TIME_MAX {
                let said = fs::read_to_string(&log).unwrap_or_default();
                return Err(anyhow!("{} does not start: {error}\n{said}", system.name()));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// User and system time of all its threads so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields = text.rsplit(") ").next().context("no fields")?;
        // Field 3 of the page is the first behind the name; utime is 14, stime 15.
        let mut ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u32>);
        let (user, system) = (ticks.next(), ticks.next());
        let sum = user.context("no utime")?? + system.context("no stime")??;
        Ok(f64::from(sum) / TICKS_PER_SECOND)
    }

    /// `VmRSS`, `VmHWM` and the like, in MiB.
    pub(crate) fn memory_mib(&self, field: &str) -> Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|line| line.split_whitespace().next());
        let kib: f64 = number.context("no such line")?.parse()?;
        Ok(kib / 1024.0)
    }

    /// As `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let id = self.child.id();
        left_behind().processes.retain(|process| *process != id);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
