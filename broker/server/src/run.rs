//! `run`: a broker in the foreground, until a signal stops it.

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::config::BrokerConfig;
use crate::descriptors::check_limit;
use crate::memory;
use crate::server::{Server, StartError, arbiter_count};
use crate::threads;

/// Runs a broker until SIGTERM, SIGINT or SIGHUP, then stops it in good order; a second SIGTERM or SIGINT ends the
/// process at once, with 128 and its number as the exit code. `ready` is called when connections are accepted.
///
/// A terminal that goes away may send SIGHUP more than once, so that another one cuts nothing short. Where it is
/// ignored, as under `nohup`, it stays so.
///
/// # Errors
/// When the broker does not start.
///
/// # Panics
/// When the process cannot make an event loop or install signal handlers.
pub fn run(config: BrokerConfig, ready: impl FnOnce(&Server)) -> Result<(), StartError> {
    memory::limit_heaps();
    // Event loops have descriptors, too.
    check_limit(&config, arbiter_count(&config))?;
    threads::prepare()?;
    let system = actix_rt::System::new();
    let ran = system.block_on(async move {
        let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be handled");
        let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be handled");
        let mut hang_up = (!is_hang_up_ignored())
            .then(|| signal(SignalKind::hangup()).expect("SIGHUP can be handled"));
        let server = tokio::select! {
            started = Server::start(config) => started?,
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            () = received(hang_up.as_mut()) => return Ok(()),
        };
        ready(&server);
        tokio::select! {
            _ = terminate.recv() => info!("SIGTERM: stopping"),
            _ = interrupt.recv() => info!("SIGINT: stopping"),
            () = received(hang_up.as_mut()) => info!("SIGHUP: stopping"),
        }
        tokio::select! {
            () = server.stop() => info!("stopped"),
            _ = terminate.recv() => end_at_once(Signal::TERM),
            _ = interrupt.recv() => end_at_once(Signal::INT),
        }
        Ok(())
    });
    actix_rt::System::current().stop();
    ran
}

async fn received(signals: Option<&mut tokio::signal::unix::Signal>) {
    match signals {
        Some(signals) => drop(signals.recv().await),
        None => std::future::pending().await,
    }
}

/// Whether whoever started this process has it go on when its terminal goes away. Where the system does not tell,
/// nothing is changed, which is the same.
fn is_hang_up_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_none_or(|mask| mask >> (Signal::HUP.as_raw() - 1) & 1 == 1)
}

/// Ends the process here: to end the event loops would be to wait for threads that a disk may keep.
fn end_at_once(second: Signal) -> ! {
    warn!(
        "second signal: the stop is cut short, nothing is marked as cleanly stopped; the next start recovers"
    );
    std::process::exit(128 + second.as_raw())
}
