//! Memory that the process has and has not used. The first use of a page is the system's affair, and when heaps grow or
//! it writes to fresh pages itself, that takes the lock that all threads of the process share for their memory: event
//! loops would wait there for threads of low priority, for milliseconds.

use std::mem::MaybeUninit;

use super::OWN_MAP_BYTES;

/// How far the heap of an event loop may grow before the system is asked: most of what the system's heaps consist of.
const HEAP_BYTES: usize = 56 * 1024 * 1024;
/// At least so much of memory comes at a time.
const PAGE_BYTES: usize = 4096;

/// For the thread of an event loop, before it does anything: has its heap grow far at once, none of which takes memory
/// until it is used. Else a burst asks the system for a few pages at a time, each time with the lock that all threads
/// of the process share for their memory.
pub(crate) fn prepare_heap() {
    // Larger ones have maps of their own.
    let block = OWN_MAP_BYTES / 2;
    let mut blocks = Vec::new();
    for _ in 0..HEAP_BYTES / block {
        let mut some = Vec::<u8>::new();
        if some.try_reserve_exact(block).is_err() {
            break;
        }
        blocks.push(some);
    }
    // The compiler is not to find out that nobody uses them.
    std::hint::black_box(&blocks);
}

/// Takes the memory that is to be written to by the system, if it is fresh. The system does so with the lock that all
/// threads of the process share for their memory, and this thread without it.
pub(crate) fn touch(fresh: &mut [MaybeUninit<u8>]) {
    for page in fresh.chunks_mut(PAGE_BYTES) {
        if let Some(first) = page.first_mut() {
            first.write(0);
        }
    }
    // Pages need not begin where it does.
    if let Some(last) = fresh.last_mut() {
        last.write(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long the map is that this is in.
    fn map_around(address: usize) -> Option<usize> {
        let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
        let range = |line: &str| {
            let (start, end) = line.split_once(' ')?.0.split_once('-')?;
            let start = usize::from_str_radix(start, 16).ok()?;
            Some(start..usize::from_str_radix(end, 16).ok()?)
        };
        let mut ranges = maps.lines().filter_map(range);
        let around = ranges.find(|range| range.contains(&address))?;
        Some(around.len())
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn the_heap_of_an_event_loop_may_grow_far_without_the_system() {
        let prepared = std::thread::spawn(|| {
            prepare_heap();
            // Of the heap, and not one that was kept.
            let block = vec![1_u8; 100_000];
            map_around(block.as_ptr().addr())
        });
        let bytes = prepared.join().unwrap().unwrap();
        assert!(bytes >= HEAP_BYTES / 2, "{bytes}");
    }
}
