//! What the process asks the system for and gives back. A burst (a plugin that is compiled, large batches,
//! thousands of topics at start) leaves free memory in the allocator and code that will not run again for hours in
//! the resident set; both go back once the broker is quiet, much free memory also while it is not. `unsafe` is for
//! this folder and for one call of `background/slice.rs` in this crate.
#![allow(unsafe_code)]

pub(crate) mod exchange;
pub(crate) mod fresh;

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tracing::debug;

use exchange::Size;

/// When it is looked first: most code of the start does not run again.
const FIRST_CHECK: Duration = Duration::from_millis(500);
/// How often it is looked whether there was a burst that is over.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// The broker is quiet while it uses less than one part in so many of a processor.
const QUIET_PART: u32 = 33;
/// Pages that came in since the last time which make it worth the while: 2 MiB.
const BURST_FAULTS: i64 = 512;

/// So much more memory than at the lowest is worth a try while the broker is not quiet, ...
const GROWN_BYTES: u64 = 64 * 1024 * 1024;
/// ... once in so many checks, for it costs event loops some milliseconds, ...
const CHECKS_BETWEEN: u32 = 6;
/// ... and less and less often down to this, while nothing comes of it: then it is in use.
const CHECKS_BETWEEN_MAX: u32 = 96;
/// From so much more on it is tried at each check, ...
const GROWN_MUCH_BYTES: u64 = 3 * GROWN_BYTES;
/// ... which come sooner.
const HASTY_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Allocations of so many bytes are maps of their own, which go back when they are freed: large frames and what
/// batches unfold to leave no holes between what is small. Below it memory that was used before is much cheaper.
const OWN_MAP_BYTES: usize = 4 * 1024 * 1024;
/// So much free memory at the end of a heap is kept there.
const FREE_END_BYTES: usize = 16 * 1024 * 1024;

/// Blocks of these sizes are copied when they grow, by whoever has them grow: the system would do it while it holds
/// the lock of their heap, for milliseconds if it is a thread of low priority, and event loops wait for that lock.
/// Larger ones have maps of their own, each of which grows without a copy and without a lock.
const COPIED_TO_GROW: Range<usize> = 64 * 1024..OWN_MAP_BYTES;

#[global_allocator]
static HEAPS: Heaps = Heaps;

/// The system's heaps, except that large blocks grow outside of their locks, and event loops exchange small ones.
struct Heaps;

// SAFETY: all blocks are the system's, which keeps the contract; a block that grows may become another one with the
// same bytes, as the contract allows. Small ones have room for all of their size, so that any of them will do for another.
unsafe impl GlobalAlloc for Heaps {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller has promised what is asked for here, and in the next two.
        match Size::of(layout) {
            Some(size) => {
                exchange::take(size).unwrap_or_else(|| unsafe { System.alloc(size.layout()) })
            }
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some(size) = Size::of(layout) else {
            // SAFETY: as above.
            return unsafe { System.alloc_zeroed(layout) };
        };
        match exchange::take(size) {
            Some(block) => {
                // SAFETY: a block of that size has room for it, and is nobody's.
                unsafe { block.write_bytes(0, layout.size()) };
                block
            }
            // SAFETY: as above.
            None => unsafe { System.alloc_zeroed(size.layout()) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller gives up a block that was allocated with this layout, and so with that of its size.
        match Size::of(layout) {
            Some(size) => unsafe {
                if !exchange::keep(size, block) {
                    System.dealloc(block, size.layout());
                }
            },
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_bytes: usize) -> *mut u8 {
        let bytes = layout.size();
        // SAFETY: the caller has promised that the new size fits the alignment.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_bytes, layout.align()) };
        let (size, new_size) = (Size::of(layout), Size::of(new_layout));
        if size.is_some() && size == new_size {
            return block;
        }
        // A small one may be of a heap whose lock others hold, too.
        let is_small = size.is_some() || new_size.is_some();
        if !is_small && (new_bytes <= bytes || !COPIED_TO_GROW.contains(&bytes)) {
            // SAFETY: the caller has promised what is asked for.
            return unsafe { System.realloc(block, layout, new_bytes) };
        }
        // SAFETY: the new block is not the old one, and both have the bytes that are copied.
        unsafe {
            let moved = self.alloc(new_layout);
            if !moved.is_null() {
                std::ptr::copy_nonoverlapping(block, moved, bytes.min(new_bytes));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

/// To be called first thing in the process: as many heaps as there are threads that serve, not eight for each
/// core. Blocking threads, which come and go, share them.
pub(crate) fn limit_heaps() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    set_heaps(cores.saturating_add(2));
}

/// Gives memory back after each burst, until `stopping` says so.
pub(crate) async fn give_back_when_quiet(mut stopping: watch::Receiver<bool>) {
    // The start is a burst, however few pages it took.
    let mut given_back_at: Option<Usage> = None;
    let mut last = Usage::now();
    let mut grown = Grown::default();
    let mut wait = FIRST_CHECK;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
        let now = Usage::now();
        let is_quiet = now.cpu.saturating_sub(last.cpu) < wait / QUIET_PART;
        let resident = resident_bytes();
        wait = match resident.is_some_and(|bytes| grown.is_very_much(bytes)) {
            true => HASTY_CHECK_INTERVAL,
            false => CHECK_INTERVAL,
        };
        let was_burst = given_back_at.is_none_or(|at| now.faults - at.faults >= BURST_FAULTS);
        if is_quiet && (was_burst || exchange::has_lists()) {
            give_back_heap();
            give_back_code();
            given_back_at = Some(Usage::now());
            grown = Grown::default();
            debug!("memory of a burst was given back");
        } else if resident.is_some_and(|bytes| grown.is_much(bytes)) {
            // On a thread of its own, which has the priority of event loops: those wait for the locks that it holds.
            let given_back = grown.given_back.clone();
            let giving_back = std::thread::Builder::new().spawn(move || {
                let before = resident_bytes().unwrap_or_default();
                give_back_heap();
                let after = resident_bytes().unwrap_or_default();
                given_back.store(before.saturating_sub(after), Ordering::Relaxed);
            });
            debug!(
                is_done = giving_back.is_ok(),
                "memory is given back that was used for a while"
            );
        }
        last = now;
    }
}

/// How much memory the process has taken, and what came of trying to give some back.
#[derive(Debug)]
struct Grown {
    lowest: u64,
    checks: u32,
    checks_between: u32,
    at_last_try: u64,
    /// By the last try itself, however soon it was used again.
    given_back: Arc<AtomicU64>,
}

impl Default for Grown {
    fn default() -> Self {
        Self {
            lowest: u64::MAX,
            checks: 0,
            checks_between: CHECKS_BETWEEN,
            at_last_try: 0,
            given_back: Arc::default(),
        }
    }
}

impl Grown {
    /// Whether it is so much that it is looked at soon again.
    fn is_very_much(&self, resident_bytes: u64) -> bool {
        resident_bytes.saturating_sub(self.lowest) >= GROWN_MUCH_BYTES
    }

    /// Whether it is time to try, which is done then.
    fn is_much(&mut self, resident_bytes: u64) -> bool {
        self.lowest = self.lowest.min(resident_bytes);
        self.checks = self.checks.saturating_add(1);
        let is_as_before = self.at_last_try.abs_diff(resident_bytes) < GROWN_BYTES / 4
            && self.given_back.load(Ordering::Relaxed) < GROWN_BYTES / 4;
        if !is_as_before {
            self.checks_between = CHECKS_BETWEEN;
        }
        let checks_between = match self.is_very_much(resident_bytes) {
            true => self.checks_between / CHECKS_BETWEEN,
            false => self.checks_between,
        };
        if resident_bytes - self.lowest < GROWN_BYTES || self.checks < checks_between {
            return false;
        }
        if is_as_before {
            self.checks_between = (2 * self.checks_between).min(CHECKS_BETWEEN_MAX);
        }
        self.at_last_try = resident_bytes;
        self.checks = 0;
        true
    }
}

/// Bytes of the process that are in memory, where the system tells.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = kib.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib.saturating_mul(1024))
}

/// What the process has used up since it began.
#[derive(Clone, Copy, Default)]
struct Usage {
    cpu: Duration,
    faults: i64,
}

impl Usage {
    fn now() -> Self {
        // SAFETY: a `rusage` is integers, for which zeros are valid; the call writes to it and nowhere else.
        let used = unsafe {
            let mut used: libc::rusage = std::mem::zeroed();
            match libc::getrusage(libc::RUSAGE_SELF, &raw mut used) {
                0 => used,
                _ => return Self::default(),
            }
        };
        let duration = |time: libc::timeval| {
            let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
            Duration::from_secs(seconds)
                + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
        };
        Self {
            cpu: duration(used.ru_utime) + duration(used.ru_stime),
            faults: used.ru_minflt,
        }
    }
}

#[cfg(target_env = "gnu")]
fn set_heaps(heaps: usize) {
    let settings = [
        (libc::M_ARENA_MAX, heaps),
        (libc::M_MMAP_THRESHOLD, OWN_MAP_BYTES),
        (libc::M_TRIM_THRESHOLD, FREE_END_BYTES),
    ];
    for (setting, value) in settings {
        let value = i32::try_from(value).unwrap_or(i32::MAX);
        // SAFETY: changes a setting of the allocator, which it guards itself.
        let done = unsafe { libc::mallopt(setting, value) };
        if done == 0 {
            debug!(setting, value, "the allocator does not take a setting");
        }
    }
}

#[cfg(not(target_env = "gnu"))]
fn set_heaps(_: usize) {}

#[cfg(target_env = "gnu")]
fn give_back_heap() {
    exchange::give_back();
    // SAFETY: returns pages that hold no allocation; the allocator guards itself.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
fn give_back_heap() {}

/// Lets go of the program's code. It is still in the page cache, from where what runs next is mapped again, some
/// microseconds for each 64 KiB.
fn give_back_code() {
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else {
        return;
    };
    let Ok(program) = std::fs::read_link("/proc/self/exe") else {
        return;
    };
    for (start, len) in code_ranges(&maps, &program.to_string_lossy()) {
        // SAFETY: the range is a private map of the program's file that may be executed and not written, so
        // that its pages are the file's: whatever touches them next finds the same bytes again.
        let done = unsafe { libc::madvise(start as *mut libc::c_void, len, libc::MADV_DONTNEED) };
        if done != 0 {
            debug!("the program's code cannot be given back");
        }
    }
}

/// Where the code of this program is mapped, by `/proc/self/maps`: addresses and lengths.
fn code_ranges(maps: &str, program: &str) -> Vec<(usize, usize)> {
    let range = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        if !rest.starts_with("r-xp ") || !rest.ends_with(&format!(" {program}")) {
            return None;
        }
        let (start, end) = range.split_once('-')?;
        let start = usize::from_str_radix(start, 16).ok()?;
        let end = usize::from_str_radix(end, 16).ok()?;
        Some((start, end.checked_sub(start)?))
    };
    maps.lines().filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_the_program_itself_is_given_back() {
        let maps = "\
55e0-55f0 r--p 00000000 fe:00 1  /bin/broker
55f0-5600 r-xp 00000010 fe:00 1  /bin/broker
5600-5610 rw-p 00000020 fe:00 1  /bin/broker
7f00-7f10 r-xp 00000000 00:00 0
7f10-7f20 r-xp 00000000 fe:00 2  /usr/lib/libc.so.6
7f20-7f30 r-xp 00000000 fe:00 3  /usr/bin/broker (deleted)";
        assert_eq!(code_ranges(maps, "/bin/broker"), [(0x55f0, 0x10)]);
    }

    /// On a thread that exchanges blocks and on one that does not.
    fn with_and_without_exchange(test: fn()) {
        test();
        let exchanging = std::thread::spawn(move || {
            exchange::take_part();
            test();
        });
        exchanging.join().unwrap();
    }

    #[test]
    fn a_block_keeps_its_bytes_while_it_grows_and_shrinks() {
        with_and_without_exchange(|| {
            let large = [1 << 20, 3 << 20, COPIED_TO_GROW.end, 9 << 20];
            let small = [1, 10, 40, 100, 101, 520, 521, 600, 5_000];
            let byte_at = |at: usize| u8::try_from(at % 251).unwrap();
            let sizes = [&small[..], &[COPIED_TO_GROW.start], &large].concat();
            let mut bytes = Vec::<u8>::new();
            for size in sizes.iter().chain(sizes.iter().rev()).copied() {
                bytes.truncate(size);
                bytes.shrink_to_fit();
                bytes.reserve_exact(size - bytes.len());
                bytes.extend((bytes.len()..size).map(byte_at));
                assert!(bytes.iter().copied().eq((0..size).map(byte_at)), "{size}");
            }
        });
    }

    #[test]
    fn a_small_block_that_was_used_before_is_zeroed_where_that_is_asked_for() {
        with_and_without_exchange(|| {
            for bytes in [1, 24, 100, 520] {
                drop((0..100).map(|_| vec![7_u8; bytes]).collect::<Vec<_>>());
                let zeroed: Vec<_> = (0..100).map(|_| vec![0_u8; bytes]).collect();
                assert!(zeroed.iter().flatten().all(|byte| *byte == 0), "{bytes}");
            }
        });
    }

    #[test]
    fn a_large_block_is_not_grown_by_the_system() {
        // At the end of its heap, where it could grow in place.
        let mut large = Vec::<u8>::with_capacity(COPIED_TO_GROW.start);
        let before = large.as_ptr();
        large.reserve_exact(COPIED_TO_GROW.start + 1);
        assert_ne!(large.as_ptr(), before);
    }

    #[test]
    fn it_is_tried_to_give_much_memory_back_and_seldom_what_is_in_use() {
        let mut grown = Grown::default();
        let tries = |grown: &mut Grown, checks: u32, bytes: u64| {
            let tries = (0..checks).filter(|_| grown.is_much(bytes));
            tries.count()
        };
        let (little, some) = (GROWN_BYTES - 1, 3 * GROWN_BYTES / 2);
        let (much, more) = (GROWN_MUCH_BYTES, 2 * GROWN_MUCH_BYTES);
        assert_eq!(
            tries(&mut grown, 100, 0) + tries(&mut grown, 100, little),
            0
        );
        // At once, and again when a burst that was under way may be over.
        assert_eq!(tries(&mut grown, 1, some), 1);
        assert_eq!(tries(&mut grown, CHECKS_BETWEEN - 1, some), 0);
        assert_eq!(tries(&mut grown, 1, some), 1);
        // It stays: it is in use.
        assert!(tries(&mut grown, 10 * CHECKS_BETWEEN_MAX, some) < 20);
        assert_eq!(tries(&mut grown, CHECKS_BETWEEN, 2 * some - 1), 1);
        // However soon what was given back is used again.
        grown.given_back.store(GROWN_BYTES, Ordering::Relaxed);
        assert_eq!(tries(&mut grown, CHECKS_BETWEEN, 2 * some - 1), 1);
        assert_eq!(tries(&mut grown, CHECKS_BETWEEN, 2 * some - 1), 1);
        grown.given_back.store(0, Ordering::Relaxed);
        // Very much: at each check, and as seldom while nothing comes of it.
        assert_eq!(tries(&mut grown, 1, much) + tries(&mut grown, 1, more), 2);
        assert!(
            tries(&mut grown, 10 * CHECKS_BETWEEN_MAX, more)
                < 20 * usize::try_from(CHECKS_BETWEEN).unwrap()
        );
    }

    #[test]
    fn what_is_in_memory_is_known() {
        let bytes = resident_bytes().unwrap();
        assert!((1 << 20..1 << 40).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_program_goes_on_without_its_code_and_its_free_memory() {
        let before = Usage::now();
        let numbers: Vec<u64> = (0..1_000_000).collect();
        give_back_code();
        give_back_heap();
        assert_eq!(numbers.iter().sum::<u64>(), 499_999_500_000);
        assert!(Usage::now().faults > before.faults);
    }
}
