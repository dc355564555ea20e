//! Every change of the disk that a cleaning makes is the last one before a kill or a power loss, and so
//! is every change of the recovery after it: the log is then as before or as after the cleaning, never
//! a mix, and recovering again changes nothing.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod cleaning;
mod support;

use std::sync::Arc;

use broker_storage::PlantedBugs;
use broker_storage::io::Io;
use broker_storage::io::recording::{Fault, RecordingIo, Survival};
use cleaning::{Keyed, LatestByKey, begin, clean, delete, put, records, run, settle};
use support::inspected::damage;
use support::{open, open_log, partition_dir, small, try_open_dir};

/// What is left of the disk: after a kill, or a power loss.
const LOSSES: [Option<Survival>; 7] = [
    None,
    Some(Survival::Synced),
    Some(Survival::Everything),
    Some(Survival::Random(1)),
    Some(Survival::Random(2)),
    Some(Survival::Random(3)),
    Some(Survival::Random(4)),
];

/// A disk with six sealed segments, of which the first three were cleaned before.
fn filled() -> Arc<RecordingIo> {
    let io = RecordingIo::new();
    let (dir, mut log, _) = open(&io, small());
    let rounds = |log: &mut _, range: std::ops::Range<u32>| {
        for round in range {
            for key in ["a", "b", "c"] {
                put(log, key, &round.to_string());
            }
            put(log, &format!("k{round}"), "once");
        }
        delete(log, "b");
    };
    rounds(&mut log, 0..9);
    settle(&dir, &mut log);
    clean(&mut log);
    rounds(&mut log, 9..15);
    log.close().unwrap();
    dir.close_clean().unwrap();
    io.after_kill()
}

/// What a log holds, and how many cleanings it remembers.
type State = (Vec<Keyed>, u64);

fn state(log: &broker_storage::Log) -> State {
    let settings = cleaning::settings();
    let cleanings = log
        .cleaning_state(&settings, log.end(), cleaning::NOW)
        .cleanings;
    (records(log), cleanings)
}

/// Opens the log with everything checked that has to be right in any state.
fn recovered(io: &Arc<RecordingIo>) -> Result<State, String> {
    if let Some(damage) = damage(io, &|_| false).unwrap() {
        return Err(format!("an inspection names {damage}"));
    }
    let (dir, log, report) = open(io, small());
    if !report.corruption.is_empty() {
        return Err(format!("damage: {:?}", report.corruption));
    }
    let state = state(&log);
    let mut findings = Vec::new();
    let verified =
        broker_storage::inspect::verify_partition(&**io, &partition_dir(), &mut |finding| {
            findings.push(finding.to_string());
        });
    verified.map_err(|error| error.to_string())?;
    // A torn index of the segment that is written is made anew when it is needed.
    let active = format!("{:020}.", log.segments().pop().unwrap().base.get());
    findings.retain(|finding| !finding.contains(&active));
    if !findings.is_empty() {
        return Err(format!("findings: {findings:?}"));
    }
    let left = io.list(&partition_dir()).unwrap();
    if let Some(left) = left
        .iter()
        .find(|entry| entry.name.ends_with(".cleaned") || entry.name.starts_with("cleaning-swap"))
    {
        return Err(format!("{} is left over", left.name));
    }
    drop((log, dir));
    Ok(state)
}

fn lose(io: &RecordingIo, loss: Option<Survival>) -> Arc<RecordingIo> {
    match loss {
        None => io.after_kill(),
        Some(survival) => io.after_power_loss(survival),
    }
}

/// Cleans with the process dying at change `number`; says whether it came to its end.
fn clean_until(io: &Arc<RecordingIo>, number: u64, torn: usize, bugs: PlantedBugs) -> Option<bool> {
    let dir = try_open_dir(io, bugs).unwrap();
    let (mut log, _) = open_log(&dir, small());
    let cleaning = begin(&mut log);
    io.fail_at(io.operation_count() + number, Fault::Killed(torn));
    let cleaned = run(cleaning, &mut LatestByKey::default());
    let finished = cleaned.is_ok_and(|cleaned| log.finish_cleaning(cleaned).is_ok());
    io.is_killed().then_some(finished)
}

/// Tries every stop; `then` looks at what each has left.
fn stop_everywhere(
    bugs: PlantedBugs,
    losses: &[Option<Survival>],
    mut then: impl FnMut(&Arc<RecordingIo>, &[State]) -> Result<(), String>,
) -> Result<u64, String> {
    let filled = filled();
    let (old, new) = {
        let io = filled.after_kill();
        let (_dir, mut log, _) = open(&io, small());
        let old = state(&log);
        clean(&mut log);
        (old, state(&log))
    };
    assert_ne!(old.0, new.0);
    for number in 0.. {
        for loss in losses.iter().copied() {
            let torn = number as usize * 37 % 600;
            let io = filled.after_kill();
            let stopped = clean_until(&io, number, torn, bugs);
            let possible: &[State] = match stopped {
                Some(false) => &[old.clone(), new.clone()],
                _ => std::slice::from_ref(&new),
            };
            let found = lose(&io, loss);
            then(&found, possible).map_err(|error| format!("at {number}, {loss:?}: {error}"))?;
            if stopped.is_none() && losses.last() == Some(&loss) {
                return Ok(number);
            }
        }
    }
    unreachable!("a cleaning ends");
}

fn is_possible(io: &Arc<RecordingIo>, possible: &[State]) -> Result<(), String> {
    let found = recovered(io)?;
    if !possible.contains(&found) {
        return Err(format!("{} cleanings, and another content", found.1));
    }
    // Once more, and after another power loss: nothing depends on how often it is opened.
    if recovered(&io.after_power_loss(Survival::Synced))? != found {
        return Err("opening it again has changed it".to_owned());
    }
    Ok(())
}

#[test]
fn wherever_a_cleaning_stops_the_log_is_as_before_or_as_after() {
    let changes = stop_everywhere(PlantedBugs::default(), &LOSSES, is_possible).unwrap();
    assert!(changes > 30, "a cleaning makes more than {changes} changes");
}

#[test]
fn wherever_the_recovery_of_a_cleaning_stops_another_one_ends_it() {
    let mut recoveries = 0;
    stop_everywhere(
        PlantedBugs::default(),
        &[None, Some(Survival::Random(2))],
        |io, possible| {
            // With a journal there is most to get wrong.
            let entries = io.list(&partition_dir()).unwrap();
            let swaps = entries.iter().any(|entry| entry.name == "cleaning-swap");
            for number in (0..).step_by(if swaps { 1 } else { 9 }) {
                let again = io.after_kill();
                again.fail_at(number, Fault::Killed(0));
                let opened = try_open_dir(&again, PlantedBugs::default());
                if let Ok(dir) = opened {
                    let partition = support::partition();
                    let _ = dir.open_or_create_log(&partition, support::TOPIC_ID, small());
                }
                let ended = !again.is_killed();
                let loss = LOSSES[number as usize % LOSSES.len()];
                let found = recovered(&lose(&again, loss))?;
                if !possible.contains(&found) {
                    return Err(format!("recovery stopped at {number}, {loss:?}"));
                }
                recoveries += 1;
                if ended {
                    return Ok(());
                }
            }
            Ok(())
        },
    )
    .unwrap();
    assert!(recoveries > 500, "{recoveries}");
}

#[test]
fn segments_that_were_not_synced_before_the_swap_are_noticed() {
    let bugs = PlantedBugs {
        swap_unsynced_segments: true,
        ..PlantedBugs::default()
    };
    assert!(stop_everywhere(bugs, &LOSSES, is_possible).is_err());
}

#[test]
fn segments_that_go_before_the_journal_is_durable_are_noticed() {
    let bugs = PlantedBugs {
        swap_before_journal: true,
        ..PlantedBugs::default()
    };
    assert!(stop_everywhere(bugs, &LOSSES, is_possible).is_err());
}

#[test]
fn a_journal_that_goes_too_early_is_noticed() {
    let bugs = PlantedBugs {
        forget_journal_early: true,
        ..PlantedBugs::default()
    };
    assert!(stop_everywhere(bugs, &LOSSES, is_possible).is_err());
}

#[test]
fn a_log_that_was_not_restarted_yet_is_shown_as_it_will_be() {
    stop_everywhere(PlantedBugs::default(), &LOSSES, |io, _| {
        let seen: Vec<_> = broker_storage::inspect::segments(&**io, &partition_dir())
            .unwrap()
            .into_iter()
            .map(|segment| (segment.base, segment.bytes))
            .collect();
        let mut findings = Vec::new();
        broker_storage::inspect::verify_partition(&**io, &partition_dir(), &mut |finding| {
            let is_data = finding
                .file
                .extension()
                .is_none_or(|e| e != "index" && e != "timeindex");
            if is_data {
                findings.push(finding.to_string());
            }
        })
        .unwrap();
        if !findings.is_empty() {
            return Err(format!("findings: {findings:?}"));
        }
        let (_dir, log, _) = open(io, small());
        let opened: Vec<_> = log
            .segments()
            .into_iter()
            .map(|segment| (segment.base, segment.bytes))
            .collect();
        match seen == opened {
            true => Ok(()),
            false => Err(format!("{seen:?} is shown, {opened:?} is opened")),
        }
    })
    .unwrap();
}
