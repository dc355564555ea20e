//! `Neighbours`: well-behaved clients beside an attack. One sends a record and reads it back, one sends
//! batches of 1 MiB, one reads decoded records; each measures how long its requests take. They live on
//! threads of their own, so that the attack does not slow them down on this side.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_tcp_quickack;

use super::message::{self, Fetch, error_name};

/// Longest time that a neighbour waits for an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the clients that send and read much pause between requests: a p99 takes some hundreds of those.
const PAUSE: Duration = Duration::from_millis(20);

/// What a kind of neighbour saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    micros: Vec<u64>,
    /// Requests that were answered with an error, by its name, the last one.
    pub errors: usize,
    /// The last error's name.
    pub last_error: Option<String>,
}

impl Seen {
    /// Requests that were answered well.
    pub fn served(&self) -> usize {
        self.micros.len()
    }

    /// The time within which this share of the requests was answered, in microseconds.
    pub fn percentile(&self, hundredths: usize) -> u64 {
        let mut sorted = self.micros.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        let index = (sorted.len() * hundredths / 100).min(last);
        sorted.get(index).copied().unwrap_or(0)
    }
}

/// What all neighbours saw.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// One record there and back.
    pub small: Seen,
    /// A batch of 1 MiB.
    pub large: Seen,
    /// A fetch of decoded records.
    pub reader: Seen,
}

/// Neighbours that are at work.
#[derive(Debug)]
pub struct Neighbours {
    observed: Arc<Mutex<Observed>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// The topics that neighbours use.
pub const TOPICS: [&str; 3] = [
    "flood-neighbour-small",
    "flood-neighbour-large",
    "flood-neighbour-read",
];

type Kind = fn(&mut Client, &mut Seen) -> io::Result<()>;
type Pick = fn(&mut Observed) -> &mut Seen;

impl Neighbours {
    /// Lets them work.
    pub fn start(address: &str) -> Self {
        let observed = Arc::<Mutex<Observed>>::default();
        let stop = Arc::new(AtomicBool::new(false));
        let kinds: [(Kind, Pick); 3] = [
            (there_and_back, |observed| &mut observed.small),
            (send_much, |observed| &mut observed.large),
            (read_decoded, |observed| &mut observed.reader),
        ];
        let threads = kinds.map(|(work, pick)| {
            let (observed, stop) = (observed.clone(), stop.clone());
            let address = address.to_owned();
            std::thread::spawn(move || {
                let mut client = None;
                while !stop.load(Ordering::Relaxed) {
                    let mut seen = Seen::default();
                    let done = match &mut client {
                        Some(client) => work(client, &mut seen),
                        none => Client::connect(&address).map(|connected| {
                            *none = Some(connected);
                        }),
                    };
                    if let Err(error) = done {
                        client = None;
                        seen.errors += 1;
                        seen.last_error = Some(error.to_string());
                        std::thread::sleep(PAUSE);
                    }
                    if let Ok(mut observed) = observed.lock() {
                        pick(&mut observed).add(seen);
                    }
                }
            })
        });
        Self {
            observed,
            stop,
            threads: threads.into(),
        }
    }

    /// What they saw since the last time.
    pub fn take(&self) -> Observed {
        self.observed
            .lock()
            .map(|mut observed| std::mem::take(&mut *observed))
            .unwrap_or_default()
    }

    /// Ends their work.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.micros.extend(other.micros);
        self.errors += other.errors;
        self.last_error = other.last_error.or(self.last_error.take());
    }

    fn timed(&mut self, client: &mut Client, request: &[u8]) -> io::Result<()> {
        let began = Instant::now();
        let answer = client.ask(request)?;
        match error_name(&answer) {
            None => {
                let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                self.micros.push(micros);
            }
            Some(name) => {
                self.errors += 1;
                self.last_error = Some(name);
            }
        }
        Ok(())
    }
}

fn there_and_back(client: &mut Client, seen: &mut Seen) -> io::Result<()> {
    let topic = TOPICS[0];
    seen.timed(
        client,
        &message::produce(1, topic, &message::records(1, 100)),
    )?;
    let fetch = Fetch {
        form: "batch",
        wait_ms: 0,
        offset: 0,
        partitions: 1,
        bytes_max: 1,
    };
    seen.timed(client, &fetch.request(2, topic))
}

fn send_much(client: &mut Client, seen: &mut Seen) -> io::Result<()> {
    let records = message::records(1000, 1000);
    let request = message::produce(1, TOPICS[1], &records);
    seen.timed(client, &request)?;
    std::thread::sleep(PAUSE);
    Ok(())
}

fn read_decoded(client: &mut Client, seen: &mut Seen) -> io::Result<()> {
    let fetch = Fetch {
        form: "records",
        wait_ms: 0,
        offset: 0,
        partitions: 1,
        bytes_max: 256 * 1024,
    };
    seen.timed(client, &fetch.request(1, TOPICS[2]))?;
    std::thread::sleep(PAUSE);
    Ok(())
}

/// A client that waits for each answer.
#[derive(Debug)]
pub struct Client(TcpStream);

impl Client {
    /// Connects and says hello.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn connect(address: &str) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let mut client = Self(socket);
        let answer = client.ask(&message::hello())?;
        match error_name(&answer) {
            None => Ok(client),
            Some(name) => Err(io::Error::other(name)),
        }
    }

    /// One request and its answer's body.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn ask(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        // Who answers soon after it was asked is not acknowledged at once by its system, and a sender whose congestion
        // control waits for that does so for 60 ms.
        let _ = set_tcp_quickack(&self.0, true);
        self.0.write_all(request)?;
        let mut head = [0; 5];
        self.0.read_exact(&mut head)?;
        let [_, length @ ..] = head;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok(body)
    }
}
