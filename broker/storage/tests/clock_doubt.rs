//! A wall clock in doubt is noted in the log directory: the one that a start has found, and one that gets far ahead
//! while the broker runs, before anything is written whose time would make the next start believe it.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_model::{BrokerId, Clock, ManualClock, Timestamp};
use broker_storage::io::Io;
use broker_storage::io::recording::{Fault, Operation, RecordingIo};
use broker_storage::{AgeHold, DirTrace, DoubtedClock, LogDir, LogDirOptions};
use support::{DIR, append, at, batch_of, open_log, small, sync};

const NOW: i64 = 1_750_000_000_000;
const HOUR: i64 = 3_600_000;
const YEAR: i64 = 365 * 24 * HOUR;

fn options(io: &Arc<RecordingIo>) -> LogDirOptions {
    let mut options = LogDirOptions::new(DIR, BrokerId::new(1));
    options.io = Arc::clone(io) as Arc<dyn Io>;
    options
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// What the next start finds after a `kill -9`.
fn noted(io: &Arc<RecordingIo>) -> Option<DoubtedClock> {
    let trace = DirTrace::of(&*io.after_kill(), Path::new(DIR)).unwrap();
    trace.doubted_clock
}

/// The clock that a broker goes by, and the machine's, which can be moved.
struct Clocks {
    steady: Arc<ManualClock>,
    wall: Arc<ManualClock>,
}

impl Clocks {
    fn new() -> Self {
        let clock = || Arc::new(ManualClock::at(at(NOW)));
        Self {
            steady: clock(),
            wall: clock(),
        }
    }

    fn open(&self, io: &Arc<RecordingIo>, hold: Option<AgeHold>) -> LogDir {
        let mut options = options(io);
        options.clock = self.steady.clone();
        options.wall_clock = Some(self.wall.clone());
        options.age_hold = hold.map(Arc::new);
        LogDir::open(options).unwrap()
    }

    fn advance(&self, by: Duration) {
        self.steady.advance(by);
        self.wall.advance(by);
    }

    fn jump_to(&self, ahead: i64) {
        let now = self.steady.now().as_millis();
        self.wall.set_wall(Timestamp::from_millis(now + ahead));
    }
}

fn since(last_alive: i64) -> Option<DoubtedClock> {
    Some(DoubtedClock {
        last_alive: at(last_alive),
        held: Duration::ZERO,
    })
}

#[test]
fn a_clock_that_gets_far_ahead_is_noted_at_once_and_until_it_is_taken_back() {
    let (io, clocks) = (RecordingIo::new(), Clocks::new());
    let dir = clocks.open(&io, None);
    for ahead in [0, HOUR, -HOUR, -YEAR, 24 * HOUR] {
        clocks.jump_to(ahead);
        dir.look_at_clock().unwrap();
        assert_eq!(noted(&io), None, "{ahead}");
    }
    clocks.jump_to(YEAR);
    dir.look_at_clock().unwrap();
    assert_eq!(noted(&io), since(NOW));
    clocks.advance(secs(20));
    dir.look_at_clock().unwrap();
    dir.write_checkpoints().unwrap();
    assert_eq!(noted(&io), since(NOW + 20_000), "it goes on with the time");
    clocks.jump_to(-YEAR);
    dir.look_at_clock().unwrap();
    assert_eq!(noted(&io), None, "it was taken back");
    dir.write_checkpoints().unwrap();
    assert_eq!(noted(&io), None);
    clocks.jump_to(YEAR);
    dir.close_clean().unwrap();
    assert_eq!(noted(&io), since(NOW + 20_000), "at a stop");
}

#[test]
fn it_is_noted_before_a_sync_leaves_a_sign_of_life_by_that_clock() {
    let (io, clocks) = (RecordingIo::new(), Clocks::new());
    let dir = clocks.open(&io, None);
    let mut log = open_log(&dir, small()).0;
    append(&mut log, batch_of("a", 100));
    sync(&dir, &mut log);
    clocks.jump_to(YEAR);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = seen.clone();
    io.set_faults(move |_, operation| {
        let path = match operation {
            Operation::Write { path, .. } => path,
            Operation::Rename { to, .. } => to,
            _ => return None,
        };
        let name = path.file_name()?.to_str()?.to_owned();
        if ["clock-doubt", "durable-positions"].contains(&name.as_str()) {
            sees.lock().unwrap().push(name);
        }
        None
    });
    append(&mut log, batch_of("b", 100));
    sync(&dir, &mut log);
    assert_eq!(noted(&io), since(NOW));
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0], "clock-doubt", "{seen:?}");
    assert!(seen.contains(&"durable-positions".to_owned()), "{seen:?}");
}

#[test]
fn a_note_that_does_not_fit_is_made_when_there_is_room() {
    let (io, clocks) = (RecordingIo::new(), Clocks::new());
    let dir = clocks.open(&io, None);
    let is_full = Arc::new(AtomicBool::new(true));
    let full = is_full.clone();
    io.set_faults(move |_, operation| {
        let is_new = matches!(operation, Operation::CreateFile { .. });
        (is_new && full.load(Ordering::Relaxed)).then_some(Fault::ENOSPC)
    });
    clocks.jump_to(YEAR);
    dir.look_at_clock().unwrap_err();
    assert_eq!((noted(&io), dir.is_failed()), (None, None));
    is_full.store(false, Ordering::Relaxed);
    dir.look_at_clock().unwrap();
    assert_eq!(noted(&io), since(NOW));
}

#[test]
fn ages_that_are_held_go_on_from_there_when_the_clock_gets_further_ahead() {
    let (io, clocks) = (RecordingIo::new(), Clocks::new());
    let held = DoubtedClock {
        last_alive: at(NOW - YEAR),
        held: secs(10),
    };
    let hold = AgeHold::new(held, clocks.steady.monotonic(), secs(60));
    let dir = clocks.open(&io, Some(hold));
    clocks.advance(secs(20));
    clocks.jump_to(YEAR);
    dir.look_at_clock().unwrap();
    assert_eq!(noted(&io), since(NOW - YEAR + 20_000));
    clocks.jump_to(0);
    dir.look_at_clock().unwrap();
    let noted_again = noted(&io).unwrap();
    assert_eq!(noted_again.held, secs(30), "what was held counts again");
}

#[test]
fn a_clock_in_doubt_is_noted_until_its_ages_were_held_long_enough() {
    let (io, clock) = (RecordingIo::new(), Arc::new(ManualClock::at(at(5_000_000))));
    let begin = |doubt: Option<DoubtedClock>| {
        let mut options = options(&io);
        options.clock = clock.clone();
        options.age_hold =
            doubt.map(|doubt| Arc::new(AgeHold::new(doubt, clock.monotonic(), secs(60))));
        LogDir::open(options).unwrap()
    };
    drop(begin(None));
    assert_eq!(noted(&io), None);
    let first = DoubtedClock {
        last_alive: at(1_000),
        held: Duration::ZERO,
    };
    let dir = begin(Some(first));
    assert_eq!(noted(&io), Some(first), "at once");
    clock.advance(secs(20));
    dir.write_checkpoints().unwrap();
    drop(dir);
    let second = DoubtedClock {
        last_alive: at(21_000),
        held: secs(20),
    };
    assert_eq!(noted(&io), Some(second), "a restart goes on");
    let dir = begin(Some(second));
    clock.advance(secs(39));
    dir.write_checkpoints().unwrap();
    assert_eq!(noted(&io).map(|doubt| doubt.held), Some(secs(59)));
    clock.advance(secs(1));
    dir.write_checkpoints().unwrap();
    assert_eq!(noted(&io), None, "it was held long enough");
    drop(dir);
    drop(begin(Some(first)));
    drop(begin(None));
    assert_eq!(noted(&io), None, "the clock is believed again");
}
