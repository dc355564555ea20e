//! Where batches are unfolded that are searched by time, and what may be asked at once.

use std::cell::Cell;
use std::time::Duration;

use broker_cluster::Acks;
use broker_record::{BatchBuilder, Codec, ProducedBatch, Validation};

use super::*;
use crate::background::Workers;
use crate::net::ceiling::Ceiling;
use crate::partition::tests::{Hosted, host};
use crate::reply::Reply;

const MIB: usize = 1024 * 1024;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Appends a batch of one record for each of these times, the last with so many zeros.
async fn append(hosted: &Hosted, times: &[i64], value_bytes: usize, codec: Codec) {
    let mut builder = BatchBuilder::new();
    for (number, time) in times.iter().enumerate() {
        let bytes = if number + 1 == times.len() {
            value_bytes
        } else {
            1
        };
        let value = vec![0; bytes];
        let pushed = builder.push(None, Some(&value), at(*time), []);
        pushed.expect("it is small");
    }
    let (body, claims) = builder.build(codec).expect("a body");
    let batch = ProducedBatch::opaque(body, claims, Validation::Full).expect("all is true");
    let (reply, answer) = Reply::channel();
    let timeout = Duration::from_secs(30);
    hosted.handle.append(batch, Acks::All, timeout, reply);
    answer.await.expect("it is appended");
}

async fn find(hosted: &Hosted, millis: i64, unfolding: &Unfolding) -> Option<(u64, i64)> {
    let found = first_at_time(&hosted.handle, at(millis), unfolding, &Stint::of_task()).await;
    let found = found.expect("all can be read");
    found.map(|(offset, time)| (offset.get(), time.as_millis()))
}

fn unfolding() -> Unfolding {
    Unfolding::by(Workers::start(), &Ceiling::default())
}

#[actix_rt::test]
async fn a_batch_that_unfolds_to_much_is_searched_in_the_background_when_there_is_room() {
    let hosted = host(&[]);
    append(&hosted, &[10, 20], 20 * MIB, Codec::Gzip).await;
    let unfolding = unfolding();
    let room = unfolding.room_for_largest().await;
    let early = tokio::time::timeout(Duration::from_millis(50), find(&hosted, 15, &unfolding));
    assert!(early.await.is_err(), "somebody else has all the room");
    drop(room);
    assert_eq!(find(&hosted, 15, &unfolding).await, Some((1, 20)));
}

#[actix_rt::test]
async fn a_search_by_time_goes_on_behind_a_batch_whose_late_records_are_gone() {
    let hosted = host(&[]);
    append(&hosted, &[50, 10], 1, Codec::None).await;
    append(&hosted, &[60], 1, Codec::Lz4).await;
    let unfolding = unfolding();
    assert_eq!(find(&hosted, 40, &unfolding).await, Some((0, 50)));
    let before = Some(Offset::new(1));
    let moved = hosted.handle.delete_records(before).await;
    moved.expect("there are such records");
    assert_eq!(find(&hosted, 40, &unfolding).await, Some((2, 60)));
    assert_eq!(find(&hosted, 61, &unfolding).await, None);
}

#[actix_rt::test]
async fn others_do_not_wait_for_all_searches_that_were_asked_for() {
    const SEARCHES: usize = 100;
    let hosted = host(&[]);
    // More than is looked at on the spot, and work for whoever does.
    let times: Vec<i64> = (0..20_000).collect();
    append(&hosted, &times, 1, Codec::None).await;
    let unfolding = unfolding();
    let found = Cell::new(0);
    let searches = (0..SEARCHES).map(async |_| {
        let last = find(&hosted, 19_999, &unfolding).await;
        assert_eq!(last, Some((19_999, 19_999)));
        found.set(found.get() + 1);
    });
    let other = async {
        // They are under way.
        while found.get() == 0 {
            tokio::task::yield_now().await;
        }
        unfolding.little(true, || ()).await.expect("it ends");
        found.get()
    };
    let (before, _) = tokio::join!(other, futures::future::join_all(searches));
    assert!(before < SEARCHES / 2, "it waited for {before}");
    assert_eq!(found.get(), SEARCHES);
}

fn question(partition: u32, at: OffsetAt) -> OffsetQuery {
    OffsetQuery {
        topic: "t".to_owned(),
        topic_id: None,
        partition: PartitionId::new(partition),
        at,
    }
}

#[actix_rt::test]
async fn questions_about_one_time_in_one_partition_are_answered_once_and_each_in_its_place() {
    let by_time = |partition, millis| question(partition, OffsetAt::Timestamp(at(millis)));
    let questions = [
        by_time(0, 1),
        by_time(0, 2),
        by_time(0, 1),
        question(0, OffsetAt::Latest),
        by_time(1, 1),
        by_time(0, 2),
        by_time(0, 1),
    ];
    let carried_out = Cell::new(0);
    let answers = answer_all(&questions, async |query| {
        carried_out.set(carried_out.get() + 1);
        OffsetAnswer {
            partition: query.partition,
            offset: Some(Offset::new(carried_out.get())),
            ..OffsetAnswer::default()
        }
    });
    let answers = answers.await;
    let found = answers.iter().map(|answer| answer.offset.map(Offset::get));
    let found: Vec<u64> = found.flatten().collect();
    assert_eq!(found, [1, 2, 1, 3, 4, 2, 1]);
}

#[test]
fn so_many_questions_and_no_more_may_be_asked_at_once() {
    let ask = |ends, times| {
        let mut partitions = vec![question(0, OffsetAt::Latest); ends];
        partitions.extend(vec![question(0, OffsetAt::Timestamp(at(1))); times]);
        check(&ListOffsetsRequest { partitions })
    };
    assert!(ask(OFFSET_QUESTIONS_MAX - OFFSET_TIMES_MAX, OFFSET_TIMES_MAX).is_ok());
    for (ends, times, named) in [
        (OFFSET_QUESTIONS_MAX + 1, 0, OFFSET_QUESTIONS_MAX),
        (0, OFFSET_TIMES_MAX + 1, OFFSET_TIMES_MAX),
    ] {
        let refused = ask(ends, times).expect_err("it is too much");
        assert_eq!(refused.code, ErrorCode::InvalidRequest);
        assert!(refused.message.contains(&named.to_string()), "{refused}");
    }
}
