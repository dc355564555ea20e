//! `Recorder`: a thread that records what a sync has made durable, beside the next sync. That record has a sync
//! of its own, which would hold up everybody; like this, only the answers of the next sync wait for it, and only
//! if it takes longer than that one.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use super::sync_group::record;
use crate::log_dir::DirShared;

/// The handle of the thread; it ends when all [`RecordSoon`] are gone, and what was to be recorded is.
pub(super) struct Recorder(JoinHandle<()>);

/// Has the thread record.
#[derive(Clone)]
pub(super) struct RecordSoon(Sender<()>);

impl Recorder {
    pub(super) fn start(dir: &Arc<DirShared>) -> io::Result<(Self, RecordSoon)> {
        let (sender, asked) = mpsc::channel();
        let dir = Arc::clone(dir);
        let thread = thread::Builder::new()
            .name("log-record".to_owned())
            .spawn(move || {
                while asked.recv().is_ok() {
                    // Once is enough for everybody who has asked by now.
                    asked.try_iter().for_each(drop);
                    record(&dir);
                }
            })?;
        Ok((Self(thread), RecordSoon(sender)))
    }

    pub(super) fn join(self) {
        if self.0.join().is_err() {
            tracing::error!("the thread that records durable positions has panicked");
        }
    }
}

impl RecordSoon {
    /// Has what is not recorded yet recorded: soon, or here if the thread is gone.
    pub(super) fn record(&self, dir: &DirShared) {
        if self.0.send(()).is_err() {
            record(dir);
        }
    }
}
