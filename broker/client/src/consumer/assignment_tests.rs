//! What is fetched next, and what becomes of what comes back.

use std::time::Duration;

use broker_model::{PartitionId, TopicName};
use broker_protocol::WireError;

use super::*;

fn partition(number: u32) -> TopicPartition {
    TopicPartition::new(TopicName::new("t").unwrap(), PartitionId::new(number))
}

fn assignment(partitions: u32) -> Assignment {
    let bounds = FetchBounds {
        prefetch_bytes: 1_000,
        backoff: BackoffBounds::default(),
    };
    let mut assignment = Assignment::new(bounds, ResetPolicy::Earliest);
    for number in 0..partitions {
        assignment.add(partition(number), None, Some(Offset::ZERO), None);
    }
    assignment
}

fn ready(assignment: &Assignment) -> Vec<u32> {
    let ready = assignment.ready(Instant::now()).into_iter();
    ready
        .map(|(asked, _)| asked.partition.partition.get())
        .collect()
}

fn asked(assignment: &Assignment, number: u32) -> Asked {
    let ready = assignment.ready(Instant::now()).into_iter();
    let mut found = ready.map(|(asked, _)| asked);
    found
        .find(|asked| asked.partition == partition(number))
        .unwrap()
}

fn call() -> Call {
    Call {
        address: "a:1".into(),
        method: "fetch",
    }
}

fn empty(next: u64) -> Decoded {
    Decoded {
        error: None,
        log_start: Offset::ZERO,
        high_watermark: Offset::new(next),
        pieces: Vec::new(),
        next: Offset::new(next),
    }
}

#[test]
fn what_is_under_way_is_not_asked_for_again() {
    let mut assignment = assignment(3);
    let first = [asked(&assignment, 0), asked(&assignment, 1)];
    assignment.sent(&first);
    assert_eq!(ready(&assignment), [2]);
    assignment.freed(&first);
    assert_eq!(ready(&assignment), [0, 1, 2]);
}

#[test]
fn a_partition_with_a_lot_to_read_does_not_starve_the_others() {
    let mut assignment = assignment(3);
    let all = [0, 1, 2].map(|number| asked(&assignment, number));
    assignment.sent(&all);
    for (asked, served) in all.iter().zip([true, true, false]) {
        let mut answer = empty(0);
        if served {
            answer.pieces.push(Piece::Damaged {
                offset: Offset::ZERO,
                next: Some(Offset::new(1)),
                position: 0,
                reason: String::new(),
            });
        }
        assignment.fetched(asked, answer, &call(), Instant::now());
    }
    assert_eq!(ready(&assignment), [2, 0, 1]);
}

#[test]
fn a_failure_pauses_its_partitions_alone() {
    let mut assignment = assignment(2);
    let failing = asked(&assignment, 0);
    assignment.sent(std::slice::from_ref(&failing));
    let now = Instant::now();
    let error = ClientError::NoLeader(partition(0));
    assert!(
        assignment
            .failed(std::slice::from_ref(&failing), &error, now)
            .is_empty()
    );
    assert_eq!(ready(&assignment), [1]);
    let pause_end = assignment.next_pause_end().unwrap();
    assert!(pause_end > now);
    assert_eq!(assignment.ready(pause_end).len(), 2);
}

#[test]
fn an_answer_from_before_a_seek_is_void() {
    let mut assignment = assignment(1);
    let before = asked(&assignment, 0);
    assignment.sent(std::slice::from_ref(&before));
    assignment.seek(&partition(0), Offset::new(70)).unwrap();
    let now = Instant::now();
    assert!(
        assignment
            .fetched(&before, empty(50), &call(), now)
            .is_empty()
    );
    assert_eq!(asked(&assignment, 0).offset, Offset::new(70));
}

#[test]
fn an_unknown_topic_is_given_up_after_a_few_answers() {
    let mut assignment = assignment(1);
    let asked = asked(&assignment, 0);
    let mut now = Instant::now();
    for attempt in 1..=UNKNOWN_TOPIC_ATTEMPTS {
        now += Duration::from_secs(10);
        assignment.sent(std::slice::from_ref(&asked));
        let mut answer = empty(0);
        answer.error = Some(WireError::new(ErrorCode::UnknownTopicOrPartition, "gone"));
        let items = assignment.fetched(&asked, answer, &call(), now);
        assert_eq!(items.len(), usize::from(attempt == UNKNOWN_TOPIC_ATTEMPTS));
    }
    assert!(!assignment.is_at_end(), "the error was not taken in yet");
    assignment.taken();
    assert!(assignment.is_at_end());
}

#[test]
fn a_full_buffer_stops_fetching_until_it_is_released() {
    let mut assignment = assignment(1);
    assignment.buffered = 1_000;
    assert!(ready(&assignment).is_empty());
    assignment.released(1);
    assert_eq!(ready(&assignment), [0]);
}

#[test]
fn a_partition_ends_at_the_end_that_was_asked_for() {
    let mut assignment = assignment(0);
    assignment.add(partition(0), None, Some(Offset::ZERO), Some(Offset::new(5)));
    assignment.add(
        partition(1),
        None,
        Some(Offset::new(7)),
        Some(Offset::new(7)),
    );
    assert_eq!(ready(&assignment), [0], "the other has nothing to read");
    let asked = asked(&assignment, 0);
    let items = assignment.fetched(&asked, empty(5), &call(), Instant::now());
    assert!(matches!(items[..], [Item::CheckEnd]));
    assignment.taken();
    assert!(assignment.is_at_end());
}
