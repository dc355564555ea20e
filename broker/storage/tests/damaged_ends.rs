//! Damage that stays at a log's end: what is known of it says where to read on, as reading does.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod support;

use std::path::Path;
use std::sync::Arc;

use broker_storage::io::Io;
use broker_storage::io::recording::RecordingIo;
use broker_storage::{Corruption, Damage, Log};
use support::{
    BATCH, DIR, append, batch_of, corruption_at, edit, flip, killed, open, segment_file, small,
};

/// What is known of the log's damage, which speaks of the same way on as a reader is told.
fn known(log: &Log) -> Vec<Corruption> {
    let known = log.damage();
    for damage in &known {
        let met = corruption_at(log, damage.offset.get());
        assert_eq!(damage.next_good, met.next_good, "{damage}\n{met}");
        assert!(damage.next_good > Some(damage.offset), "{damage}");
    }
    known
}

fn opened_and_appended_to(io: &Arc<RecordingIo>) {
    let (_dir, mut log, _) = open(io, small());
    assert_eq!(known(&log).len(), 1);
    append(&mut log, batch_of("more", 100));
    assert_eq!(known(&log).len(), 1);
}

#[test]
fn a_last_batch_that_was_written_and_is_bad() {
    for at in [30, 80] {
        let io = killed(3, 5, small());
        flip(&io, &segment_file(0, "log"), 4 * BATCH + at);
        opened_and_appended_to(&io);
    }
}

#[test]
fn an_end_that_was_durable_and_is_cut_off() {
    let io = killed(5, 5, small());
    edit(&io, &segment_file(0, "log"), |bytes| {
        bytes.truncate(3 * BATCH as usize + 20)
    });
    opened_and_appended_to(&io);
    let io = killed(13, 13, small());
    io.remove_file(&segment_file(10, "log")).unwrap();
    opened_and_appended_to(&io);
}

#[test]
fn a_lost_point_is_no_place_to_go_on_behind() {
    let io = killed(5, 5, small());
    io.remove_file(Path::new(DIR).join("durable-positions").as_path())
        .unwrap();
    let (_dir, mut log, _) = open(&io, small());
    support::append_numbers(&mut log, 5..25);
    let known = log.damage();
    assert_eq!(known.len(), 1);
    assert_eq!(known[0].damage, Damage::PointLost);
    assert_eq!(known[0].next_good, None);
}
