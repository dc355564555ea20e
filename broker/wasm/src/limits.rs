//! What one call of a plugin may cost. The defaults fit the path of an acknowledgement: the call runs
//! on the thread that serves the connection.

use std::ops::RangeInclusive;
use std::time::Duration;

/// The native stack that a guest may use; well below the 2 MiB of the threads that call it.
pub(crate) const GUEST_STACK_BYTES: usize = 512 * 1024;
/// What a guest may hand to the host in one call besides its answer: log lines and refusals.
pub(crate) const GUEST_TEXT_BYTES: usize = 64 * 1024;

/// The limits of one plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The processor time that one call may take, in steps of a millisecond. Time in which the thread
    /// does not run (a busy machine) does not count.
    pub deadline: Duration,
    /// The most linear memory that one instance may have, in bytes.
    pub memory_bytes: usize,
}

impl Limits {
    /// What a deadline may be set to.
    pub const DEADLINE_RANGE: RangeInclusive<Duration> =
        Duration::from_millis(1)..=Duration::from_secs(1);
    /// What the memory may be set to; a Rust guest needs a little over 1 MiB for its stack alone.
    pub const MEMORY_RANGE: RangeInclusive<u64> = 2 * 1024 * 1024..=1024 * 1024 * 1024;
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            deadline: Duration::from_millis(5),
            memory_bytes: 16 * 1024 * 1024,
        }
    }
}
