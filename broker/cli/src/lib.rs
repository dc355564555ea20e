//! The command line of the broker: one binary that serves, administers, produces, consumes, looks
//! into files and measures. [`main`] is all there is to call; commands are in `commands`, one file
//! each, and everything they print goes through `output`.
//!
//! It knows the client, the server's entry point and the offline tools of storage and plugins; it
//! has no rules of its own.
//!
//! ```
//! // What `src/main.rs` does, and nothing else:
//! let entry: fn() -> std::process::ExitCode = broker_cli::main;
//! # let _ = entry;
//! ```

mod cli;
mod commands;
mod exit_status;
mod failure;
mod input;
mod message_pack;
mod output;
mod place;
mod runtime;
mod session;
mod time_spec;

use std::process::ExitCode;

/// Runs the command that the process arguments name and reports how it went.
pub fn main() -> ExitCode {
    cli::run(std::env::args_os()).into()
}
