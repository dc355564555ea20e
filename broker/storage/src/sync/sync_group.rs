//! Carrying out sync requests together: every file once, however many requests name it, several at
//! a time; then the small files and the directories. The first failure ends the directory's service.

use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::{SyncFile, SyncOutcome, SyncRequest};
use crate::durable_positions::{DurablePoint, SlotTicket};
use crate::health::{DirFailed, is_no_space, is_out_of_files};
use crate::io::Io;
use crate::log_dir::DirShared;

/// Called once with what became of a request, on the sync thread: it must not wait.
pub type SyncDone = Box<dyn FnOnce(SyncOutcome) + Send>;

/// Carries out requests together and tells each what became of it; then records how far the logs
/// are durable.
pub(crate) fn run_group(dir: &DirShared, requests: &[SyncRequest], callbacks: Vec<SyncDone>) {
    record(dir);
    if dir.planted.ack_before_sync {
        tell(requests, callbacks, &Ok(()));
        if sync_group(dir, requests).is_ok() {
            dir.unrecorded().extend(points(requests));
            record(dir);
        }
        return;
    }
    if dir.planted.checkpoint_ahead_of_data {
        dir.unrecorded().extend(points(requests));
        record(dir);
    }
    let result = sync_group(dir, requests);
    tell(requests, callbacks, &result);
    if result.is_ok() {
        dir.unrecorded().extend(points(requests));
        record(dir);
    }
}

fn points(requests: &[SyncRequest]) -> impl Iterator<Item = (SlotTicket, DurablePoint)> {
    requests
        .iter()
        .map(|request| (request.ticket, request.point))
}

/// Carries out one request without recording its point: that is left for later, but not for longer
/// than until the next sync.
pub(crate) fn sync_unrecorded(dir: &DirShared, request: SyncRequest) -> SyncOutcome {
    record(dir);
    if dir.planted.checkpoint_ahead_of_data {
        dir.unrecorded().push((request.ticket, request.point));
        record(dir);
    }
    let result = match dir.planted.ack_before_sync {
        // Whoever is told is on this thread: the sync is left out, then.
        true => Ok(()),
        false => sync_group(dir, std::slice::from_ref(&request)),
    };
    if result.is_ok() {
        dir.unrecorded().push((request.ticket, request.point));
    }
    outcome(&request, &result)
}

/// Records the points that syncs have made true since the last time. Whoever comes meanwhile waits,
/// so that what is recorded never lags by more than one sync.
pub(crate) fn record(dir: &DirShared) {
    let mut points = dir.unrecorded();
    if let Err(error) = dir.positions.record(&points) {
        let file = dir.positions.path();
        match is_no_space(&error) {
            // On a file system that never writes in place. What is recorded lags behind then: after
            // a power loss more of the log's end is looked at.
            true => {
                tracing::warn!(file = %file.display(), %error, "durable positions wait for room")
            }
            false => drop(dir.health.fail(format_args!("{}: {error}", file.display()))),
        }
    }
    points.clear();
}

fn outcome(request: &SyncRequest, result: &Result<(), DirFailed>) -> SyncOutcome {
    SyncOutcome {
        ticket: request.ticket,
        change: request.change,
        point: request.point,
        result: result.clone(),
    }
}

fn tell(requests: &[SyncRequest], callbacks: Vec<SyncDone>, result: &Result<(), DirFailed>) {
    for (request, done) in requests.iter().zip(callbacks) {
        let outcome = outcome(request, result);
        // A callback that panics must not take the others' answers with it.
        if catch_unwind(AssertUnwindSafe(|| done(outcome))).is_err() {
            tracing::error!("a sync callback has panicked");
        }
    }
}

fn sync_group(dir: &DirShared, requests: &[SyncRequest]) -> Result<(), DirFailed> {
    dir.health.check()?;
    let mut seen = BTreeSet::new();
    let files: Vec<&SyncFile> = requests
        .iter()
        .flat_map(|request| &request.files)
        .filter(|file| seen.insert(file.path()))
        .collect();
    sync_files(&*dir.io, &files)
        .map_err(|error| dir.health.fail(format_args!("a sync failed: {error}")))?;
    // A file that was closed to make room was synced for that, maybe in vain.
    dir.health.check()?;
    let mut directories = BTreeSet::new();
    for request in requests {
        for (path, contents) in &request.replacements {
            let _one_at_a_time = dir.replacing();
            if !dir.positions.is_current(request.ticket) {
                // The log was cut, deleted or opened anew: these contents are outdated.
                continue;
            }
            let done = with_descriptors(|| dir.io.replace_small(path, contents));
            done.or_else(|error| match is_no_space(&error) {
                // Leader epochs that do not fit on a full disk are found in the batch headers again:
                // the recovery point names the newest, so that the loss is noticed.
                true => {
                    tracing::warn!(file = %path.display(), %error, "not written, the disk is full");
                    Ok(())
                }
                false => unless_deleted(dir, request, path, error),
            })?;
        }
        for path in &request.directories {
            if directories.insert(path) {
                let done = with_descriptors(|| dir.io.sync_dir(path));
                done.or_else(|error| unless_deleted(dir, request, path, error))?;
            }
        }
    }
    // Whatever has failed meanwhile, nothing more is acknowledged in this directory.
    dir.health.check()
}

/// How often, and after which pauses, a file is opened again when the process had no descriptor left.
const OPEN_ATTEMPTS: u32 = 600;
const OPEN_PAUSE: Duration = Duration::from_millis(100);

/// Waits for file descriptors when there are none: what has failed then has not begun, so this is no
/// second try of a sync.
fn with_descriptors(mut work: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    for attempt in 0..OPEN_ATTEMPTS {
        match work() {
            Err(error) if is_out_of_files(&error) => {
                if attempt == 0 {
                    tracing::warn!(%error, "a sync waits for a free file descriptor");
                }
                thread::sleep(OPEN_PAUSE);
            }
            done => return done,
        }
    }
    work()
}

/// Files synced at the same time at most: the file system joins them into fewer commits.
const PARALLEL_SYNCS: usize = 4;

fn sync_files(io: &dyn Io, files: &[&SyncFile]) -> io::Result<()> {
    let all = |files: &[&SyncFile]| {
        let mut files = files.iter();
        files.try_for_each(|file| with_descriptors(|| file.sync(io)))
    };
    let share = files.len().div_ceil(PARALLEL_SYNCS);
    if files.len() < 2 {
        return all(files);
    }
    thread::scope(|scope| {
        let (mine, others) = files.split_at(share);
        let helpers: Vec<_> = others
            .chunks(share)
            .map(|files| scope.spawn(move || all(files)))
            .collect();
        let mut result = all(mine);
        for helper in helpers {
            let done = helper
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a sync panicked")));
            result = result.and(done);
        }
        result
    })
}

/// A partition that was deleted meanwhile has nothing to sync.
fn unless_deleted(
    dir: &DirShared,
    request: &SyncRequest,
    path: &Path,
    error: io::Error,
) -> Result<(), DirFailed> {
    let deleted =
        error.kind() == io::ErrorKind::NotFound && !dir.positions.is_current(request.ticket);
    match deleted {
        true => Ok(()),
        false => Err(dir.health.fail(format_args!("{}: {error}", path.display()))),
    }
}
