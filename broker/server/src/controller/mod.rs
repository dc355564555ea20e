//! The controller: every change of the cluster's metadata goes through its one actor. A change is planned
//! against the state machine of `broker_cluster::metadata`, appended to the metadata log with its term
//! and index, synced, and only then applied, published and answered. Requests reach it through
//! `ControllerHandle`; its parent is the broker actor; its mailbox holds `limits::CONTROLLER_MAILBOX`.
//! A quorum will later take the log over and drive the same machine.

mod actor;
mod error;
mod fair_line;
mod handle;
mod launcher;
mod messages;
mod metadata_log;
#[cfg(test)]
mod tests;

pub(crate) use error::ControllerError;
pub(crate) use fair_line::Share;
pub(crate) use handle::ControllerHandle;
pub(crate) use launcher::ControllerLauncher;
pub(crate) use messages::{Intent, Plan};
pub(crate) use metadata_log::{MetadataLog, MetadataLogError};
