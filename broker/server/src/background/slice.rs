//! How a thread that stands back gets a core, and how long it may keep it. A thread that wakes goes first at once only
//! if its slice is shorter than that of who runs there; else it waits until that one has had its own, however low the
//! priority of that one is. So who stands back far has a longer slice than all others, but not much: whoever is kept
//! from running without having slept waits for all of it, unless the work in hand ends before. Linux looks at it from
//! 6.12 on. `unsafe` is for this one call.
#![allow(unsafe_code)]

use std::io;
use std::time::Duration;

use super::Behind;

impl Behind {
    fn policy(self) -> libc::c_int {
        match self {
            Self::Little => libc::SCHED_OTHER,
            // Takes no core from others when it wakes: an arbiter that hands it work goes on.
            Self::Far => libc::SCHED_BATCH,
        }
    }

    fn slice(self) -> Duration {
        match self {
            // Goes before those far behind when it wakes; and an arbiter that wakes waits for no more than this.
            Self::Little => Duration::from_millis(1),
            // Of others the slice has 3 ms at most.
            Self::Far => Duration::from_micros(3_200),
        }
    }
}

/// Gives this thread the policy and the slice of who stands back so far; `niceness` is what it has, which goes along.
///
/// # Errors
/// When the system does not let it.
pub(super) fn stand_back(behind: Behind, niceness: i32) -> io::Result<()> {
    let attributes = libc::sched_attr {
        size: u32::try_from(size_of::<libc::sched_attr>()).unwrap_or(0),
        sched_policy: u32::try_from(behind.policy()).unwrap_or(0),
        sched_flags: 0,
        sched_nice: niceness,
        sched_priority: 0,
        sched_runtime: u64::try_from(behind.slice().as_nanos()).unwrap_or(0),
        sched_deadline: 0,
        sched_period: 0,
    };
    let (this_thread, flags) = (0_i32, 0_u32);
    // SAFETY: reads the attributes, which are there until it returns, and sets what the kernel keeps of this thread.
    let done = unsafe {
        libc::syscall(
            libc::SYS_sched_setattr,
            this_thread,
            &raw const attributes,
            flags,
        )
    };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Priority;
    use super::*;

    /// The slice of this thread, where the kernel has one for each and tells it.
    fn slice() -> Option<Duration> {
        let facts = std::fs::read_to_string("/proc/thread-self/sched").ok()?;
        let line = facts.lines().find(|line| line.starts_with("se.slice"))?;
        let (_, nanos) = line.split_once(':')?;
        Some(Duration::from_nanos(nanos.trim().parse().ok()?))
    }

    /// The policy that the system runs this thread by.
    fn policy() -> i32 {
        let facts = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        // Behind the name, which may have anything in it, the third of all stands first.
        let (_, from_third) = facts.rsplit_once(") ").unwrap();
        from_third.split(' ').nth(41 - 3).unwrap().parse().unwrap()
    }

    /// What `what` is on a thread that stands back so far.
    fn on_one<T: Send + 'static>(behind: Behind, what: impl FnOnce() -> T + Send + 'static) -> T {
        let priority = Priority::behind_this(behind);
        let thread = std::thread::spawn(move || {
            priority.take();
            what()
        });
        thread.join().unwrap()
    }

    #[test]
    fn a_thread_far_behind_takes_no_core_from_who_wakes_it() {
        assert_eq!(on_one(Behind::Far, policy), libc::SCHED_BATCH);
        assert_eq!(on_one(Behind::Little, policy), libc::SCHED_OTHER);
    }

    #[test]
    fn a_thread_far_behind_lets_those_go_first_that_wake() {
        let far = on_one(Behind::Far, slice);
        for before in [slice(), on_one(Behind::Little, slice)] {
            assert_eq!(before.is_some(), far.is_some());
            assert!(before.is_none() || before < far, "{before:?} {far:?}");
        }
    }
}
