//! Cleanings: what stays, what goes, what is not touched, and who may use the log meanwhile.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod cleaning;
mod support;

use broker_storage::io::recording::RecordingIo;
use cleaning::{clean, delete, put, records, settle, shape};
use support::{open, small};

#[test]
fn the_newest_record_of_every_key_stays_where_it_was() {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    for round in 0..12 {
        for key in ["a", "b", "c"] {
            put(&mut log, key, &round.to_string());
        }
    }
    delete(&mut log, "c");
    settle(&dir, &mut log);
    let active = log.segments().pop().unwrap();
    let before = records(&log);
    let outcome = clean(&mut log);
    let after = records(&log);
    assert!(after.iter().all(|record| before.contains(record)));
    let (cleaned, untouched): (Vec<_>, Vec<_>) = after
        .iter()
        .cloned()
        .partition(|record| record.offset < active.base.get());
    assert_eq!(shape(&cleaned), "a10 b10 c10", "{}", shape(&after));
    assert_eq!(
        untouched.len() as u64,
        active.next.get() - active.base.get()
    );
    assert_eq!(outcome.cleaned_to, active.base);
    assert_eq!(log.segments().last(), Some(&active));
    drop((log, dir));
    let (_dir, log, report) = open(&io.after_kill(), small());
    assert_eq!(report.corruption, []);
    assert_eq!(records(&log), after);
}
