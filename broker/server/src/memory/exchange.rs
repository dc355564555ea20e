//! Free blocks that event loops exchange. What one of them allocated another frees, all the time: a request is taken
//! in here, carried out there, and its answer goes back. Each block would cost two locks of a heap. So a loop keeps
//! lists of free blocks of each small size, and gives full ones to a shelf, from where whoever has none takes them: a
//! lock for many blocks. Other threads take no part: one of low priority would hold the lock for milliseconds.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The sizes that the system rounds up to anyway: this, ...
const SMALLEST_BYTES: usize = 24;
/// ... and so much more each, ...
const STEP_BYTES: usize = 16;
/// ... so many of them: what requests, their messages and their answers consist of.
const SIZES: usize = 32;
/// The alignment of every block of the system.
const ALIGN_MAX: usize = 16;
/// Blocks in a full list. A loop keeps up to two lists of each size.
const LIST_LEN: usize = 32;
/// Full lists of one size on its shelf: 4 MiB for all sizes.
const LISTS_MAX: usize = 16;

static SHELVES: Shelves = Shelves::new();

thread_local! {
    static OWN: Own = const { Own::new() };
}

/// Which of the small sizes a block has; none if it is large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(usize);

/// In a block that is free.
struct Free {
    next: *mut Free,
    /// Of the first of a list on its shelf: the first of the next list.
    next_list: *mut Free,
}

/// Free blocks of one size.
#[derive(Clone, Copy)]
struct List {
    first: *mut Free,
    len: usize,
}

/// What one event loop keeps of one size.
struct Kept {
    at_hand: Cell<List>,
    /// Full, or empty.
    spare: Cell<List>,
}

/// What one thread keeps.
struct Own {
    takes_part: Cell<bool>,
    kept: [Kept; SIZES],
}

/// Full lists of one size.
struct Shelf {
    first: *mut Free,
    lists: usize,
}

/// The place of a shelf, apart from those of the others.
#[repr(align(64))]
struct Place {
    /// How many lists there are, about: whoever finds none takes no lock.
    lists: AtomicUsize,
    shelf: Mutex<Shelf>,
}

/// Those of all sizes.
struct Shelves([Place; SIZES]);

// SAFETY: blocks on a shelf are nobody's, whatever thread they come from.
unsafe impl Send for Shelf {}

/// This thread exchanges blocks from now on. What it keeps is lost when it ends: it is to live as long as the process.
pub(crate) fn take_part() {
    // Elsewhere a lock may allocate when it is first taken.
    OWN.with(|own| own.takes_part.set(cfg!(target_os = "linux")));
}

/// A free block of that size, if this thread can have one without the heap.
pub(super) fn take(size: Size) -> Option<*mut u8> {
    OWN.with(|own| own.take(size, &SHELVES))
}

/// Whether this thread keeps the block, which then is no longer the caller's.
///
/// # Safety
/// It is a block of the system that has room for all of that size, and nobody uses it.
pub(super) unsafe fn keep(size: Size, block: *mut u8) -> bool {
    // SAFETY: as promised.
    OWN.with(|own| unsafe { own.keep(size, block, &SHELVES) })
}

/// Gives what is on the shelves back to the heap.
pub(super) fn give_back() {
    for (steps, place) in SHELVES.0.iter().enumerate() {
        loop {
            let list = place.take();
            if list.len == 0 {
                break;
            }
            list.give_back(Size(steps));
        }
    }
}

/// Whether there is anything on the shelves.
pub(super) fn has_lists() -> bool {
    SHELVES.0.iter().any(Place::has_lists)
}

impl Size {
    /// Of a block for this.
    pub(super) fn of(layout: Layout) -> Option<Self> {
        let steps = layout
            .size()
            .saturating_sub(SMALLEST_BYTES)
            .div_ceil(STEP_BYTES);
        (steps < SIZES && layout.align() <= ALIGN_MAX).then_some(Self(steps))
    }

    /// What such a block has room for.
    pub(super) fn layout(self) -> Layout {
        let bytes = SMALLEST_BYTES + self.0 * STEP_BYTES;
        // SAFETY: the alignment is a power of two, and the size is small.
        unsafe { Layout::from_size_align_unchecked(bytes, ALIGN_MAX) }
    }
}

impl List {
    const EMPTY: Self = Self {
        first: null_mut(),
        len: 0,
    };

    /// # Safety
    /// The block is free and nobody's, and has room for a `Free`.
    unsafe fn push(&mut self, block: *mut u8) {
        let free = block.cast::<Free>();
        let (next, next_list) = (self.first, null_mut());
        // SAFETY: as promised; every block is aligned for this.
        unsafe { free.write(Free { next, next_list }) };
        self.first = free;
        self.len += 1;
    }

    fn pop(&mut self) -> Option<*mut u8> {
        if self.len == 0 {
            return None;
        }
        let free = self.first;
        self.len -= 1;
        // SAFETY: it is in this list, and so was written when it came there.
        self.first = unsafe { (*free).next };
        Some(free.cast())
    }

    fn give_back(mut self, size: Size) {
        while let Some(block) = self.pop() {
            // SAFETY: it came from the system with this layout.
            unsafe { System.dealloc(block, size.layout()) };
        }
    }
}

impl Own {
    const fn new() -> Self {
        Self {
            takes_part: Cell::new(false),
            kept: [const {
                Kept {
                    at_hand: Cell::new(List::EMPTY),
                    spare: Cell::new(List::EMPTY),
                }
            }; SIZES],
        }
    }

    fn take(&self, size: Size, shelves: &Shelves) -> Option<*mut u8> {
        if !self.takes_part.get() {
            return None;
        }
        let kept = self.kept.get(size.0)?;
        let mut list = kept.at_hand.get();
        if list.len == 0 {
            list = kept.spare.replace(List::EMPTY);
        }
        if list.len == 0 {
            list = shelves.0.get(size.0)?.take();
        }
        let block = list.pop();
        kept.at_hand.set(list);
        block
    }

    /// # Safety
    /// As for the function of the same name.
    unsafe fn keep(&self, size: Size, block: *mut u8, shelves: &Shelves) -> bool {
        let (Some(kept), Some(place)) = (self.kept.get(size.0), shelves.0.get(size.0)) else {
            return false;
        };
        if !self.takes_part.get() {
            return false;
        }
        let mut list = kept.at_hand.get();
        if list.len == LIST_LEN {
            let full = kept.spare.replace(list);
            list = List::EMPTY;
            if full.len > 0 && !place.put(full) {
                full.give_back(size);
            }
        }
        // SAFETY: as promised; the smallest has room for it.
        unsafe { list.push(block) };
        kept.at_hand.set(list);
        true
    }
}

const _: () = assert!(size_of::<Free>() <= SMALLEST_BYTES);

impl Shelf {
    /// Whether there is room for a full list.
    fn put(&mut self, list: List) -> bool {
        if self.lists == LISTS_MAX {
            return false;
        }
        // SAFETY: the first of a full list is a free block, which is this shelf's from now on.
        unsafe { (*list.first).next_list = self.first };
        self.first = list.first;
        self.lists += 1;
        true
    }

    /// A full list; an empty one when there is none.
    fn take(&mut self) -> List {
        if self.lists == 0 {
            return List::EMPTY;
        }
        let first = self.first;
        self.lists -= 1;
        // SAFETY: it is on this shelf, and was written when it was put there.
        self.first = unsafe { (*first).next_list };
        List {
            first,
            len: LIST_LEN,
        }
    }
}

impl Place {
    const fn new() -> Self {
        Self {
            lists: AtomicUsize::new(0),
            shelf: Mutex::new(Shelf {
                first: null_mut(),
                lists: 0,
            }),
        }
    }

    fn has_lists(&self) -> bool {
        self.lists.load(Ordering::Relaxed) > 0
    }

    fn put(&self, list: List) -> bool {
        let mut shelf = self.lock();
        let is_put = shelf.put(list);
        self.lists.store(shelf.lists, Ordering::Relaxed);
        is_put
    }

    fn take(&self) -> List {
        if !self.has_lists() {
            return List::EMPTY;
        }
        let mut shelf = self.lock();
        let list = shelf.take();
        self.lists.store(shelf.lists, Ordering::Relaxed);
        list
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        // No code panics while it holds this lock.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelves {
    const fn new() -> Self {
        Self([const { Place::new() }; SIZES])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::arbiters::{Arbiters, DiskThreads};

    fn participant() -> Own {
        let own = Own::new();
        own.takes_part.set(true);
        own
    }

    fn size(bytes: usize) -> Size {
        Size::of(Layout::from_size_align(bytes, 8).unwrap()).unwrap()
    }

    /// Blocks of the system that nobody uses.
    fn blocks(size: Size, count: usize) -> Vec<*mut u8> {
        // SAFETY: the size is not zero.
        let one = |_| unsafe { System.alloc(size.layout()) };
        (0..count).map(one).collect()
    }

    fn keep_all(own: &Own, size: Size, blocks: &[*mut u8], shelves: &Shelves) {
        for block in blocks {
            // SAFETY: they were made for this.
            assert!(unsafe { own.keep(size, *block, shelves) });
        }
    }

    fn take_all(own: &Own, size: Size, shelves: &Shelves) -> HashSet<*mut u8> {
        let mut taken = HashSet::new();
        while let Some(block) = own.take(size, shelves) {
            assert!(taken.insert(block), "it was given out twice");
        }
        taken
    }

    fn free(blocks: impl IntoIterator<Item = *mut u8>) {
        for block in blocks {
            // SAFETY: they came from there, and were taken.
            unsafe { System.dealloc(block, Size(0).layout()) };
        }
    }

    #[test]
    fn every_small_block_has_room_for_what_it_is_for_and_little_more() {
        for bytes in 1..=SMALLEST_BYTES + (SIZES - 1) * STEP_BYTES {
            let room = size(bytes).layout().size();
            assert!((bytes..(bytes + STEP_BYTES).max(SMALLEST_BYTES + 1)).contains(&room));
        }
        let larger = SMALLEST_BYTES + (SIZES - 1) * STEP_BYTES + 1;
        assert_eq!(Size::of(Layout::from_size_align(larger, 8).unwrap()), None);
        assert_eq!(Size::of(Layout::from_size_align(64, 64).unwrap()), None);
    }

    #[test]
    fn what_one_loop_frees_another_takes_without_the_heap() {
        let (shelves, size) = (Shelves::new(), size(100));
        let (one, other) = (participant(), participant());
        let blocks = blocks(size, 5 * LIST_LEN);
        keep_all(&one, size, &blocks, &shelves);
        let of_other = take_all(&other, size, &shelves);
        assert_eq!(of_other.len(), 3 * LIST_LEN, "two lists are its own");
        let of_one = take_all(&one, size, &shelves);
        assert_eq!(of_one.len(), 2 * LIST_LEN);
        let all: HashSet<_> = of_one.union(&of_other).copied().collect();
        assert_eq!(all, blocks.iter().copied().collect());
        free(blocks);
    }

    #[test]
    fn no_more_is_kept_than_the_shelf_has_room_for() {
        let (shelves, size) = (Shelves::new(), size(100));
        let one = participant();
        let room = LISTS_MAX + 2;
        keep_all(&one, size, &blocks(size, 2 * room * LIST_LEN), &shelves);
        let kept = take_all(&one, size, &shelves);
        assert_eq!(kept.len(), room * LIST_LEN);
        free(kept);
    }

    #[test]
    fn who_takes_no_part_keeps_nothing_and_takes_nothing() {
        let (shelves, size) = (Shelves::new(), size(100));
        let (one, none) = (participant(), Own::new());
        let blocks = blocks(size, 4 * LIST_LEN);
        keep_all(&one, size, &blocks, &shelves);
        assert_eq!(none.take(size, &shelves), None);
        let another = super::tests::blocks(size, 1);
        // SAFETY: it was made for this.
        assert!(
            another
                .iter()
                .all(|block| unsafe { !none.keep(size, *block, &shelves) })
        );
        free(another);
        free(take_all(&one, size, &shelves));
    }

    fn takes_part() -> bool {
        OWN.with(|own| own.takes_part.get())
    }

    #[actix_rt::test]
    async fn event_loops_take_part_and_threads_of_low_priority_do_not() {
        let disk_threads = DiskThreads {
            of_shard: 0,
            of_control: 0,
        };
        let arbiters = Arbiters::start(1, disk_threads);
        let (told, answer) = mpsc::channel();
        arbiters.control().spawn_fn(move || {
            told.send(takes_part()).unwrap();
        });
        assert_eq!(answer.recv_timeout(Duration::from_secs(30)), Ok(true));
        let of_worker = arbiters.background().workers().run(takes_part).await;
        assert_eq!(of_worker, Ok(false));
        arbiters.stop();
    }

    #[test]
    fn what_threads_hand_to_each_other_keeps_its_bytes() {
        let (sender, receiver) = mpsc::channel::<Vec<Box<[u8]>>>();
        let reader = thread::spawn(move || {
            take_part();
            let mut seen = 0;
            for batch in receiver {
                for (nth, bytes) in batch.iter().enumerate() {
                    assert!(bytes.iter().all(|byte| usize::from(*byte) == nth % 251));
                    seen += 1;
                }
            }
            seen
        });
        take_part();
        for round in 0..200 {
            let one =
                |nth: usize| vec![u8::try_from(nth % 251).unwrap(); 1 + (nth * 7 + round) % 600];
            let batch = (0..500).map(|nth| one(nth).into_boxed_slice()).collect();
            sender.send(batch).unwrap();
            give_back();
        }
        drop(sender);
        assert_eq!(reader.join().unwrap(), 200 * 500);
    }
}
