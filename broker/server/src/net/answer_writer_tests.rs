//! Clients that ask much and read nothing, or all of it: real sockets.

use std::io::{ErrorKind, Read as _};
use std::time::Duration;

use broker_model::limits::{
    ANSWER_STOP_TIME_MAX, ANSWER_WRITE_TIME_MAX, ANSWERS_TINY_BYTES_MAX,
    IN_FLIGHT_REQUESTS_PER_CONNECTION,
};
use broker_model::{
    BrokerId, LeaderEpoch, Offset, PartitionId, Timestamp, TopicId, TopicName, TopicPartition,
};
use broker_record::{BatchBuilder, Codec, ProducedBatch, Validation};
use broker_storage::{LogConfig, LogDir, LogDirOptions, ReadLimit};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::background::Workers;
use crate::net::answer::{Answer, AnswerSink};
use crate::net::{ConnectionBudget, RequestBudget};

/// What the kernel is told to take for one that does not read, ...
const KERNEL_BYTES: u32 = 8 * 1024;
/// ... and far more than that.
static MUCH: [u8; 512 * 1024] = [0; 512 * 1024];

/// One that does not read, and who writes to it.
struct Unreading {
    _peer: TcpStream,
    connection: ConnectionBudget,
    sink: AnswerSink,
    writer: JoinHandle<io::Result<Written>>,
    stop: watch::Sender<bool>,
}

impl Unreading {
    /// Its socket is full.
    async fn of(budget: &RequestBudget, listener: &TcpListener) -> Self {
        Self::within(ANSWER_WRITE_TIME_MAX, budget, listener).await
    }

    /// The same, and it is given up after that time.
    async fn within(limit: Duration, budget: &RequestBudget, listener: &TcpListener) -> Self {
        let peer = TcpSocket::new_v4().unwrap();
        peer.set_recv_buffer_size(KERNEL_BYTES).unwrap();
        let peer = peer.connect(listener.local_addr().unwrap());
        let (peer, accepted) = tokio::join!(peer, listener.accept());
        let connection = budget.for_connection();
        let (sink, answers) = AnswerSink::channel(connection.answers().clone());
        let (_, writing) = accepted.unwrap().0.into_split();
        let (stop, stopping) = watch::channel(false);
        let pace = ReadingPace::new(connection.answers().clone(), stopping).within(limit);
        let writer = AnswerWriter::new(answers, writing, pace);
        sink.send(Answer::bytes(Bytes::from_static(&MUCH), None));
        Self {
            _peer: peer.unwrap(),
            connection,
            sink,
            writer: actix_rt::spawn(writer.run()),
            stop,
        }
    }

    /// Asks for as much as it may and is answered.
    async fn is_answered_often(&self) {
        for _ in 0..IN_FLIGHT_REQUESTS_PER_CONNECTION {
            let place = self.connection.acquire(10).await;
            let answer = Bytes::copy_from_slice(b"done");
            self.sink.send(Answer::bytes(answer, Some(place)));
        }
    }
}

fn listener() -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(KERNEL_BYTES).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket.listen(128).unwrap()
}

#[actix_rt::test]
async fn tiny_answers_that_many_do_not_read_have_a_bound_and_whoever_has_few_stays() {
    let budget = RequestBudget::new(Workers::start());
    let listener = listener();
    let modest = Unreading::of(&budget, &listener).await;
    let mut greedy = Vec::new();
    for _ in 0..200 {
        let one = Unreading::of(&budget, &listener).await;
        one.is_answered_often().await;
        greedy.push(one);
    }
    let newcomer = budget.for_connection();
    let place = tokio::time::timeout(Duration::from_secs(5), newcomer.acquire(10)).await;
    assert!(place.is_ok(), "they are in nobody's way");
    let ended = || greedy.iter().filter(|one| one.writer.is_finished()).count();
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    let with_memory = ANSWERS_TINY_BYTES_MAX / ((IN_FLIGHT_REQUESTS_PER_CONNECTION + 1) * 512);
    // Of those who got memory some lose it: it is scarce.
    let enough = with_memory - with_memory / 16;
    while greedy.len() - ended() > enough && tokio::time::Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let left = greedy.len() - ended();
    assert!(left <= enough, "{left} of them hold answers");
    assert!(left >= with_memory * 3 / 4, "only {left}: there was memory");
    assert!(!modest.writer.is_finished());
}

/// Waits far longer than it takes until it is given up.
async fn is_given_up(writer: JoinHandle<io::Result<Written>>) {
    let ended = tokio::time::timeout(ANSWER_WRITE_TIME_MAX / 2, writer).await;
    let written = ended.expect("it is not waited for").unwrap();
    let error = written.err().expect("it has not read all");
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
}

#[actix_rt::test]
async fn one_that_takes_nothing_is_given_up_though_nobody_waits() {
    let budget = RequestBudget::new(Workers::start());
    let limit = Duration::from_millis(100);
    is_given_up(Unreading::within(limit, &budget, &listener()).await.writer).await;
}

#[actix_rt::test]
async fn a_stop_waits_for_one_that_takes_nothing_for_a_moment() {
    let budget = RequestBudget::new(Workers::start());
    let unreading = Unreading::of(&budget, &listener()).await;
    tokio::time::sleep(ANSWER_STOP_TIME_MAX / 10).await;
    assert!(!unreading.writer.is_finished(), "nothing stops");
    unreading.stop.send_replace(true);
    is_given_up(unreading.writer).await;
}

/// So many batches of half a MiB in a log of their own.
fn stored(batches: usize, folder: &std::path::Path) -> FileSlice {
    let dir = LogDir::open(LogDirOptions::new(folder, BrokerId::new(1))).unwrap();
    let partition = TopicPartition::new(TopicName::new("t").unwrap(), PartitionId::new(0));
    let opened = dir.open_or_create_log(&partition, TopicId::random(), LogConfig::default());
    let (mut log, _) = opened.unwrap();
    let now = Timestamp::from_millis(1_000_000);
    let mut builder = BatchBuilder::new();
    builder.push(None, Some(&MUCH), now, []).unwrap();
    let (body, claims) = builder.build(Codec::None).unwrap();
    let batch = ProducedBatch::opaque(body, claims, Validation::Trust).unwrap();
    let mut batches = vec![batch; batches];
    let run = log.append(&mut batches, LeaderEpoch::new(0), now).unwrap();
    let limit = ReadLimit::OneBatchOr(u64::MAX);
    log.read(Offset::ZERO, run.end, limit).unwrap()
}

#[actix_rt::test]
async fn a_file_that_is_sent_at_once_leaves_others_their_turns_and_shows_that_the_client_reads() {
    const MIB: usize = 4;
    // It takes all of it without waiting, where the system lets it.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(8 * 1024 * 1024).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (_, writing) = listener.accept().await.unwrap().0.into_split();
    let budget = RequestBudget::new(Workers::start()).for_connection();
    let (sink, answers) = AnswerSink::channel(budget.answers().clone());
    let folder = tempfile::tempdir().unwrap();
    let source = stored(2 * MIB, folder.path());
    let len = source.len();
    assert!(len > (MIB * 1024 * 1024) as u64);
    sink.send(Answer {
        pieces: vec![AnswerPiece::External { len, source }],
        in_flight: None,
        memory: None,
    });
    drop(sink);
    let reading = std::thread::spawn(move || peer.read_to_end(&mut Vec::new()).unwrap());
    let (_stop, stopping) = watch::channel(false);
    let pace = ReadingPace::new(budget.answers().clone(), stopping);
    let writer = AnswerWriter::new(answers, writing, pace);
    let writer = actix_rt::spawn(writer.run());
    assert!(!budget.answers().has_read());
    let mut turns = 0;
    while !writer.is_finished() {
        turns += 1;
        tokio::task::yield_now().await;
    }
    assert!(writer.await.unwrap().is_ok());
    assert_eq!(reading.join().unwrap() as u64, len);
    assert!(turns >= 4 * MIB, "{turns} turns");
    assert!(budget.answers().has_read());
}
