//! Clients that ask much and read nothing: real sockets, whose kernel takes no more.

use std::time::Duration;

use broker_model::limits::{ANSWERS_TINY_BYTES_MAX, IN_FLIGHT_REQUESTS_PER_CONNECTION};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
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
}

impl Unreading {
    /// Its socket is full.
    async fn of(budget: &RequestBudget, listener: &TcpListener) -> Self {
        let peer = TcpSocket::new_v4().unwrap();
        peer.set_recv_buffer_size(KERNEL_BYTES).unwrap();
        let peer = peer.connect(listener.local_addr().unwrap());
        let (peer, accepted) = tokio::join!(peer, listener.accept());
        let connection = budget.for_connection();
        let (sink, answers) = AnswerSink::channel(connection.answers().clone());
        let (_, writing) = accepted.unwrap().0.into_split();
        let writer = AnswerWriter::new(answers, writing, connection.answers().clone());
        sink.send(Answer::bytes(Bytes::from_static(&MUCH), None));
        Self {
            _peer: peer.unwrap(),
            connection,
            sink,
            writer: actix_rt::spawn(writer.run()),
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
