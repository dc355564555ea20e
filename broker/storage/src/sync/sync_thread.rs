//! `SyncThread`: one thread per log directory that carries out sync requests in groups. Everything
//! that was queued while the last group ran is served by one: each file is synced once, however
//! many requests name it.

use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::health::{DirFailed, is_no_space};
use crate::log_dir::DirShared;
use crate::sync::{SyncOutcome, SyncRequest};

/// Called once with what became of a request, on the sync thread: it must not wait.
pub(crate) type Done = Box<dyn FnOnce(SyncOutcome) + Send>;

/// The handle of the thread; dropping it lets the thread finish what is queued and waits for it.
pub(crate) struct SyncThread {
    dir: Arc<DirShared>,
    queue: Mutex<Option<Sender<(SyncRequest, Done)>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl SyncThread {
    pub(crate) fn start(dir: Arc<DirShared>) -> io::Result<Self> {
        let (queue, requests) = mpsc::channel();
        let shared = Arc::clone(&dir);
        let thread = thread::Builder::new()
            .name("log-sync".to_owned())
            .spawn(move || run(&shared, &requests))?;
        Ok(Self {
            dir,
            queue: Mutex::new(Some(queue)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Queues a request; once the thread is stopped, carries it out at once.
    pub(crate) fn send(&self, request: SyncRequest, done: Done) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = match &*queue {
            Some(queue) => queue.send((request, done)).err().map(|refused| refused.0),
            None => Some((request, done)),
        };
        drop(queue);
        if let Some((request, done)) = refused {
            run_group(&self.dir, &[request], vec![done]);
        }
    }

    /// Finishes what is queued and ends the thread.
    pub(crate) fn stop(&self) {
        let queue = self
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(queue);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(thread) = thread else { return };
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

fn run(dir: &DirShared, requests: &Receiver<(SyncRequest, Done)>) {
    while let Ok(first) = requests.recv() {
        let mut group = vec![first];
        group.extend(requests.try_iter());
        let (requests, callbacks): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        run_group(dir, &requests, callbacks);
    }
}

/// Carries out requests together and tells each what became of it; then records how far the logs
/// are durable.
pub(crate) fn run_group(dir: &DirShared, requests: &[SyncRequest], callbacks: Vec<Done>) {
    if dir.planted.ack_before_sync {
        tell(requests, callbacks, &Ok(()));
        let _ = sync_group(dir, requests);
        return;
    }
    let result = sync_group(dir, requests);
    tell(requests, callbacks, &result);
    if result.is_err() {
        return;
    }
    let points: Vec<_> = requests
        .iter()
        .map(|request| (request.ticket, request.point))
        .collect();
    if let Err(error) = dir.positions.record(&points) {
        dir.health
            .fail(format_args!("{}: {error}", dir.positions.path().display()));
    }
}

fn tell(requests: &[SyncRequest], callbacks: Vec<Done>, result: &Result<(), DirFailed>) {
    for (request, done) in requests.iter().zip(callbacks) {
        let outcome = SyncOutcome {
            ticket: request.ticket,
            change: request.change,
            point: request.point,
            result: result.clone(),
        };
        // A callback that panics must not take the others' answers with it.
        if catch_unwind(AssertUnwindSafe(|| done(outcome))).is_err() {
            tracing::error!("a sync callback has panicked");
        }
    }
}

fn sync_group(dir: &DirShared, requests: &[SyncRequest]) -> Result<(), DirFailed> {
    dir.health.check()?;
    let mut seen = BTreeSet::new();
    for file in requests.iter().flat_map(|request| &request.files) {
        if seen.insert(Arc::as_ptr(file).cast::<()>()) {
            file.sync_data()
                .map_err(|error| dir.health.fail(format_args!("a sync failed: {error}")))?;
        }
    }
    let mut directories = BTreeSet::new();
    for request in requests {
        for (path, contents) in &request.replacements {
            let done = dir.io.replace_small(path, contents);
            done.or_else(|error| tolerated(dir, request, path, error))?;
        }
        for path in &request.directories {
            if directories.insert(path) {
                let done = dir.io.sync_dir(path);
                done.or_else(|error| tolerated(dir, request, path, error))?;
            }
        }
    }
    Ok(())
}

/// Two failures are none: a partition deleted meanwhile has nothing to sync, and leader epochs that
/// do not fit on a full disk are found in the batch headers again (the recovery point names the
/// newest, so that the loss is noticed).
fn tolerated(
    dir: &DirShared,
    request: &SyncRequest,
    path: &Path,
    error: io::Error,
) -> Result<(), DirFailed> {
    let deleted =
        error.kind() == io::ErrorKind::NotFound && !dir.positions.is_current(request.ticket);
    if deleted {
        return Ok(());
    }
    if is_no_space(&error) {
        tracing::warn!(file = %path.display(), %error, "not written, the disk is full");
        return Ok(());
    }
    Err(dir.health.fail(format_args!("{}: {error}", path.display())))
}
