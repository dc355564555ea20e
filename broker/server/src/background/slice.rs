//! How a thread that stands back gets a core, and how long it may keep it. A thread that wakes goes first at once only
//! if its slice is shorter than that of who runs there; else it waits until that one has had its own, however low the
//! priority of that one is. So threads that stand back have a longer one, but not much: whoever is kept from running
//! without having slept waits for all of it, unless the work in hand ends before. Linux looks at it from 6.12 on. And
//! they are batch threads, which take no core from others when they wake: an arbiter that hands them work goes on.
//! `unsafe` is for this one call.
#![allow(unsafe_code)]

use std::io;
use std::time::Duration;

/// Of a thread that stands back. Others have 3 ms at most.
const LONG: Duration = Duration::from_micros(3_200);

/// Makes this a batch thread with a long slice; `niceness` is what it has, which goes along.
///
/// # Errors
/// When the system does not let it.
pub(super) fn stand_back(niceness: i32) -> io::Result<()> {
    let attributes = libc::sched_attr {
        size: u32::try_from(size_of::<libc::sched_attr>()).unwrap_or(0),
        sched_policy: u32::try_from(libc::SCHED_BATCH).unwrap_or(0),
        sched_flags: 0,
        sched_nice: niceness,
        sched_priority: 0,
        sched_runtime: u64::try_from(LONG.as_nanos()).unwrap_or(0),
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
    use super::super::{Behind, set_priority};
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

    #[test]
    fn a_thread_that_stands_back_takes_no_core_from_who_wakes_it() {
        let niceness = Behind::Far.niceness();
        let behind = std::thread::spawn(move || {
            set_priority(niceness);
            policy()
        });
        assert_eq!(behind.join().unwrap(), libc::SCHED_BATCH);
    }

    #[test]
    fn a_thread_that_stands_back_lets_those_go_first_that_wake() {
        let niceness = Behind::Far.niceness();
        let behind = std::thread::spawn(move || {
            set_priority(niceness);
            slice()
        });
        let (ours, behind) = (slice(), behind.join().unwrap());
        assert_eq!(ours.is_some(), behind.is_some());
        assert!(behind.is_none_or(|behind| behind == LONG && Some(behind) > ours));
    }
}
