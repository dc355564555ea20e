//! `SyncThread`: one thread per log directory that carries out sync requests in groups. Everything
//! that was queued while the last group ran is served by one: each file is synced once, however
//! many requests name it. What a group has made true is recorded by a second thread, beside the next group.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::answer::{Answer, SyncDone};
use super::recorder::{RecordSoon, Recorder};
use super::sync_group::{record, run_group, run_group_unrecorded, sync_unrecorded};
use super::{SyncOutcome, SyncRequest};
use crate::log_dir::DirShared;

/// A request and who waits for it.
type Work = (Box<SyncRequest>, Answer);

/// The way to the threads.
enum Queue {
    /// Nothing was asked for yet.
    Idle,
    Open(Running),
    Stopped,
}

/// The threads and the ways to them.
struct Running {
    queue: Sender<Work>,
    record_soon: RecordSoon,
    syncing: JoinHandle<()>,
    recorder: Recorder,
}

/// The handle of the threads, which start with the first request; dropping it lets them finish what is
/// queued and waits for them.
pub(crate) struct SyncThread {
    dir: Arc<DirShared>,
    queue: Mutex<Queue>,
}

impl SyncThread {
    pub(crate) fn new(dir: Arc<DirShared>) -> Self {
        Self {
            dir,
            queue: Mutex::new(Queue::Idle),
        }
    }

    /// Queues a request; once the thread is stopped, or if it cannot be started, carries it out at once.
    pub(crate) fn send(&self, request: SyncRequest, done: SyncDone) {
        let answer = Answer::new(&self.dir, &request, done);
        let mut work = Some((Box::new(request), answer));
        self.with_running(|running| {
            let refused = work.take().and_then(|work| running.queue.send(work).err());
            work = refused.map(|refused| refused.0);
        });
        if let Some((request, answer)) = work {
            run_group(&self.dir, &[*request], vec![answer]);
        }
    }

    /// Carries out a request on the calling thread; recording its point is left to another.
    pub(crate) fn sync_inline(&self, request: SyncRequest) -> SyncOutcome {
        let outcome = sync_unrecorded(&self.dir, request);
        let mut soon = None;
        self.with_running(|running| soon = Some(running.record_soon.clone()));
        match soon {
            Some(soon) => soon.record(&self.dir),
            None => record(&self.dir),
        }
        outcome
    }

    /// Starts the threads if need be; does nothing once they are stopped.
    fn with_running(&self, work: impl FnOnce(&Running)) {
        let mut queue = self.lock();
        if matches!(*queue, Queue::Idle) {
            match self.start() {
                Ok(running) => *queue = Queue::Open(running),
                Err(error) => tracing::error!(%error, "the sync thread cannot be started"),
            }
        }
        if let Queue::Open(running) = &*queue {
            work(running);
        }
    }

    fn start(&self) -> io::Result<Running> {
        let (recorder, record_soon) = Recorder::start(&self.dir)?;
        let (queue, requests) = mpsc::channel();
        let (dir, soon) = (Arc::clone(&self.dir), record_soon.clone());
        let syncing = thread::Builder::new()
            .name("log-sync".to_owned())
            .spawn(move || run(&dir, &requests, &soon))?;
        Ok(Running {
            queue,
            record_soon,
            syncing,
            recorder,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it is held.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finishes what is queued and ends the threads.
    pub(crate) fn stop(&self) {
        let queue = std::mem::replace(&mut *self.lock(), Queue::Stopped);
        let Queue::Open(running) = queue else {
            return;
        };
        drop((running.queue, running.record_soon));
        // A callback may hold the last handle of the directory; then they end by themselves, one after the other.
        if running.syncing.thread().id() == thread::current().id() {
            return;
        }
        if running.syncing.join().is_err() {
            tracing::error!("the sync thread has panicked");
        }
        running.recorder.join();
    }
}

impl Drop for SyncThread {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(dir: &DirShared, queue: &Receiver<Work>, soon: &RecordSoon) {
    while let Ok(first) = queue.recv() {
        let (mut requests, mut answers) = (Vec::new(), Vec::new());
        for (request, answer) in std::iter::once(first).chain(queue.try_iter()) {
            requests.push(*request);
            answers.push(answer);
        }
        run_group_unrecorded(dir, &requests, answers);
        soon.record(dir);
    }
}
