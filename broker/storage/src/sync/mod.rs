//! Making writes durable: what a log asks for, what it is told, and the two threads of a directory in
//! between: one syncs, the other records beside the next sync what is durable.

mod answer;
mod backlog;
mod outcome;
mod recorder;
mod request;
mod sync_group;
mod sync_thread;
#[cfg(test)]
mod unrecorded_tests;

pub(crate) use answer::Answer;
pub use answer::SyncDone;
pub(crate) use backlog::Backlog;
pub use backlog::{BehindSyncs, SyncBacklog};
pub use outcome::SyncOutcome;
pub(crate) use request::SyncFile;
pub use request::SyncRequest;
pub(crate) use sync_group::{record, run_group, sync_only};
pub(crate) use sync_thread::SyncThread;
