//! Carrying out sync requests together: every file once, however many requests name it, several at a time, of one log
//! in the order in which they were written; then indexes, small files and directories, so that what is durable never
//! speaks of what is not. The first failure ends the directory's service.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::answer::Answer;
use super::{SyncFile, SyncOutcome, SyncRequest};
use crate::durable_positions::{DurablePoint, SlotTicket};
use crate::health::{DirFailed, is_no_space, is_not_permitted, is_out_of_files};
use crate::log_dir::DirShared;

/// Carries out requests together and tells each what became of it; then records how far the logs
/// are durable.
pub(crate) fn run_group(dir: &DirShared, requests: &[SyncRequest], answers: Vec<Answer>) {
    run_group_unrecorded(dir, requests, answers);
    record(dir);
}

/// The same without recording the new points: that is left for later, but not for longer than until the next
/// sync is told of. What the last one made true may be recorded meanwhile; it has been when anybody is told.
pub(super) fn run_group_unrecorded(
    dir: &DirShared,
    requests: &[SyncRequest],
    answers: Vec<Answer>,
) {
    if dir.planted.ack_before_sync {
        let all_well = vec![Ok(()); requests.len()];
        tell(answers, &all_well);
        let results = sync_group(dir, requests);
        dir.unrecorded().extend(points(requests, &results));
        return;
    }
    if dir.planted.checkpoint_ahead_of_data {
        let all_well = vec![Ok(()); requests.len()];
        dir.unrecorded().extend(points(requests, &all_well));
        record(dir);
    }
    let mut results = sync_group(dir, requests);
    record(dir);
    // Nothing is acknowledged in a directory in which recording has failed.
    if let Err(failed) = dir.health.check() {
        results = vec![Err(failed); requests.len()];
    }
    dir.unrecorded().extend(points(requests, &results));
    if requests.iter().any(|request| request.is_noted_first) {
        record(dir);
        if let Err(failed) = dir.health.check() {
            results = vec![Err(failed); requests.len()];
        }
    }
    tell(answers, &results);
}

/// What became of one request.
type Synced = Result<(), DirFailed>;

/// The points of the requests that succeeded.
fn points(
    requests: &[SyncRequest],
    results: &[Synced],
) -> impl Iterator<Item = (SlotTicket, DurablePoint)> {
    let both = requests.iter().zip(results);
    both.filter(|(_, result)| result.is_ok())
        .map(|(request, _)| (request.ticket, request.point))
}

/// Carries out one request without recording its point: that is left for later, but not for longer
/// than until the next sync is told of. What the last one made true another thread may be recording
/// meanwhile; either way it has been when this returns.
pub(crate) fn sync_unrecorded(dir: &DirShared, request: SyncRequest) -> SyncOutcome {
    let requests = std::slice::from_ref(&request);
    if dir.planted.checkpoint_ahead_of_data {
        dir.unrecorded().extend(points(requests, &[Ok(())]));
        record(dir);
    }
    let results = match dir.planted.ack_before_sync {
        // Whoever is told is on this thread: the sync is left out, then.
        true => vec![Ok(())],
        false => sync_group(dir, requests),
    };
    record(dir);
    let result = results.into_iter().next();
    let result = result.expect("one request has one result");
    // Nothing is acknowledged in a directory in which recording has failed.
    let result = result.and_then(|()| dir.health.check());
    let point = result.is_ok().then_some((request.ticket, request.point));
    dir.unrecorded().extend(point);
    SyncOutcome::of(&request, &result)
}

/// Makes durable what a request names, and nobody is told of it.
pub(crate) fn sync_only(dir: &DirShared, request: SyncRequest) -> Synced {
    let mut results = sync_group(dir, &[request]);
    results.pop().expect("one request has one result")
}

/// Records the points that syncs have made true since the last time. Whoever comes meanwhile waits,
/// so that what is recorded never lags by more than one sync.
pub(crate) fn record(dir: &DirShared) {
    if let Err(error) = dir.note_clock_ahead() {
        tracing::warn!(%error, "the next start may believe a clock that is far ahead");
    }
    let mut points = dir.unrecorded();
    if let Err(error) = dir.positions.record(&points) {
        observe(dir, &error);
    }
    points.clear();
}

/// A point was not recorded.
fn observe(dir: &DirShared, error: &io::Error) {
    let file = dir.positions.path();
    match is_no_space(error) {
        // On a file system that never writes in place. What is recorded lags behind then: after
        // a power loss more of the log's end is looked at.
        true => tracing::warn!(file = %file.display(), %error, "durable positions wait for room"),
        false => drop(dir.health.fail(format_args!("{}: {error}", file.display()))),
    }
}

fn tell(answers: Vec<Answer>, results: &[Synced]) {
    for (answer, result) in answers.into_iter().zip(results) {
        answer.tell(result);
    }
}

/// Makes everything durable. A failure is everybody's; a partition whose directory was removed is alone
/// with that.
fn sync_group(dir: &DirShared, requests: &[SyncRequest]) -> Vec<Synced> {
    let mut results = Vec::new();
    let done = sync_all_files(dir, requests).and_then(|()| {
        let mut directories = BTreeSet::new();
        for request in requests {
            let vanished = sync_small(dir, request, &mut directories)?;
            results.push(vanished.map_or(Ok(()), Err));
        }
        // Whatever has failed meanwhile, nothing more is acknowledged in this directory.
        dir.health.check()
    });
    match done {
        Ok(()) => results,
        Err(failed) => vec![Err(failed); requests.len()],
    }
}

fn sync_all_files(dir: &DirShared, requests: &[SyncRequest]) -> Synced {
    dir.health.check()?;
    let mut seen = BTreeSet::new();
    let mut data: BTreeMap<SlotTicket, Vec<&SyncFile>> = BTreeMap::new();
    let mut indexes = Vec::new();
    for request in requests {
        for file in request.files.iter().filter(|file| seen.insert(file.key())) {
            match file {
                SyncFile::Data(_) => data.entry(request.ticket).or_default().push(file),
                SyncFile::Index(_) => indexes.push(vec![file]),
            }
        }
    }
    let data: Vec<Vec<&SyncFile>> = data.into_values().collect();
    let synced = sync_files(dir, &data).and_then(|()| sync_files(dir, &indexes));
    let synced =
        synced.map_err(|error| dir.health.fail_sync(format_args!("a sync failed: {error}")));
    // A file that was closed to make room was synced for that, maybe in vain.
    let synced = synced.and_then(|()| dir.health.check());
    dir.note_lost_writes();
    synced
}

/// The small files and directories of a request; answers how it has failed alone.
fn sync_small<'a>(
    dir: &DirShared,
    request: &'a SyncRequest,
    directories: &mut BTreeSet<&'a Path>,
) -> Result<Option<DirFailed>, DirFailed> {
    for (path, contents) in &request.replacements {
        let _one_at_a_time = dir.replacing();
        if !dir.positions.is_current(request.ticket) {
            // The log was cut, deleted or opened anew: these contents are outdated.
            continue;
        }
        match with_descriptors(|| dir.io.replace_small(path, contents)) {
            Ok(()) => {}
            // Leader epochs that do not fit on a full disk are found in the batch headers again:
            // the recovery point names the newest, so that the loss is noticed.
            Err(error) if is_no_space(&error) => {
                tracing::warn!(file = %path.display(), %error, "not written, the disk is full");
            }
            Err(error) if is_not_permitted(&error) => dir.health.observe(path, &error),
            Err(error) => {
                let parent = path.parent().unwrap_or(path);
                if let Some(vanished) = unless_deleted(dir, request, parent, error)? {
                    return Ok(Some(vanished));
                }
            }
        }
    }
    for path in &request.directories {
        if directories.insert(path)
            && let Err(error) = with_descriptors(|| dir.io.sync_dir(path))
            && let Some(vanished) = unless_deleted(dir, request, path, error)?
        {
            return Ok(Some(vanished));
        }
    }
    Ok(None)
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

/// Logs whose files are synced at the same time at most: the file system joins them into fewer commits.
const PARALLEL_SYNCS: usize = 4;

/// Those of one log one after the other.
fn sync_files(dir: &DirShared, logs: &[Vec<&SyncFile>]) -> io::Result<()> {
    in_parallel(logs, thread::Builder::new, |logs| {
        let mut files = logs.iter().flatten();
        files.try_for_each(|file| with_descriptors(|| file.sync(&*dir.io)))
    })
}

/// Does the work in parts, each by a thread of its own as far as the system has any to give.
fn in_parallel<T: Sync>(
    items: &[T],
    helper: impl Fn() -> thread::Builder,
    work: impl Fn(&[T]) -> io::Result<()> + Sync,
) -> io::Result<()> {
    let share = items.len().div_ceil(PARALLEL_SYNCS);
    if items.len() < 2 {
        return work(items);
    }
    let work = &work;
    thread::scope(|scope| {
        let (first, others) = items.split_at(share);
        let mut mine = vec![first];
        let mut helpers = Vec::new();
        for part in others.chunks(share) {
            match helper().spawn_scoped(scope, move || work(part)) {
                Ok(helper) => helpers.push(helper),
                Err(error) => {
                    tracing::warn!(%error, "no thread to be had for a sync: it takes longer");
                    mine.push(part);
                }
            }
        }
        let mut result = mine.into_iter().try_for_each(work);
        for helper in helpers {
            let done = helper
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a sync panicked")));
            result = result.and(done);
        }
        result
    })
}

/// A partition that was deleted meanwhile has nothing to sync. One whose directory somebody else has
/// removed is lost without it, and no other is.
fn unless_deleted(
    dir: &DirShared,
    request: &SyncRequest,
    partition_dir: &Path,
    error: io::Error,
) -> Result<Option<DirFailed>, DirFailed> {
    let is_gone = error.kind() == io::ErrorKind::NotFound;
    if is_gone && !dir.positions.is_current(request.ticket) {
        return Ok(None);
    }
    if is_gone && dir.is_removed(partition_dir) {
        return Ok(Some(DirFailed {
            dir: partition_dir.to_owned(),
            reason: "it was removed while the broker was running".into(),
        }));
    }
    let reason = format_args!("{}: {error}", partition_dir.display());
    Err(dir.health.fail(reason))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// No system has room for a stack of this size.
    fn no_thread() -> thread::Builder {
        thread::Builder::new().stack_size(1 << 62)
    }

    #[test]
    fn everything_is_synced_with_threads_and_without() {
        for helper in [thread::Builder::new, no_thread] {
            for count in 0..20_u32 {
                let items: Vec<u32> = (0..count).collect();
                let done = Mutex::new(Vec::<u32>::new());
                let work = |part: &[u32]| {
                    done.lock().expect("nothing panics").extend(part);
                    Ok(())
                };
                in_parallel(&items, helper, work).expect("all of it works");
                let mut done = done.into_inner().expect("nothing panics");
                done.sort_unstable();
                assert_eq!(done, items);
            }
        }
    }

    #[test]
    fn a_failure_of_any_part_is_told_with_threads_and_without() {
        for helper in [thread::Builder::new, no_thread] {
            for bad in 0..9_u32 {
                let items: Vec<u32> = (0..9).collect();
                let work = |part: &[u32]| match part.contains(&bad) {
                    true => Err(io::Error::other("bad")),
                    false => Ok(()),
                };
                assert!(in_parallel(&items, helper, work).is_err());
            }
        }
    }
}
