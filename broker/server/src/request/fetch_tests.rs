//! What a fetch of decoded records costs the thread that it runs on: counted in turns of others and in bytes, not
//! measured. Everything lies in the page cache, so that nothing ever waits.

use broker_cluster::Acks;
use broker_model::{Offset, PartitionId, Timestamp};
use broker_protocol::api::fetch::{FetchData, FetchPartition};
use broker_record::{BatchBuilder, Codec, ProducedBatch, Validation};
use broker_storage::ReadLimit;

use super::*;
use crate::net::ceiling::Ceiling;
use crate::net::unfolding::Unfolding;
use crate::partition::tests::{Hosted, host};
use crate::reply::Reply;
use crate::turn::count_turns;

/// A batch of one record with so many zeros.
fn batch(value_bytes: usize, codec: Codec) -> ProducedBatch {
    let mut builder = BatchBuilder::new();
    let value = vec![0; value_bytes];
    builder
        .push(None, Some(&value), Timestamp::from_millis(1), [])
        .expect("it is small");
    let (body, claims) = builder.build(codec).expect("a body");
    ProducedBatch::opaque(body, claims, Validation::Full).expect("all is true")
}

async fn append(hosted: &Hosted, batch: ProducedBatch) {
    let (reply, answer) = Reply::channel();
    let timeout = Duration::from_secs(30);
    hosted.handle.append(batch, Acks::All, timeout, reply);
    answer.await.expect("it is appended");
}

async fn everything(hosted: &Hosted) -> FileSlice {
    let limit = ReadLimit::OneBatchOr(1 << 20);
    hosted
        .handle
        .read(Offset::ZERO, limit)
        .await
        .expect("batches")
}

fn as_records() -> Wanted {
    Wanted::Records(Unfolding::by(Workers::start(), &Ceiling::default()))
}

#[actix_rt::test]
async fn decoding_much_of_many_partitions_lets_others_run_meanwhile() {
    let hosted = host(&[]);
    append(&hosted, batch(60 * 1024, Codec::None)).await;
    let slice = everything(&hosted).await;
    let cold = hosted.handle.cold_reads();
    let located = (0..200).map(|_| Located::of_slice(slice.clone(), cold.clone()));
    let located: Vec<_> = located.collect();
    let (turns, other) = count_turns();
    let mut room = RecordsRoom::of(RECORDS_BYTES_MAX);
    let answers = read_all(located, &as_records(), &mut room).await;
    other.abort();
    assert_eq!(answers.len(), 200);
    for answer in answers {
        assert_eq!((answer.error, answer.next_offset), (None, Offset::new(1)));
    }
    assert!(turns.get() >= 30, "others had {} turns", turns.get());
}

fn args_about(partitions: u32) -> Bytes {
    let wanted = |partition| FetchPartition {
        topic: "t".to_owned(),
        topic_id: None,
        partition: PartitionId::new(partition),
        offset: Offset::ZERO,
        max_bytes: None,
    };
    let mut args = Vec::new();
    FetchRequest::new((0..partitions).map(wanted).collect()).encode(&mut args);
    args.into()
}

#[actix_rt::test]
async fn arguments_about_very_many_partitions_are_taken_apart_on_another_thread() {
    let workers = Workers::start();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Arc::new(std::sync::Mutex::new(held));
    // More than there are threads.
    for _ in 0..64 {
        let held = held.clone();
        workers.see_to(move || drop(held.lock().map(|held| held.recv())));
    }
    let few = decode_apart(&workers, args_about(10)).await;
    assert_eq!(few.expect("a request").partitions.len(), 10);
    let mut many = pin!(decode_apart(&workers, args_about(1_000)));
    let early = tokio::time::timeout(Duration::from_millis(50), &mut many).await;
    drop(release);
    assert!(early.is_err(), "it was taken apart on this thread");
    assert_eq!(many.await.expect("a request").partitions.len(), 1_000);
}

#[actix_rt::test]
async fn an_answer_about_very_many_partitions_is_written_in_passes() {
    let answer = |partition| FetchAnswer {
        topic: "t".to_owned(),
        partition: PartitionId::new(partition),
        error: None,
        log_start: Offset::ZERO,
        high_watermark: Offset::ZERO,
        log_end: Offset::ZERO,
        next_offset: Offset::ZERO,
        data: FetchData::Batch(Vec::new()),
    };
    let answers: Vec<FetchAnswer<FileSlice>> = (0..10_000).map(answer).collect();
    let at_once = FetchAnswer::response_frame(7, answers.clone()).expect("it is small");
    let (turns, others) = count_turns();
    let pieces = written(7, answers).await.expect("it is small");
    others.abort();
    assert!(turns.get() >= 20, "others had {} turns", turns.get());
    match (pieces.as_slice(), at_once.as_slice()) {
        ([AnswerPiece::Bytes(some)], [AnswerPiece::Bytes(same)]) => assert_eq!(some, same),
        _ => panic!("nothing of it is in files"),
    }
}

#[actix_rt::test]
async fn small_slices_that_unfold_to_much_are_answered_in_parts() {
    let hosted = host(&[]);
    let (batches, bytes) = (40, 48 * 1024);
    for _ in 0..batches {
        append(&hosted, batch(bytes, Codec::Zstd)).await;
    }
    let slice = everything(&hosted).await;
    assert!(slice.len() < 64 * 1024, "{} bytes", slice.len());
    let mut room = RecordsRoom::of(RECORDS_BYTES_MAX);
    let located = Located::of_slice(slice, hosted.handle.cold_reads().clone());
    let (answer, decoded) = read(located, &as_records(), &mut room).await;
    assert_eq!(answer.error, None);
    let next = answer.next_offset;
    assert!(
        Offset::ZERO < next && next < Offset::new(batches),
        "{next:?}"
    );
    assert!(decoded <= 256 * 1024, "{decoded} bytes at once");
    assert!(decoded >= 48 * 1024, "{decoded} bytes were counted");
}

#[actix_rt::test]
async fn a_batch_that_unfolds_to_less_than_a_large_one_waits_for_no_bomb() {
    let hosted = host(&[]);
    append(&hosted, batch(512 * 1024, Codec::Zstd)).await;
    let slice = everything(&hosted).await;
    assert!(slice.len() < 64 * 1024, "{} bytes", slice.len());
    let unfolding = Unfolding::by(Workers::start(), &Ceiling::default());
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Arc::new(std::sync::Mutex::new(held));
    // More than are unfolded in steps at once.
    for _ in 0..16 {
        let (unfolding, held) = (unfolding.clone(), held.clone());
        let bomb = move |_| held.lock().is_ok_and(|held| held.recv().is_ok());
        actix_rt::spawn(async move { unfolding.in_steps(bomb, |_| false).await });
    }
    tokio::task::yield_now().await;
    let located = Located::of_slice(slice, hosted.handle.cold_reads().clone());
    let (form, mut room) = (
        Wanted::Records(unfolding),
        RecordsRoom::of(RECORDS_BYTES_MAX),
    );
    let reading = read(located, &form, &mut room);
    let answer = tokio::time::timeout(Duration::from_secs(10), reading).await;
    drop(release);
    let (answer, _) = answer.expect("it is decoded beside them");
    assert_eq!((answer.error, answer.next_offset), (None, Offset::new(1)));
}

#[test]
fn a_fetch_that_waits_takes_little() {
    fn bytes_of<A, F: Future>(_: impl Fn(A) -> F) -> usize {
        size_of::<F>()
    }
    type Asked = (Fetch, Bytes, Asker);
    let for_memory =
        bytes_of(|(fetch, args, asker): Asked| fetch.when_there_is_memory(args, asker));
    assert!(for_memory <= 1024, "{for_memory} bytes");
    type Found = (Fetch, FetchRequest, CarriedOut, Asker);
    let for_records =
        bytes_of(|(fetch, request, memory, asker): Found| fetch.answer(request, memory, asker));
    assert!(for_records <= 1024 + 384, "{for_records} bytes");
}

#[actix_rt::test]
async fn what_unfolds_to_much_is_read_when_it_is_the_turn_of_its_fetch() {
    let hosted = host(&[]);
    append(&hosted, batch(2 * 1024 * 1024, Codec::Gzip)).await;
    let slice = everything(&hosted).await;
    let cold = hosted.handle.cold_reads();
    for may_unfold_much in [false, true] {
        let located = [(); 2].map(|()| Located::of_slice(slice.clone(), cold.clone()));
        let mut room = RecordsRoom::of(RECORDS_BYTES_MAX);
        room.may_unfold_much = may_unfold_much;
        let answers = read_all(located.into(), &as_records(), &mut room).await;
        assert_eq!(room.needs_turn(), !may_unfold_much);
        let next: Vec<_> = answers.iter().map(|answer| answer.next_offset).collect();
        let expected = match may_unfold_much {
            true => vec![Offset::new(1); 2],
            false => vec![Offset::ZERO],
        };
        assert_eq!(next, expected);
    }
}
