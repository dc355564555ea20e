//! The machine itself: what it is, its page memory warmed, and its limits, measured in the same minutes
//! as what is held against them: a round trip on the loopback, loopback + checksum + append, `sendfile`
//! to a socket, and `write` + `fdatasync`.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

const MIB: usize = 1024 * 1024;
const BATCH: usize = 100 * 1024;

/// In one line: processor, cores, memory, kernel.
pub(crate) fn description() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model
        .unwrap_or("unknown processor")
        .trim_start_matches([' ', '\t', ':']);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u64>().ok());
    let gib = kib.unwrap_or_default().div_ceil(1024 * 1024);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {cores} cores, {gib} GiB, Linux {}", kernel.trim())
}

/// How much else runs: the load of the last minute.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}

/// The type of the file system that a folder is on.
pub(crate) fn file_system(folder: &Path) -> Result<String> {
    let folder = folder.canonicalize()?;
    let mounts = fs::read_to_string("/proc/mounts")?;
    let fields = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    let around = fields.filter(|fields| fields.len() > 2 && folder.starts_with(fields[1]));
    let deepest = around.max_by_key(|fields| fields[1].len());
    Ok(deepest.context("no file system")?[2].to_owned())
}

/// Refuses a folder in memory: nothing there is ever written to a disk.
pub(crate) fn check_is_disk(folder: &Path) -> Result<String> {
    let kind = file_system(folder)?;
    if kind == "tmpfs" || kind == "ramfs" {
        bail!(
            "{} is a {kind}, not a disk: name another folder with --dir",
            folder.display()
        );
    }
    Ok(kind)
}

/// Touches so much memory, so that nobody pays for its first use.
pub(crate) fn touch_memory(mib: usize) {
    let mut memory = vec![0_u8; mib * MIB];
    for page in memory.chunks_mut(4096) {
        page[0] = 1;
    }
    std::hint::black_box(&memory);
}

/// Two ends of a connection on the loopback.
fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    }
    Ok((client, server))
}

/// Times of 100 bytes there and back between two threads, sorted.
pub(crate) fn ping_pong(length: Duration) -> Result<Vec<Duration>> {
    let (mut client, mut server) = pair()?;
    let echo = thread::spawn(move || {
        let mut message = [0; 100];
        while server.read_exact(&mut message).is_ok() && server.write_all(&message).is_ok() {}
    });
    let (mut message, mut times) = ([0; 100], Vec::new());
    let end = Instant::now() + length;
    while Instant::now() < end {
        let begun = Instant::now();
        client.write_all(&message)?;
        client.read_exact(&mut message)?;
        times.push(begun.elapsed());
    }
    drop(client);
    echo.join().map_err(|_| anyhow!("the echo panicked"))?;
    times.sort_unstable();
    Ok(times)
}

fn joined<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("a thread panicked"))?
}

fn rate(bytes: usize, begun: Instant) -> f64 {
    bytes as f64 / MIB as f64 / begun.elapsed().as_secs_f64()
}

/// Loopback, checksum and append on two connections, each a stream into a file of its own without any
/// answer: MiB/s of both together.
pub(crate) fn produce_limit(folder: &Path) -> Result<f64> {
    const BATCHES: usize = 4 * MIB / 1024;
    let begun = Instant::now();
    let mut threads = Vec::new();
    for number in 0..2 {
        let (mut client, mut server) = pair()?;
        let mut file = File::create(folder.join(format!("limit-{number}")))?;
        threads.push(thread::spawn(move || -> Result<()> {
            let batch = vec![7; BATCH];
            for _ in 0..BATCHES {
                client.write_all(&batch)?;
            }
            Ok(())
        }));
        threads.push(thread::spawn(move || -> Result<()> {
            let mut batch = vec![0; BATCH];
            for _ in 0..BATCHES {
                server.read_exact(&mut batch)?;
                std::hint::black_box(crc32fast::hash(&batch));
                file.write_all(&batch)?;
            }
            Ok(())
        }));
    }
    threads.into_iter().try_for_each(joined)?;
    Ok(rate(2 * BATCHES * BATCH, begun))
}

/// `sendfile` of a MiB for each request of a byte, one connection: MiB/s.
pub(crate) fn fetch_limit(folder: &Path) -> Result<f64> {
    const REQUESTS: usize = 1536;
    const FILE_MIB: usize = 256;
    let path = folder.join("limit");
    fs::write(&path, vec![7; FILE_MIB * MIB])?;
    let (mut client, mut server) = pair()?;
    let sender = thread::spawn(move || -> Result<()> {
        let (file, mut request) = (File::open(path)?, [0]);
        for number in 0..REQUESTS {
            server.read_exact(&mut request)?;
            let mut offset = (number % FILE_MIB * MIB) as u64;
            let end = offset + MIB as u64;
            while offset < end {
                let left = usize::try_from(end - offset)?;
                rustix::fs::sendfile(&server, &file, Some(&mut offset), left)?;
            }
        }
        Ok(())
    });
    let mut answer = vec![0; MIB];
    let begun = Instant::now();
    for _ in 0..REQUESTS {
        client.write_all(&[1])?;
        client.read_exact(&mut answer)?;
    }
    let rate = rate(REQUESTS * MIB, begun);
    joined(sender)?;
    Ok(rate)
}

/// `write` and `fdatasync` of 1.6 MiB at a time, what 16 producers have in flight: MiB/s.
pub(crate) fn sync_limit(folder: &Path) -> Result<f64> {
    let mut file = File::create(folder.join("limit"))?;
    let chunk = vec![7; 16 * BATCH];
    let (begun, mut written) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(1) {
        file.write_all(&chunk)?;
        file.sync_data()?;
        written += chunk.len();
    }
    Ok(rate(written, begun))
}
