//! Disks that hang: what the broker actor does in a log directory it does not wait for when the disk there
//! has stopped answering, as others wait for the actor.

use std::time::Duration;

use broker_storage::LogDir;
use tracing::warn;

/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Looks whether the disk of a directory hangs, and answers what there is to say of it then.
pub(crate) fn hanging(dir: &LogDir) -> Option<String> {
    let owed = dir.look_whether_it_hangs()?;
    Some(format!(
        "the disk of log directory {} does not answer: it has been at one write or sync for {} s. It is waited for; if it does not come back, see to it and restart the broker",
        dir.path().display(),
        owed.as_secs()
    ))
}

/// Waits for work in a directory; `None` once its disk hangs, whereupon the work goes on by itself or not at all.
pub(crate) async fn unless_it_hangs<T>(dir: &LogDir, work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(LOOK_EVERY, &mut work).await {
            Ok(done) => return Some(done),
            Err(_) if hanging(dir).is_some() => return None,
            Err(_) => {}
        }
    }
}

/// Waits for work in a directory however long it takes, and says so once if its disk hangs.
pub(super) async fn however_long(dir: &LogDir, work: impl Future<Output = ()>) {
    let mut work = std::pin::pin!(work);
    if unless_it_hangs(dir, &mut work).await.is_none() {
        let reason = hanging(dir).unwrap_or_default();
        warn!(dir = %dir.path().display(), reason, "the stop waits for a disk; what is in other directories is safe, and what was acknowledged here under flush.mode = sync too");
        work.await;
    }
}
