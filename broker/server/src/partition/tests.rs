//! A partition from the outside of its handle, on a real directory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use actix_rt::ArbiterHandle;
use broker_cluster::{Acks, TopicConfig, TopicDefaults};
use broker_model::limits::{BATCHES_PER_WRITE_MAX, MESSAGES_PER_TURN, PARTITION_MAILBOX};
use broker_model::{
    BrokerId, LeaderEpoch, Offset, PartitionId, SystemClock, Timestamp, TopicId, TopicName,
    TopicPartition,
};
use broker_record::ProducedBatch;
use broker_storage::io::recording::{Operation, RecordingIo};
use broker_storage::io::{Io, RealIo};
use broker_storage::{LogDir, LogDirOptions, ReadLimit};
use bytes::Bytes;

#[path = "configuring_tests.rs"]
mod configuring;
#[path = "flush_tests.rs"]
mod flush;
#[path = "hanging_tests.rs"]
mod hanging;
#[path = "waking_tests.rs"]
mod waking;

use super::{Appended, Parent, PartitionActor, PartitionError, PartitionHandle, PartitionSetup};
use crate::actor_stats::ActorStats;
use crate::arbiters::Shard;
use crate::death_notice::DeathNotice;
use crate::reply::Reply;
use crate::topic_settings::{TopicSettings, log_config};
use crate::turn::MUCH_TO_WRITE;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A partition that runs, on a directory of its own.
pub(crate) struct Hosted {
    pub(crate) handle: PartitionHandle,
    topic: (TopicId, TopicName),
    died: tokio::sync::mpsc::UnboundedReceiver<()>,
    _dir: tempfile::TempDir,
}

struct NoParent;

impl Parent for NoParent {
    fn partition_vanished(&self, _: TopicPartition, _: TopicId, _: String) {}
}

/// One on this thread, with such a configuration.
pub(crate) fn host(overrides: &[(&str, &str)]) -> Hosted {
    host_on(RealIo::new(), &actix_rt::Arbiter::current(), overrides)
}

fn host_on(io: Arc<dyn Io>, arbiter: &ArbiterHandle, overrides: &[(&str, &str)]) -> Hosted {
    host_with(|options| options.io = io, arbiter, overrides)
}

fn host_with(
    choose: impl FnOnce(&mut LogDirOptions),
    arbiter: &ArbiterHandle,
    overrides: &[(&str, &str)],
) -> Hosted {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let mut options = LogDirOptions::new(temp.path(), BrokerId::new(1));
    choose(&mut options);
    let dir = LogDir::open(options).expect("a log dir");
    let config = configured(overrides);
    let (name, id) = (TopicName::new("t").expect("a name"), TopicId::random());
    let partition = TopicPartition::new(name.clone(), PartitionId::new(0));
    let opened = dir.open_or_create_log(&partition, id, log_config(&config));
    let (log, _) = opened.expect("a log");
    let topic = (id, name.clone());
    let (sender, died) = tokio::sync::mpsc::unbounded_channel();
    let plugins = crate::plugins::tests::shipped(&dir);
    let setup = PartitionSetup {
        settings: Arc::new(TopicSettings {
            id,
            name,
            config: Arc::new(config),
            plugins: Arc::default(),
            faults: Arc::default(),
        }),
        plugins,
        log,
        cold_reads: crate::cold_reads::ColdReads::new(dir),
        leader_epoch: LeaderEpoch::new(0),
        clock: Arc::new(SystemClock::new()),
        stats: Arc::new(ActorStats::default()),
        inline_from: Duration::ZERO,
        disk_wait: Default::default(),
        standstill: Default::default(),
        parent: Arc::new(NoParent),
        death: DeathNotice::new(move || {
            let _ = sender.send(());
        }),
    };
    let handle = PartitionActor::start_on((arbiter, Shard::default()), setup);
    Hosted {
        handle,
        topic,
        died,
        _dir: temp,
    }
}

fn configured(overrides: &[(&str, &str)]) -> TopicConfig {
    let overrides = overrides
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    TopicConfig::resolve(&overrides, &TopicDefaults::default()).expect("a config")
}

fn batch() -> ProducedBatch {
    let records = Bytes::from_static(b"\x91\x92\xc0\xc4\x02hi");
    ProducedBatch::plain(records, Timestamp::from_millis(1)).expect("one record")
}

fn send(
    handle: &PartitionHandle,
    acks: Acks,
) -> impl Future<Output = Result<Appended, PartitionError>> + use<> {
    let (reply, answer) = Reply::channel();
    handle.append(batch(), acks, TIMEOUT, reply);
    answer
}

#[actix_rt::test]
async fn what_is_acknowledged_can_be_read_at_once() {
    for mode in ["sync", "async"] {
        let hosted = host(&[("flush.mode", mode)]);
        let (seen, mut answers) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..3 {
            let (handle, seen) = (hosted.handle.clone(), seen.clone());
            // On the partition's own thread, at the very moment of the acknowledgement.
            let reply = Reply::new(move |answer: Result<Appended, PartitionError>| {
                let appended = answer.expect("an acknowledgement").base_offset;
                let _ = seen.send((appended, handle.offsets().high_watermark));
            });
            hosted.handle.append(batch(), Acks::All, TIMEOUT, reply);
        }
        for _ in 0..3 {
            let (appended, high_watermark) = answers.recv().await.expect("an answer");
            assert!(
                appended < high_watermark,
                "{mode}: {appended} {high_watermark}"
            );
        }
    }
}

#[actix_rt::test]
async fn appends_are_answered_in_order_and_are_durable() {
    let hosted = host(&[]);
    let sent: Vec<_> = (0..100).map(|_| send(&hosted.handle, Acks::All)).collect();
    for (answer, expected) in sent.into_iter().zip(0..) {
        assert_eq!(
            answer.await.map(|appended| appended.base_offset),
            Ok(Offset::new(expected))
        );
    }
    let offsets = hosted.handle.offsets();
    assert_eq!(
        (offsets.high_watermark, offsets.end),
        (Offset::new(100), Offset::new(100))
    );
    let slice = hosted
        .handle
        .read(Offset::new(7), ReadLimit::OneBatchOr(1 << 20))
        .await
        .expect("batches");
    assert_eq!(
        (slice.first_offset(), slice.next_offset()),
        (Offset::new(7), Offset::new(100))
    );
}

#[actix_rt::test]
async fn a_full_mailbox_answers_busy_and_appends_nothing_of_it() {
    let hosted = host(&[("flush.mode", "async")]);
    // Nothing runs on this arbiter until the first await: the mailbox fills up.
    let sent: Vec<_> = (0..PARTITION_MAILBOX + 10)
        .map(|_| send(&hosted.handle, Acks::All))
        .collect();
    let mut busy = 0;
    for answer in sent {
        match answer.await {
            Ok(_) => {}
            Err(PartitionError::Busy) => busy += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(busy > 0, "the mailbox took everything");
    let kept = (PARTITION_MAILBOX + 10 - busy) as u64;
    assert_eq!(hosted.handle.offsets().end, Offset::new(kept));
}

#[actix_rt::test]
async fn a_batch_above_the_limit_is_refused_and_the_next_one_is_not() {
    let hosted = host(&[("message.max.bytes", "1024")]);
    let mut records = vec![0x91, 0x92, 0xc0, 0xc5, 0x10, 0x00];
    records.resize(6 + 4096, b'x');
    let large = ProducedBatch::plain(records.into(), Timestamp::from_millis(1)).expect("a record");
    let (reply, answer) = Reply::channel();
    hosted.handle.append(large, Acks::All, TIMEOUT, reply);
    let refused: Result<Appended, PartitionError> = answer.await;
    assert!(
        matches!(refused, Err(PartitionError::BatchTooLarge { .. })),
        "{refused:?}"
    );
    let next = send(&hosted.handle, Acks::All).await;
    assert_eq!(next.map(|appended| appended.base_offset), Ok(Offset::ZERO));
}

#[actix_rt::test]
async fn a_panic_is_noticed_and_requests_that_waited_hear_of_it() {
    let mut hosted = host(&[]);
    hosted.handle.crash();
    let lost = send(&hosted.handle, Acks::All);
    let answer = lost.await;
    assert!(
        matches!(
            answer,
            Err(PartitionError::Lost | PartitionError::NotYet { .. })
        ),
        "{answer:?}"
    );
    assert_eq!(hosted.died.recv().await, Some(()));
}

#[actix_rt::test]
async fn closing_answers_what_is_under_way_and_refuses_what_follows() {
    let mut hosted = host(&[]);
    let before = send(&hosted.handle, Acks::All);
    let closing = hosted.handle.close();
    let (closed, before) = futures::future::join(closing, before).await;
    assert_eq!(closed, Ok(()));
    assert_eq!(
        before.map(|appended| appended.base_offset),
        Ok(Offset::ZERO)
    );
    let after = send(&hosted.handle, Acks::All).await;
    assert!(
        matches!(
            after,
            Err(PartitionError::Stopping | PartitionError::NotYet { .. })
        ),
        "{after:?}"
    );
    assert!(hosted.died.try_recv().is_err(), "a meant end is no death");
}

/// Longer than anything here takes that does take place.
const HANG: Duration = Duration::from_secs(60);

/// Appends of which each that is answered is followed by another, on the actor's own thread: its mailbox never
/// runs dry, until this is dropped.
struct Flood {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
}

impl Flood {
    fn of(handle: &PartitionHandle) -> Self {
        let flood = Self {
            stop: Arc::default(),
            answered: Arc::default(),
        };
        // Twice what is written and answered at once: there is always something left.
        for _ in 0..2 * BATCHES_PER_WRITE_MAX {
            flood.append_to(handle);
        }
        flood
    }

    fn append_to(&self, handle: &PartitionHandle) {
        let (again, next) = (handle.clone(), self.stop.clone());
        let flood = Self {
            stop: next,
            answered: self.answered.clone(),
        };
        let reply = Reply::new(move |answer: Result<Appended, PartitionError>| {
            flood.answered.fetch_add(1, Ordering::Relaxed);
            if answer.is_ok() && !flood.stop.load(Ordering::Relaxed) {
                flood.append_to(&again);
            }
        });
        handle.append(batch(), Acks::None, TIMEOUT, reply);
    }

    /// Waits until the actor has taken many times what its mailbox holds, if it can.
    async fn is_under_way(&self) {
        while self.answered.load(Ordering::Relaxed) < 4 * PARTITION_MAILBOX {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[actix_rt::test]
async fn a_flood_is_taken_a_few_at_a_time_and_others_on_the_thread_run_between() {
    let hosted = host(&[]);
    let flood = Flood::of(&hosted.handle);
    let answered = || flood.answered.load(Ordering::Relaxed);
    let taken = || hosted.handle.stats().handled_total();
    let (mut at_once_max, mut taken_max) = (0, 0);
    for _ in 0..500 {
        let before = (answered(), taken());
        tokio::task::yield_now().await;
        at_once_max = at_once_max.max(answered() - before.0);
        taken_max = taken_max.max(taken() - before.1);
    }
    flood.stop();
    // A turn, and as much again where one ends and the next begins.
    let max = 2 * MESSAGES_PER_TURN;
    assert!((1..=max).contains(&at_once_max), "{at_once_max} at once");
    // A turn has pauses, but what it brings is written at once.
    let between_pauses = MESSAGES_PER_TURN as u64 / 2;
    assert!(taken_max <= between_pauses, "{taken_max} without a pause");
    assert_eq!(at_once_max % MESSAGES_PER_TURN, 0, "{at_once_max} at once");
}

#[actix_rt::test]
async fn others_on_the_thread_run_before_a_large_batch_is_written() {
    let hosted = host(&[]);
    send(&hosted.handle, Acks::All).await.expect("all is well");
    let value = u32::try_from(MUCH_TO_WRITE).unwrap();
    let head = [b"\x91\x92\xc0\xc6".as_slice(), &value.to_be_bytes()].concat();
    let records = Bytes::from([head, vec![0; MUCH_TO_WRITE]].concat());
    let large = ProducedBatch::plain(records, Timestamp::from_millis(1)).expect("one record");
    let (reply, answer) = Reply::channel();
    hosted.handle.append(large, Acks::All, TIMEOUT, reply);
    let taken = || hosted.handle.stats().handled_total() == 2;
    while !taken() {
        tokio::task::yield_now().await;
    }
    assert_eq!(hosted.handle.offsets().end, Offset::new(1), "not yet");
    answer.await.expect("all is well");
    assert_eq!(hosted.handle.offsets().end, Offset::new(2));
}

#[actix_rt::test]
async fn under_a_flood_acknowledgements_time_out_and_others_on_the_thread_run() {
    let (io, arbiter) = (RecordingIo::new(), actix_rt::Arbiter::new());
    let hosted = host_on(io.clone(), &arbiter.handle(), &[]);
    send(&hosted.handle, Acks::All).await.expect("all is well");
    io.hold_syncs();
    let flood = Flood::of(&hosted.handle);
    flood.is_under_way().await;
    let neighbour = async {
        let (ran, runs) = tokio::sync::oneshot::channel();
        arbiter.spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let _ = ran.send(());
        });
        runs.await
    };
    let neighbour = tokio::time::timeout(HANG, neighbour).await;
    assert_eq!(neighbour, Ok(Ok(())), "the thread is the flood's alone");
    let timeout = Duration::from_millis(300);
    let late = async {
        loop {
            let (reply, answer) = Reply::channel();
            hosted.handle.append(batch(), Acks::All, timeout, reply);
            match answer.await {
                Err(PartitionError::Busy) => tokio::task::yield_now().await,
                other => return other,
            }
        }
    };
    let late: Result<Result<Appended, _>, _> = tokio::time::timeout(HANG, late).await;
    assert_eq!(late, Ok(Err(PartitionError::TimedOut { after: timeout })));
    flood.stop();
    io.release_syncs();
}

#[actix_rt::test]
async fn under_a_flood_what_is_not_durable_is_synced_when_it_is_due() {
    let (io, arbiter) = (RecordingIo::new(), actix_rt::Arbiter::new());
    let config = [("flush.mode", "async"), ("flush.ms", "100")];
    let hosted = host_on(io.clone(), &arbiter.handle(), &config);
    let flood = Flood::of(&hosted.handle);
    flood.is_under_way().await;
    for _ in 0..3 {
        io.hold_syncs();
        a_sync_is_held(&io).await;
        io.release_syncs();
    }
    flood.stop();
}

/// Waits until a sync is held, and not on one of the runtime's threads, which would be waited for at the end
/// also when nothing is synced.
async fn a_sync_is_held(io: &Arc<RecordingIo>) {
    let watched = io.clone();
    let (tell, held) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        watched.wait_for_held_syncs(1);
        let _ = tell.send(());
    });
    let held = tokio::time::timeout(HANG, held).await;
    if held.is_err() {
        io.release_syncs();
    }
    assert_eq!(held, Ok(Ok(())), "no sync in spite of flush.ms");
}
