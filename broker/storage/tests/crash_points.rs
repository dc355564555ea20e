//! Crash-point enumeration: for every prefix of a script's changes of the disk, and every outcome of
//! what was not synced (bounds: `crash/enumerate.rs`), the log recovers, keeps its promises, and goes on.
//!
//! `BROKER_CRASH_SAMPLES=20 cargo test --release -p broker-storage --test crash_points` looks further.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod crash;
mod planted;
mod support;

use crash::{enumerate, scripts};

/// Scripts are shared out among so many tests, which run beside each other.
const SHARES: usize = 4;

fn share(number: usize) {
    let mut failed = Vec::new();
    for (at, script) in scripts().iter().enumerate() {
        if at % SHARES != number {
            continue;
        }
        match enumerate(script, planted::by_hand()) {
            Ok(tally) => {
                println!("{:<45} {tally:?}", script.name);
                assert!(tally.changes > 10 && tally.disks > tally.changes);
            }
            Err(error) => failed.push(error),
        }
        // Of a bug that was planted by hand one trace is enough.
        if !failed.is_empty() && planted::is_by_hand() {
            break;
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn there_are_enough_scripts_with_a_name_of_their_own() {
    let names: std::collections::BTreeSet<_> = scripts().iter().map(|script| script.name).collect();
    assert_eq!(names.len(), scripts().len());
    assert!(names.len() >= 44);
}

#[test]
fn no_stop_breaks_a_promise_1() {
    share(0);
}

#[test]
fn no_stop_breaks_a_promise_2() {
    share(1);
}

#[test]
fn no_stop_breaks_a_promise_3() {
    share(2);
}

#[test]
fn no_stop_breaks_a_promise_4() {
    share(3);
}

/// The script that is tried first, because it catches the bug soon; all others follow.
fn likely(bug: &str) -> &'static str {
    match bug {
        "directory not synced after a roll" | "sealed segment not synced" => "rolls without a sync",
        "segments deleted before the log start is stored" => "records deleted",
        "truncation ahead of the recovery point" => "truncation over segments",
        _ => "append and sync",
    }
}

#[test]
fn every_planted_bug_is_caught_by_a_crash_point() {
    let mut missed = Vec::new();
    println!("{:<50} caught by", "planted bug");
    for (name, bugs) in planted::all() {
        let mut scripts = scripts();
        scripts.sort_by_key(|script| script.name != likely(name));
        let caught = scripts
            .iter()
            .find_map(|script| enumerate(script, bugs).err());
        match caught {
            Some(error) => println!("{name:<50} {error}"),
            None => missed.push(name),
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

/// Syncs on the caller's thread go another way than those of the sync thread.
#[test]
fn planted_bugs_of_a_sync_are_caught_on_the_callers_thread_too() {
    let scripts = scripts();
    let inline = scripts
        .iter()
        .find(|script| script.name == "synced on the caller's thread")
        .unwrap();
    for planted in [
        "acknowledged before the sync",
        "recovery point ahead of the data",
    ] {
        let all = planted::all();
        let (_, bugs) = all.iter().find(|(name, _)| *name == planted).unwrap();
        let caught = enumerate(inline, *bugs).err();
        let caught = caught.unwrap_or_else(|| panic!("not caught: {planted}"));
        println!("{planted:<50} {caught}");
    }
}
