//! Load on a server: threads that begin together, each with a producer or a consumer of its own, for a
//! time; and what was measured meanwhile, the server's processor time with it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::server::Server;
use crate::systems::{Consumer, Producer};

/// How long, and how much at most: what the page cache was warmed for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    pub(crate) bytes_max: u64,
}

/// What came out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    /// Of single requests, in order of length.
    pub(crate) latencies: Vec<Duration>,
}

impl Measured {
    /// A latency that this many requests of a hundred do not pass, in µs.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let latency = self.latencies.get(last * percent / 100);
        let latency = latency.copied().unwrap_or_default();
        latency.as_secs_f64() * 1e6
    }
}

/// What the threads share.
struct Control {
    barrier: Barrier,
    counts: AtomicBool,
    is_over: AtomicBool,
    requests: AtomicU64,
}

/// Runs producers, each of whose requests brings so many bytes of payload.
pub(crate) fn produce(
    server: &Server,
    producers: Vec<Box<dyn Producer>>,
    request_bytes: u64,
    length: Length,
) -> Result<Measured> {
    let work = producers.into_iter().map(|mut producer| {
        let work: Work = Box::new(move || producer.send());
        work
    });
    run(server, work.collect(), request_bytes, length)
}

/// Runs consumers that read so many records from the start, again and again. A request is one such
/// reading.
pub(crate) fn consume(
    server: &Server,
    consumers: Vec<Box<dyn Consumer>>,
    records: u64,
    length: Length,
) -> Result<Measured> {
    let work = consumers.into_iter().map(|mut consumer| {
        let work: Work = Box::new(move || consumer.read(records));
        work
    });
    run(server, work.collect(), 0, length)
}

type Work = Box<dyn FnMut() -> Result<()> + Send>;

fn run(server: &Server, work: Vec<Work>, request_bytes: u64, length: Length) -> Result<Measured> {
    let control = Arc::new(Control {
        barrier: Barrier::new(work.len() + 1),
        counts: AtomicBool::new(length.warm_up.is_zero()),
        is_over: AtomicBool::new(false),
        requests: AtomicU64::new(0),
    });
    let threads = work.into_iter().map(|work| {
        let control = Arc::clone(&control);
        thread::spawn(move || one_after_the_other(work, &control))
    });
    let threads: Vec<_> = threads.collect();
    control.barrier.wait();
    thread::sleep(length.warm_up);
    let cpu_before = server.cpu_seconds();
    control.counts.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    while begun.elapsed() < length.measured && !control.is_over.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(2));
        let bytes = control.requests.load(Ordering::Relaxed) * request_bytes;
        if bytes > length.bytes_max {
            break;
        }
    }
    control.is_over.store(true, Ordering::SeqCst);
    let mut measured = Measured::default();
    for thread in threads {
        let joined = thread
            .join()
            .map_err(|_| anyhow!("a client thread panicked"))?;
        let (latencies, until) = joined?;
        measured.latencies.extend(latencies);
        let seconds = until.saturating_duration_since(begun).as_secs_f64();
        measured.seconds = measured.seconds.max(seconds);
    }
    measured.cpu_seconds = server.cpu_seconds()? - cpu_before?;
    measured.requests = control.requests.load(Ordering::SeqCst);
    measured.latencies.sort_unstable();
    Ok(measured)
}

/// The latencies, and when the last request that counts was answered. A request that was under way when
/// the time was up is waited for, and both it and its time count.
fn one_after_the_other(mut work: Work, control: &Control) -> Result<(Vec<Duration>, Instant)> {
    let mut latencies = Vec::new();
    control.barrier.wait();
    while !control.is_over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        if let Err(error) = work() {
            control.is_over.store(true, Ordering::SeqCst);
            return Err(error);
        }
        if control.counts.load(Ordering::Relaxed) {
            latencies.push(begun.elapsed());
            control.requests.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok((latencies, Instant::now()))
}
