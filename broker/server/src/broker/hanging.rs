//! Disks that hang: what the broker actor does in a log directory it does not wait for when the disk there
//! has stopped answering, as others wait for the actor.

use std::sync::Weak;
use std::thread;
use std::time::Duration;

use broker_storage::LogDir;
use tracing::warn;

use crate::log_dirs::LogDirs;
use crate::standstill::{LOOK_EVERY, ThreadWatch};

/// How long a disk is waited for by who has others waiting behind.
pub(super) const MOMENT: Duration = Duration::from_secs(3);

/// Looks whether the disk of a directory hangs, and answers what there is to say of it then.
pub(crate) fn hanging(dir: &LogDir) -> Option<String> {
    let owed = dir.look_whether_it_hangs()?;
    Some(format!(
        "the disk of log directory {} does not answer: it has been at one call for {} s. It is waited for; if it does not come back, see to it and restart the broker",
        dir.path().display(),
        owed.as_secs()
    ))
}

/// Looks at every disk and every thread for as long as the directories are open, so that one that hangs is known
/// although nobody waits for it, or all who do are stuck themselves. On a thread that does nothing else: nothing that
/// keeps another one, nor a low priority under load, makes it late.
pub(crate) fn watch(dirs: Weak<LogDirs>, mut threads: Vec<ThreadWatch>) {
    let watching = move || {
        loop {
            thread::sleep(LOOK_EVERY);
            let Some(dirs) = dirs.upgrade() else { return };
            for dir in dirs.all() {
                dir.look_whether_it_hangs();
            }
            for thread in &mut threads {
                thread.look(|| slow_disks(&dirs));
            }
        }
    };
    let started = thread::Builder::new()
        .name("watch".to_owned())
        .spawn(watching);
    started.expect("the system has room for a thread");
}

/// The directories whose disks have been at one call for more than a moment.
fn slow_disks(dirs: &LogDirs) -> String {
    let slow = dirs.all().iter().filter(|dir| is_slow(dir));
    let slow: Vec<_> = slow.map(|dir| dir.path().display().to_string()).collect();
    match slow.is_empty() {
        true => "none has been at one call for long".to_owned(),
        false => format!("at one call for long: {}", slow.join(", ")),
    }
}

/// Whether the disk of a directory has been at one call for more than a moment.
pub(crate) fn is_slow(dir: &LogDir) -> bool {
    dir.owes_for().is_some_and(|owed| owed >= MOMENT)
}

/// Waits for work in a directory; tells why not once its disk hangs, whereupon the work goes on by itself or not at all.
pub(crate) async fn unless_it_hangs<T>(
    dir: &LogDir,
    work: impl Future<Output = T>,
) -> Result<T, String> {
    unless(|| hanging(dir), work).await
}

/// Waits for work; tells why not once there is a reason, which is looked for now and then.
pub(super) async fn unless<T, R>(
    why_not: impl Fn() -> Option<R>,
    work: impl Future<Output = T>,
) -> Result<T, R> {
    let mut work = std::pin::pin!(work);
    loop {
        if let Ok(done) = tokio::time::timeout(LOOK_EVERY, &mut work).await {
            return Ok(done);
        }
        if let Some(reason) = why_not() {
            return Err(reason);
        }
    }
}

/// Waits for work in a directory however long it takes, and says so once if its disk hangs or a thread that it needs is
/// `stuck`.
pub(super) async fn however_long(
    dir: &LogDir,
    stuck: impl Fn() -> Option<String>,
    work: impl Future<Output = ()>,
) {
    let mut work = std::pin::pin!(work);
    if let Err(reason) = unless(|| hanging(dir).or_else(&stuck), &mut work).await {
        warn!(dir = %dir.path().display(), reason, "the stop waits to close this directory; until then it is not marked as cleanly stopped. What was acknowledged under flush.mode = sync is safe");
        work.await;
    }
}
