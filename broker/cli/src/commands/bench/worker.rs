//! Threads of a benchmark, each with an event loop of its own.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::latency::Recorder;
use super::schedule::Schedule;
use crate::exit_status::ExitStatus;
use crate::failure::Failure;
use crate::runtime::{block_on, interrupted};

/// A thread at work.
pub(super) struct Worker(oneshot::Receiver<Result<Recorder, Failure>>);

impl Worker {
    /// Runs `work` on a thread of its own.
    pub(super) fn start<W, F>(work: W) -> Result<Self, Failure>
    where
        W: FnOnce() -> F + Send + 'static,
        F: Future<Output = Result<Recorder, Failure>>,
    {
        let (sender, receiver) = oneshot::channel();
        let run = move || {
            // Nobody listens when the run was given up.
            let _ = sender.send(block_on(work()));
        };
        std::thread::Builder::new()
            .name("bench".to_owned())
            .spawn(run)?;
        Ok(Self(receiver))
    }
}

/// Waits for all threads and adds up what they have measured. Ctrl-C ends the run early.
pub(super) async fn gather(
    workers: Vec<Worker>,
    schedule: &Arc<Schedule>,
) -> Result<Recorder, Failure> {
    let all = async {
        let mut total = Recorder::new()?;
        let mut failure = None;
        for Worker(receiver) in workers {
            match receiver.await {
                Ok(Ok(recorder)) => total.merge(&recorder)?,
                Ok(Err(error)) => {
                    schedule.stop();
                    failure.get_or_insert(error);
                }
                Err(_) => {
                    schedule.stop();
                    failure.get_or_insert_with(|| {
                        Failure::failed("a thread of the benchmark crashed")
                    });
                }
            }
        }
        failure.map_or(Ok(total), Err)
    };
    tokio::pin!(all);
    tokio::select! {
        total = &mut all => total,
        () = interrupted() => {
            schedule.stop();
            // What is under way is answered soon; nothing more is sent.
            let _ = all.await;
            Err(Failure::new(ExitStatus::Interrupted, "interrupted; nothing is reported"))
        }
    }
}
