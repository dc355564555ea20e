//! `SyncThread`: one thread per log directory that carries out sync requests in groups. Everything
//! that was queued while the last group ran is served by one: each file is synced once, however
//! many requests name it.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::answer::{Answer, SyncDone};
use super::sync_group::{record, run_group, sync_unrecorded};
use super::{SyncOutcome, SyncRequest};
use crate::log_dir::DirShared;

/// What the thread is asked for.
enum Work {
    /// To sync.
    Sync(Box<SyncRequest>, Answer),
    /// To record what a sync elsewhere has made durable.
    Record,
}

/// The way to the thread.
enum Queue {
    /// Nothing was asked for yet.
    Idle,
    Open(Sender<Work>, JoinHandle<()>),
    Stopped,
}

/// The handle of the thread, which starts with the first request; dropping it lets the thread finish
/// what is queued and waits for it.
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

    /// Queues a request; once the thread is stopped, carries it out at once.
    pub(crate) fn send(&self, request: SyncRequest, done: SyncDone) {
        let answer = Answer::new(&self.dir, &request, done);
        if let Some(Work::Sync(request, answer)) = self.queue(Work::Sync(Box::new(request), answer))
        {
            run_group(&self.dir, &[*request], vec![answer]);
        }
    }

    /// Carries out a request on the calling thread; recording its point is left to this one.
    pub(crate) fn sync_inline(&self, request: SyncRequest) -> SyncOutcome {
        let outcome = sync_unrecorded(&self.dir, request);
        if self.queue(Work::Record).is_some() {
            record(&self.dir);
        }
        outcome
    }

    /// Gives the work back if the thread is stopped, or cannot be started.
    fn queue(&self, work: Work) -> Option<Work> {
        let mut queue = self.lock();
        if matches!(*queue, Queue::Idle) {
            match self.start() {
                Ok(started) => *queue = started,
                Err(error) => tracing::error!(%error, "the sync thread cannot be started"),
            }
        }
        match &*queue {
            Queue::Open(queue, _) => queue.send(work).err().map(|refused| refused.0),
            Queue::Idle | Queue::Stopped => Some(work),
        }
    }

    fn start(&self) -> io::Result<Queue> {
        let (queue, requests) = mpsc::channel();
        let shared = Arc::clone(&self.dir);
        let thread = thread::Builder::new()
            .name("log-sync".to_owned())
            .spawn(move || run(&shared, &requests))?;
        Ok(Queue::Open(queue, thread))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it is held.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finishes what is queued and ends the thread.
    pub(crate) fn stop(&self) {
        let queue = std::mem::replace(&mut *self.lock(), Queue::Stopped);
        let Queue::Open(queue, thread) = queue else {
            return;
        };
        drop(queue);
        // A callback may hold the last handle of the directory.
        if thread.thread().id() != thread::current().id() && thread.join().is_err() {
            tracing::error!("the sync thread has panicked");
        }
    }
}

impl Drop for SyncThread {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(dir: &DirShared, queue: &Receiver<Work>) {
    while let Ok(first) = queue.recv() {
        let (mut requests, mut answers) = (Vec::new(), Vec::new());
        for work in std::iter::once(first).chain(queue.try_iter()) {
            if let Work::Sync(request, answer) = work {
                requests.push(*request);
                answers.push(answer);
            }
        }
        match requests.is_empty() {
            true => record(dir),
            false => run_group(dir, &requests, answers),
        }
    }
}
