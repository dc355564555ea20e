//! Waiting: tests ask again until something is so. The one time-out here guards against a hang; no
//! test passes or fails by how fast the machine is.

use std::time::{Duration, Instant};

/// How long a test waits for anything at all before it calls it a hang.
pub(crate) const fn patience() -> Duration {
    Duration::from_secs(120)
}

/// Asks until the answer is there; panics with `what` after [`patience`].
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < patience(), "still not so: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
