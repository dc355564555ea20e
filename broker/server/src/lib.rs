//! The broker as a process: configuration, actors, request handlers, listeners. Rules live in
//! `broker_cluster` and `broker_storage`; an actor unpacks a message, calls them and carries out what they
//! say. Nothing here knows a command line.
//!
//! ```no_run
//! use broker_server::config::{BrokerConfig, ConfigLayers};
//!
//! let config = BrokerConfig::load(&ConfigLayers::default())?;
//! broker_server::run(config, |server| println!("listening on {:?}", server.addresses()))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod actor_stats;
mod arbiters;
mod background;
mod broker;
mod cleaner;
mod clock;
mod clock_doubt;
mod cold_reads;
pub mod config;
mod connection;
mod context;
mod controller;
mod counted;
mod death_notice;
mod descriptors;
mod dir_traces;
mod dry_run;
mod left_out;
mod log_dirs;
mod look;
mod machine_check;
mod memory;
mod moved_log;
mod net;
mod not_opened;
mod offline;
mod partition;
mod plugins;
mod policy_faults;
mod reply;
mod request;
mod run;
mod scrubber;
mod server;
mod solitude;
mod standstill;
mod threads;
mod topic_settings;
mod topics;
mod turn;

pub use machine_check::check_machine;
pub use run::run;
pub use server::{Server, StartError, check_plugins};
pub use threads::NoThreads;
