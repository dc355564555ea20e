//! Whether a thread serves one producer alone: then it may wait for the disk, since nobody else waits for
//! it. Another connection that lives there, a request of one or an append to another partition ends that.

use std::cell::Cell;
use std::marker::PhantomData;

/// So many appends of one connection to one partition in a row mean that it is alone.
const APPENDS_IN_A_ROW: u32 = 32;

#[derive(Clone, Copy, Default)]
struct Recent {
    connection: usize,
    partition: usize,
    appends: u32,
    /// A request has come since the last append.
    requested: bool,
}

thread_local! {
    static RECENT: Cell<Recent> = Cell::default();
    static RESIDENTS: Cell<usize> = const { Cell::new(0) };
}

/// A connection lives on this thread for as long as this is there.
pub(crate) struct Resident(PhantomData<*const ()>);

impl Resident {
    /// One more.
    pub(crate) fn enter() -> Self {
        RESIDENTS.set(RESIDENTS.get() + 1);
        Self(PhantomData)
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        RESIDENTS.set(RESIDENTS.get() - 1);
    }
}

/// A connection of this thread, known by its address, has sent a request.
pub(crate) fn note_request(connection: usize) {
    let recent = RECENT.get();
    let next = Recent {
        requested: true,
        ..recent
    };
    RECENT.set(if recent.connection == connection {
        next
    } else {
        Recent {
            connection,
            appends: 0,
            ..next
        }
    });
}

/// A partition of this thread, known by its address, writes. Without a request before it the producer is
/// on another thread, and there may be several.
pub(crate) fn note_append(partition: usize) {
    let recent = RECENT.get();
    let goes_on = recent.requested && recent.partition == partition;
    RECENT.set(Recent {
        partition,
        appends: if goes_on {
            recent.appends.saturating_add(1)
        } else {
            0
        },
        requested: false,
        ..recent
    });
}

/// Whether the last appends of this thread were all of one connection to one partition, and no other
/// connection has asked for anything meanwhile, nor lives here: it could ask while this thread waits.
pub(crate) fn is_alone() -> bool {
    RECENT.get().appends >= APPENDS_IN_A_ROW && RESIDENTS.get() <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_a_row(connection: usize, partition: usize) {
        for _ in 0..=APPENDS_IN_A_ROW {
            note_request(connection);
            note_append(partition);
        }
    }

    #[test]
    fn one_producer_of_one_partition_is_alone_after_a_while() {
        note_request(1);
        note_append(7);
        assert!(!is_alone());
        in_a_row(1, 7);
        assert!(is_alone());
    }

    #[test]
    fn another_connection_ends_it() {
        in_a_row(1, 7);
        note_request(2);
        assert!(!is_alone());
        in_a_row(2, 7);
        assert!(is_alone());
    }

    #[test]
    fn another_connection_that_lives_there_ends_it_without_a_word() {
        let producer = Resident::enter();
        in_a_row(1, 7);
        assert!(is_alone());
        let other = Resident::enter();
        assert!(!is_alone());
        drop(other);
        assert!(is_alone());
        drop(producer);
    }

    #[test]
    fn another_partition_ends_it() {
        in_a_row(1, 7);
        note_request(1);
        note_append(8);
        assert!(!is_alone());
    }

    #[test]
    fn appends_from_other_threads_are_nobody_s_alone() {
        in_a_row(1, 7);
        note_append(7);
        assert!(!is_alone());
    }
}
