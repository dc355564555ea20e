//! Running `broker`: a command with its output, and a broker process on a directory of its own.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The binary, in a directory without configuration and with an environment without ours.
pub(crate) fn broker(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
    command
        .args(args)
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BROKER_") {
            command.env_remove(name);
        }
    }
    command
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).expect("errors are text"),
        }
    }
}

impl Ran {
    /// Standard output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).expect("the output is text")
    }

    /// Standard output as one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The error object on standard error.
    #[track_caller]
    pub(crate) fn json_error(&self) -> Value {
        let last = self.stderr.lines().last().unwrap_or_default();
        let object: Value =
            serde_json::from_str(last).unwrap_or_else(|error| panic!("{error} in {self:?}"));
        object["error"].clone()
    }

    /// It ended well.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.ended(0)
    }

    /// It ended with this code.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    /// Standard error has all of these.
    #[track_caller]
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(
                self.stderr.contains(part),
                "{part:?} is missing in {self:?}"
            );
        }
        self
    }
}

/// Runs a command to its end.
pub(crate) fn run(args: &[&str]) -> Ran {
    broker(args).output().expect("the binary runs").into()
}

/// Runs a command with this standard input.
pub(crate) fn run_with_input(command: &mut Command, input: &[u8]) -> Ran {
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let mut stdin = child.stdin.take().expect("it was asked for");
    let input = input.to_owned();
    // A command that does not read all of its input closes the pipe.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("the binary ends");
    writer.join().expect("the writer ends");
    output.into()
}

/// A broker of its own.
pub(crate) struct Broker {
    process: Child,
    pub(crate) home: TempDir,
    pub(crate) address: String,
}

impl Broker {
    /// Starts one and waits until it listens.
    pub(crate) fn start() -> Self {
        Self::start_in(TempDir::new().expect("a directory can be made"))
    }

    /// Starts one on the data that lies in `home`.
    pub(crate) fn start_in(home: TempDir) -> Self {
        let data = data_dir(home.path());
        let log = File::create(home.path().join("log")).expect("the log can be made");
        let mut process = broker(&["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data)
            .current_dir(home.path())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the binary runs");
        let stdout = process.stdout.take().expect("it was asked for");
        let line = BufReader::new(stdout).lines().next();
        let Some(Ok(line)) = line else {
            let log = std::fs::read_to_string(home.path().join("log"));
            panic!("the broker does not start: {log:?}");
        };
        let address = line
            .strip_prefix("listening on ")
            .unwrap_or_else(|| panic!("{line:?}"));
        Self {
            process,
            address: address.to_owned(),
            home,
        }
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        data_dir(self.home.path())
    }

    /// A command that talks to it.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = broker(args);
        command
            .env("BROKER_SERVER", &self.address)
            .current_dir(self.home.path());
        command
    }

    /// Runs such a command.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.command(args).output().expect("the binary runs").into()
    }

    /// Runs such a command with this standard input.
    pub(crate) fn run_with_input(&self, args: &[&str], input: &[u8]) -> Ran {
        run_with_input(&mut self.command(args), input)
    }

    /// Makes a topic with so many partitions.
    #[track_caller]
    pub(crate) fn topic(&self, name: &str, partitions: u32) {
        self.run(&[
            "topic",
            "create",
            name,
            "--partitions",
            &partitions.to_string(),
        ])
        .ok();
    }

    /// Writes a file into its home and answers the path.
    pub(crate) fn file(&self, name: &str, contents: &[u8]) -> String {
        let path = self.home.path().join(name);
        std::fs::write(&path, contents).expect("the file can be written");
        path.display().to_string()
    }

    /// Asks it to stop and waits; answers its exit code, and its home for the next one.
    pub(crate) fn stop(mut self) -> (Option<i32>, TempDir) {
        signal(&self.process, "TERM");
        let code = wait(&mut self.process).code();
        let home = std::mem::replace(
            &mut self.home,
            TempDir::new().expect("a directory can be made"),
        );
        (code, home)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn data_dir(home: &Path) -> PathBuf {
    home.join("data")
}

/// Waits until something is so, but not for ever.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(process: &Child, name: &str) {
    let sent = Command::new("kill")
        .args(["-s", name, &process.id().to_string()])
        .status();
    assert!(sent.expect("kill runs").success());
}

/// Waits for a process, but not for ever.
pub(crate) fn wait(process: &mut Child) -> std::process::ExitStatus {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if let Some(status) = process.try_wait().expect("a child can be waited for") {
            return status;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = process.kill();
    panic!("the process does not end");
}
