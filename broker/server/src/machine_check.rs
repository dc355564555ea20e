//! `check_machine`: what a start would refuse on this machine besides the configuration itself: directories that are
//! one and the same or cannot be written, addresses that cannot be bound. Nothing stays of the questions.

use std::collections::BTreeMap;
use std::path::PathBuf;

use broker_storage::{LogDirError, LogDirOptions, check_usable};
use tokio::net::TcpListener;

use crate::config::BrokerConfig;
use crate::dir_traces::DirTraces;
use crate::net::listener;
use crate::server::StartError;

/// Asks for the directories and the addresses of a configuration as a start does, without opening the directories.
/// Answers what another process keeps it from for now, which may be the broker that is to be replaced.
///
/// # Errors
/// When a broker of this configuration would not start on this machine.
///
/// # Panics
/// When the process cannot make an event loop.
pub fn check_machine(config: &BrokerConfig) -> Result<Vec<String>, StartError> {
    check_dirs(config)?;
    actix_rt::System::new().block_on(check_addresses(&config.listeners))
}

fn check_dirs(config: &BrokerConfig) -> Result<(), LogDirError> {
    let options_of = |path: &std::path::Path| LogDirOptions::new(path, config.broker_id);
    let traces = DirTraces::of(&config.log_dirs, &options_of)?;
    if let Some(broken) = traces.into_broken() {
        return Err(broken);
    }
    let mut known: BTreeMap<PathBuf, &PathBuf> = BTreeMap::new();
    for dir in &config.log_dirs {
        check_usable(&*options_of(dir).io, dir)?;
        // One that is not there yet has no other name.
        let Ok(real) = dir.canonicalize() else {
            continue;
        };
        if let Some(outer) = known.insert(real, dir) {
            return Err(LogDirError::Nested {
                dir: dir.clone(),
                outer: outer.clone(),
            });
        }
    }
    Ok(())
}

async fn check_addresses(addresses: &[String]) -> Result<Vec<String>, StartError> {
    let mut doubts = Vec::new();
    let mut bound: Vec<TcpListener> = Vec::new();
    for address in addresses {
        let is_taken = match listener::bind(address).await {
            Ok(listening) => {
                bound.push(listening);
                continue;
            }
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => error,
            Err(source) => return Err(failed(address, source)),
        };
        // By another process, or by an address before it.
        bound.clear();
        if listener::bind(address).await.is_ok() {
            return Err(failed(address, is_taken));
        }
        doubts.push(failed(address, is_taken).to_string());
    }
    Ok(doubts)
}

fn failed(address: &str, source: std::io::Error) -> StartError {
    StartError::Listen {
        address: address.to_owned(),
        source,
    }
}
