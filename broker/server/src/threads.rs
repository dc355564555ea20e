//! Room for threads, looked for before anything is started: what the broker cannot do without should be told as that,
//! and not show as a panic of whatever comes first.

use std::error::Error as _;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread::{self, Builder};

use crate::background::low_priority_threads;

/// Threads that a broker starts with, besides two for each core.
const AT_LEAST: usize = 12;

/// There is no room.
#[derive(Debug, thiserror::Error)]
#[error(
    "the system has no room for the broker's threads, {missing} of {wanted} at the start: {source}; raise the limit of the user's processes (ulimit -u) or of the container's (pids)"
)]
pub struct NoThreads {
    missing: usize,
    wanted: usize,
    source: io::Error,
}

/// Looks whether there is room, and starts the threads that compile plugins: the pool that the compiler uses is made
/// once in a process, and if that fails, never.
pub(crate) fn prepare() -> Result<(), NoThreads> {
    static COMPILERS: OnceLock<()> = OnceLock::new();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    find_room(AT_LEAST + 2 * cores)?;
    if COMPILERS.set(()).is_err() {
        return Ok(());
    }
    let set_priority = low_priority_threads();
    let made = rayon::ThreadPoolBuilder::new()
        .num_threads(cores)
        .thread_name(|number| format!("compile-{number}"))
        .start_handler(move |_| set_priority())
        .build_global();
    match made {
        // What has no source is that there is one.
        Err(error) if error.source().is_some() => Err(NoThreads {
            missing: cores,
            wanted: cores,
            source: io::Error::other(error),
        }),
        _ => Ok(()),
    }
}

/// Starts so many threads at once and lets them end.
fn find_room(wanted: usize) -> Result<(), NoThreads> {
    let (release, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let mut started = Vec::with_capacity(wanted);
    let mut refused = None;
    while started.len() < wanted && refused.is_none() {
        let held = Arc::clone(&held);
        // Whoever holds the lock waits for the sender to go, the others for the lock.
        let wait = move || drop(held.lock().map(|held| held.recv()));
        match Builder::new().name("look-for-room".to_owned()).spawn(wait) {
            Ok(thread) => started.push(thread),
            Err(error) => refused = Some(error),
        }
    }
    drop(release);
    let missing = wanted - started.len();
    for thread in started {
        // They do nothing that could panic.
        let _ = thread.join();
    }
    refused.map_or(Ok(()), |source| {
        Err(NoThreads {
            missing,
            wanted,
            source,
        })
    })
}
