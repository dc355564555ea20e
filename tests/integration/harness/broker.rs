//! `Broker`: a broker process with a data directory, started on a free port, killed and started again at
//! will. What it logs is kept; a panic in the log fails the test, unless the test has asked for one.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

use super::log_check::{panics, tail};
use super::waiting::{eventually, patience};
use super::wire::Wire;

/// How to start a broker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    folder: Option<PathBuf>,
    log_filter: Option<String>,
    options: Vec<String>,
    arguments: Vec<String>,
    log_dirs: Vec<PathBuf>,
    environment: Vec<(String, String)>,
    log_file: Option<PathBuf>,
    expects_panics: bool,
    open_files_limit: Option<u32>,
}

impl Setup {
    /// A broker with its defaults.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Sets a configuration key.
    pub(crate) fn option(mut self, key: &str, value: &str) -> Self {
        self.options.push(format!("{key}={value}"));
        self
    }

    /// Adds an argument of `serve`.
    pub(crate) fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Keeps its data in these directories instead of the one below its home.
    pub(crate) fn log_dirs(mut self, dirs: &[PathBuf]) -> Self {
        self.log_dirs = dirs.to_vec();
        self
    }

    /// Lets it log to this file, unseen by the test.
    pub(crate) fn log_file(mut self, file: &str) -> Self {
        self.log_file = Some(PathBuf::from(file));
        self
    }

    /// Sets a variable of its environment.
    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs it in this folder instead of an empty one.
    pub(crate) fn in_folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Uses a plugin manifest.
    pub(crate) fn plugins(self, manifest: &Path) -> Self {
        self.argument("--plugins")
            .argument(manifest.display().to_string())
    }

    /// Says which log lines are written, as BROKER_LOG does.
    pub(crate) fn log_filter(mut self, filter: &str) -> Self {
        self.log_filter = Some(filter.to_owned());
        self
    }

    /// Runs it under a limit of open files that it cannot raise.
    pub(crate) fn open_files_limit(mut self, limit: u32) -> Self {
        self.open_files_limit = Some(limit);
        self
    }

    /// Panics in the log are what the test is about.
    pub(crate) fn expects_panics(mut self) -> Self {
        self.expects_panics = true;
        self
    }

    /// Starts a broker on a directory of its own and waits until it listens.
    #[track_caller]
    pub(crate) fn start(self) -> Broker {
        let home = TempDir::new().expect("a temporary directory can be made");
        let mut broker = Broker {
            setup: self,
            home,
            process: None,
            address: String::new(),
        };
        broker.start_again();
        broker
    }

    /// Starts a broker on a directory, which must not work.
    #[track_caller]
    pub(crate) fn refused_on(&self, data_dir: &Path) -> Refused {
        let home = TempDir::new().expect("a temporary directory can be made");
        let mut command = self.command(home.path(), data_dir);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        refused(command)
    }

    /// Starts a broker on a new directory, which must not work.
    #[track_caller]
    pub(crate) fn refused(&self) -> Refused {
        let home = TempDir::new().expect("a temporary directory can be made");
        self.refused_on(&home.path().join("data"))
    }

    fn command(&self, home: &Path, data_dir: &Path) -> Command {
        let folder = self.folder.as_deref().unwrap_or(home);
        let mut command = match self.open_files_limit {
            None => broker_command(folder),
            Some(limit) => {
                let limited = format!("ulimit -n {limit} && exec \"$0\" \"$@\"");
                let mut shell = command_in(folder, "sh");
                shell.arg("-c").arg(limited).arg(BINARY);
                shell
            }
        };
        command.arg("serve");
        match self.log_dirs.is_empty() {
            true => command.arg("--data-dir").arg(data_dir),
            false => {
                let dirs: Vec<String> = self
                    .log_dirs
                    .iter()
                    .map(|dir| dir.display().to_string())
                    .collect();
                command
                    .arg("-o")
                    .arg(format!("log.dirs={}", dirs.join(",")))
            }
        };
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        if !self.arguments.iter().any(|argument| argument == "--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        if let Some(filter) = &self.log_filter {
            command.env("BROKER_LOG", filter);
        }
        for option in &self.options {
            command.args(["-o", option]);
        }
        command.args(&self.arguments);
        command
    }
}

/// The binary under test, run in a folder of its own, without the settings of whoever runs the tests.
pub(crate) fn broker_command(home: &Path) -> Command {
    command_in(home, BINARY)
}

const BINARY: &str = env!("CARGO_BIN_EXE_broker-under-test");

fn command_in(home: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(home)
        .stdin(Stdio::null())
        .env("RUST_BACKTRACE", "1");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BROKER_") {
            command.env_remove(name);
        }
    }
    command
}

/// What a broker that did not start had to say.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
}

impl Refused {
    /// Asserts that the message names all of this, and that nothing panicked.
    #[track_caller]
    pub(crate) fn names(&self, wanted: &[&str]) -> &Self {
        for word in wanted {
            assert!(
                self.said.contains(word),
                "{word:?} is missing in: {}",
                self.said
            );
        }
        assert!(panics(&self.said).is_empty(), "{}", self.said);
        self
    }

    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn exits_with(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{}", self.said);
        self
    }
}

#[track_caller]
fn refused(mut command: Command) -> Refused {
    let mut child = command
        .spawn()
        .expect("the binary under test can be started");
    let began = std::time::Instant::now();
    while child
        .try_wait()
        .expect("the process can be waited for")
        .is_none()
    {
        if began.elapsed() > patience() {
            let _ = child.kill();
            panic!("the broker should have refused to start, and runs");
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let output = child.wait_with_output().expect("its output can be read");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success(),
        "it ended as if all were well: {said}"
    );
    Refused {
        code: output.status.code(),
        said,
    }
}

/// A broker process and its directory.
pub(crate) struct Broker {
    setup: Setup,
    home: TempDir,
    process: Option<Child>,
    address: String,
}

impl Broker {
    /// A broker with its defaults.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Setup::new().start()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Its data directory; the first when it has several.
    pub(crate) fn data_dir(&self) -> PathBuf {
        let first = self.setup.log_dirs.first().cloned();
        first.unwrap_or_else(|| self.home.path().join("data"))
    }

    /// A folder beside the data that goes with the broker.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// The directory of a partition.
    pub(crate) fn partition_dir(&self, topic: &str, partition: u32) -> PathBuf {
        self.data_dir().join(format!("{topic}-{partition}"))
    }

    /// Files of a partition with this extension, sorted by name.
    pub(crate) fn files(&self, topic: &str, partition: u32, extension: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.partition_dir(topic, partition));
        let entries = entries
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path());
        let mut files: Vec<PathBuf> = entries
            .filter(|path| path.extension().is_some_and(|found| found == extension))
            .collect();
        files.sort();
        files
    }

    /// A connection that has said hello.
    #[track_caller]
    pub(crate) fn connect(&self) -> Wire {
        Wire::connect(&self.address)
    }

    /// Changes how it will be started the next time.
    pub(crate) fn set_up_again(&mut self, change: impl FnOnce(Setup) -> Setup) {
        self.setup = change(std::mem::take(&mut self.setup));
    }

    /// Everything that it has logged, over all starts.
    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(self.home.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().expect("the broker runs").id()
    }

    /// How many files and sockets it has open.
    pub(crate) fn open_files(&self) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.pid()));
        open.expect("it runs").count()
    }

    /// The memory that it holds.
    pub(crate) fn resident_mib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("Linux says it");
        line.trim()
            .trim_end_matches(" kB")
            .parse::<u64>()
            .expect("a number")
            / 1024
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("an own process can be killed");
            process.wait().expect("an own process can be waited for");
        }
    }

    /// Sends SIGTERM and does not wait.
    pub(crate) fn signal_term(&self) {
        let status = Command::new("kill")
            .args(["-TERM", &self.pid().to_string()])
            .status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("the broker runs");
        let log = self.home.path().join("log");
        let ended = eventually("the broker ends", || {
            process.try_wait().expect("it can be waited for")
        });
        assert!(
            ended.code().is_some(),
            "a signal ended it: {ended}\n{}",
            tail(&fs::read_to_string(log).unwrap_or_default())
        );
        ended
    }

    /// Sends SIGTERM and waits for a clean end.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        self.signal_term();
        let status = self.wait();
        assert!(
            status.success(),
            "SIGTERM ended it with {status}\n{}",
            tail(&self.log())
        );
    }

    /// Starts it and kills it after so long, wherever it is then.
    pub(crate) fn start_and_kill_after(&mut self, wait: Duration) {
        assert!(self.process.is_none(), "it runs already");
        let mut command = self.setup.command(self.home.path(), &self.data_dir());
        command.stdout(Stdio::null()).stderr(self.log_file());
        self.process = Some(
            command
                .spawn()
                .expect("the binary under test can be started"),
        );
        std::thread::sleep(wait);
        self.kill();
    }

    fn log_file(&self) -> fs::File {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(match &self.setup.log_file {
                Some(file) => file.clone(),
                None => self.home.path().join("log"),
            });
        log.expect("the log can be written")
    }

    /// Starts it again on the same directory, on another port.
    #[track_caller]
    pub(crate) fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let mut command = self.setup.command(self.home.path(), &self.data_dir());
        command.stdout(Stdio::piped()).stderr(self.log_file());
        let mut process = command
            .spawn()
            .expect("the binary under test can be started");
        let stdout = process.stdout.take().expect("it was asked for");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        self.process = Some(process);
        loop {
            let Ok(line) = lines.recv_timeout(patience()) else {
                panic!("the broker does not start:\n{}", tail(&self.log()));
            };
            if let Some(address) = line.strip_prefix("listening on ") {
                self.address = address.to_owned();
                return;
            }
        }
    }

    /// Kills it and starts it again.
    #[track_caller]
    pub(crate) fn crash(&mut self) {
        self.kill();
        self.start_again();
    }

    /// A command of the binary against this broker; answers its standard output.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self
            .command(arguments)
            .output()
            .expect("the binary under test can be started");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "broker {arguments:?}: {}\n{said}",
            output.status
        );
        output.stdout
    }

    /// A command of the binary against this broker.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = broker_command(self.home.path());
        command.args(["--server", &self.address]).args(arguments);
        command
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
        let log = self.log();
        let found = panics(&log);
        if std::thread::panicking() {
            eprintln!("the broker's log ended with\n{}", tail(&log));
        } else if !self.setup.expects_panics && !found.is_empty() {
            panic!("the broker panicked: {found:?}\n{}", tail(&log));
        }
    }
}
