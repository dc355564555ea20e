//! The systems that are compared, behind one face: how each is started, how its logs are made, and a
//! producer and a consumer that speak its protocol over a raw socket with batches encoded beforehand.

mod nats;
mod ours;
mod redis;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

pub(crate) use self::ours::{Ours, OursProducer, Payloads, Spread, TailReader};

/// When an acknowledgement comes: after `write`, or after the disk has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Written,
    Synced,
}

/// What one request brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) records: usize,
    pub(crate) record_bytes: usize,
}

impl Batch {
    pub(crate) fn payload_bytes(self) -> u64 {
        (self.records * self.record_bytes) as u64
    }

    /// The same letters for every system.
    pub(crate) fn value(self) -> Vec<u8> {
        let letters = b"abcdefghijklmnopqrstuvwxyz0123456789 ".iter().copied();
        letters.cycle().take(self.record_bytes).collect()
    }
}

/// Where a server is to be started.
pub(crate) struct Place<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) port: u16,
    pub(crate) class: Class,
}

/// A system under test.
pub(crate) trait System: Sync {
    fn name(&self) -> &'static str;

    /// Its binary.
    fn program(&self) -> &Path;

    /// Whether it can acknowledge in this class.
    fn offers(&self, class: Class) -> bool;

    /// The command that starts it on an empty folder.
    fn command(&self, place: &Place<'_>) -> Result<Command>;

    /// Connects and makes sure that it answers.
    fn greet(&self, address: SocketAddr) -> Result<()>;

    /// Makes so many logs: partitions of one topic, or streams.
    fn make_logs(&self, address: SocketAddr, logs: u32, class: Class) -> Result<()>;

    fn producer(&self, address: SocketAddr, log: u32, batch: Batch) -> Result<Box<dyn Producer>>;

    fn consumer(&self, address: SocketAddr, log: u32, batch: Batch) -> Result<Box<dyn Consumer>>;
}

/// Sends the same batch over and over.
pub(crate) trait Producer: Send {
    /// Sends a batch and waits until every record of it is acknowledged.
    fn send(&mut self) -> Result<()>;
}

/// Reads a log from its start.
pub(crate) trait Consumer: Send {
    /// Reads so many records from the start of the log.
    fn read(&mut self, records: u64) -> Result<()>;
}

/// Bytes of records that a consumer asks for at once.
pub(crate) const FETCH_BYTES: usize = 1024 * 1024;

/// The systems that this machine has. `broker` is the binary of ours.
pub(crate) fn installed(broker: PathBuf) -> (Vec<Box<dyn System>>, Vec<&'static str>) {
    let mut systems: Vec<Box<dyn System>> = Vec::new();
    let mut missing = Vec::new();
    match find("nats-server") {
        Some(path) => systems.push(Box::new(nats::Nats(path))),
        None => missing.push("nats-server"),
    }
    match find("redis-server") {
        Some(path) => systems.push(Box::new(redis::Redis(path))),
        None => missing.push("redis-server"),
    }
    systems.push(Box::new(Ours(broker)));
    (systems, missing)
}

/// A program on the search path, or where Debian puts servers.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin".into(), "/usr/bin".into()]);
    let candidates = folders.into_iter().map(|folder| folder.join(program));
    candidates.into_iter().find(|path| path.is_file())
}
