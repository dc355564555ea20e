//! One connection: pipelining, bounds, and every way to end.

use std::time::Duration;

use broker_client::protocol::api::ping::PingRequest;
use broker_client::protocol::{ErrorCode, Method, WireError, request_frame};
use broker_client::{ClientError, Connection, ConnectionOptions, Outcome};
use bytes::Bytes;
use futures::future::join_all;
use tokio::io::AsyncWriteExt;

use crate::fake::{Act, FakeCluster};

async fn connect(cluster: &FakeCluster, request_timeout: Duration) -> Connection {
    let options = ConnectionOptions {
        request_timeout,
        ..ConnectionOptions::default()
    };
    Connection::connect(&cluster.address(1), options)
        .await
        .unwrap()
}

const PATIENT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn answers_may_overtake_each_other() {
    let cluster = FakeCluster::start(1).await;
    let connection = connect(&cluster, PATIENT).await;
    cluster.hook(|seen| match seen.nth {
        0 => Act::Silence,
        1 => Act::Slow(Duration::from_millis(50)),
        nth => Act::Answer(vec![
            0x81,
            0xA3,
            b'n',
            b't',
            b'h',
            u8::try_from(nth).unwrap(),
        ]),
    });
    let args = || Bytes::from_static(b"\x80");
    let mut submitted = Vec::new();
    for _ in 0..4 {
        let asked = connection.submit_raw(Method::Ping, args(), PATIENT).await;
        submitted.push(asked.unwrap());
    }
    let mut waiting = submitted.into_iter();
    let (never, slow) = (waiting.next().unwrap(), waiting.next().unwrap());
    for (nth, quick) in (2..).zip(waiting) {
        let answered = quick.answer().await.unwrap().unwrap();
        assert_eq!(
            answered.last(),
            Some(&nth),
            "answers went to the wrong requests"
        );
    }
    slow.decoded::<PingRequest>().await.unwrap();
    drop(never);
}

#[tokio::test]
async fn requests_issued_together_are_written_together() {
    let cluster = FakeCluster::start(1).await;
    let connection = connect(&cluster, PATIENT).await;
    cluster.world().reads.clear();
    let pings = (0..100).map(|_| connection.request(&PingRequest {}));
    for pong in join_all(pings).await {
        pong.unwrap();
    }
    let reads = cluster.world().reads.len();
    assert!(reads <= 10, "100 requests came in {reads} reads");
}

#[tokio::test]
async fn a_lost_connection_fails_all_that_wait_as_unknown_and_all_later_as_definite() {
    let cluster = FakeCluster::start(1).await;
    let connection = connect(&cluster, PATIENT).await;
    cluster.hook(|seen| match seen.nth {
        2 => Act::Lose,
        _ => Act::Silence,
    });
    let pings = (0..3).map(|_| connection.request(&PingRequest {}));
    for lost in join_all(pings).await {
        let error = lost.unwrap_err();
        assert!(
            matches!(error, ClientError::ConnectionLost { .. }),
            "{error}"
        );
        assert!(!error.is_definite() && error.is_retriable());
        assert!(error.to_string().contains("ping at 127.0.0.1:"), "{error}");
    }
    assert!(!connection.is_alive());
    let error = connection.request(&PingRequest {}).await.unwrap_err();
    assert!(matches!(error, ClientError::ConnectionLost { .. }));
    assert!(error.is_definite(), "it was never sent");
    assert_eq!(cluster.count(Method::Ping), 3);
}

#[tokio::test]
async fn a_slow_answer_times_out_alone() {
    let cluster = FakeCluster::start(1).await;
    let connection = connect(&cluster, PATIENT).await;
    cluster.hook(|seen| match seen.nth {
        0 => Act::Silence,
        _ => Act::Normal,
    });
    let slow = connection.submit(&PingRequest {}, Duration::from_secs(1));
    let slow = slow.await.unwrap();
    connection.request(&PingRequest {}).await.unwrap();
    let error = slow.decoded::<PingRequest>().await.unwrap_err();
    assert!(
        matches!(
            error,
            ClientError::TimedOut {
                outcome: Outcome::Unknown,
                ..
            }
        ),
        "{error}"
    );
    assert!(
        connection.is_alive(),
        "others were answered in the meantime"
    );
    connection.request(&PingRequest {}).await.unwrap();
}

#[tokio::test]
async fn a_peer_that_is_silent_throughout_is_given_up() {
    let cluster = FakeCluster::start(1).await;
    let connection = connect(&cluster, Duration::from_millis(100)).await;
    cluster.hook(|_| Act::Silence);
    let waiting = connection.submit(&PingRequest {}, PATIENT).await.unwrap();
    let error = connection.request(&PingRequest {}).await.unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { .. }), "{error}");
    assert!(!connection.is_alive());
    let error = waiting.decoded::<PingRequest>().await.unwrap_err();
    assert!(
        matches!(error, ClientError::ConnectionLost { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_under_way_is_bounded_by_what_hello_announced() {
    let cluster = FakeCluster::start(1).await;
    cluster.world().in_flight_requests_max = Some(2);
    let connection = connect(&cluster, PATIENT).await;
    let (held, gate) = tokio::sync::watch::channel(());
    cluster.hook(move |seen| match seen.nth {
        0 => Act::Silence,
        1 => Act::Held(gate.clone()),
        _ => Act::Normal,
    });
    let pings = (0..5).map(|_| {
        let connection = connection.clone();
        tokio::spawn(async move { connection.request(&PingRequest {}).await })
    });
    let pings: Vec<_> = pings.collect();
    until(|| cluster.count(Method::Ping) >= 2).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(
        cluster.count(Method::Ping),
        2,
        "more were sent than may be under way"
    );
    drop(held);
    // One place comes free; the others go through it one after the other.
    until(|| cluster.count(Method::Ping) == 5).await;
    pings.into_iter().for_each(|ping| ping.abort());
}

/// Waits until something is so, and fails when it never is.
async fn until(so: impl Fn() -> bool) {
    let wait = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENT, wait)
        .await
        .expect("it never was so");
}

#[tokio::test]
async fn who_finds_no_room_in_time_was_certainly_not_sent() {
    let cluster = FakeCluster::start(1).await;
    cluster.world().in_flight_requests_max = Some(1);
    let connection = connect(&cluster, PATIENT).await;
    cluster.hook(|_| Act::Silence);
    let first = connection.submit(&PingRequest {}, PATIENT).await.unwrap();
    let second = connection.request_within(&PingRequest {}, Duration::from_millis(50));
    let error = second.await.unwrap_err();
    assert!(
        matches!(
            error,
            ClientError::TimedOut {
                outcome: Outcome::Definite,
                ..
            }
        ),
        "{error}"
    );
    assert!(cluster.count(Method::Ping) <= 1);
    drop(first);
}

#[tokio::test]
async fn an_error_answer_carries_code_and_address() {
    let cluster = FakeCluster::start(1).await;
    let connection = connect(&cluster, PATIENT).await;
    cluster.hook(|_| Act::Refuse(WireError::new(ErrorCode::Busy, "come back")));
    let error = connection.request(&PingRequest {}).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::Busy));
    assert_eq!(*error.call().unwrap().address, *cluster.address(1));
    assert!(connection.is_alive());
}

#[tokio::test]
async fn bytes_that_are_no_answer_end_the_connection_with_their_reason() {
    let nonsense: [(&[u8], &str); 3] = [
        (b"HTTP/1.1 400 Bad Request\r\n", "frame"),
        (b"\xCE\x00\x00\x00\x05\x94\x01\x4F\xC0\x80", "never sent"),
        (b"\xCE\x00\x00\x00\x01\xC0", "understood"),
    ];
    for (bytes, expected) in nonsense {
        let cluster = FakeCluster::start(1).await;
        let connection = connect(&cluster, PATIENT).await;
        cluster.hook(move |_| Act::Garbage(bytes.to_vec()));
        let error = connection.request(&PingRequest {}).await.unwrap_err();
        assert!(
            matches!(error, ClientError::ConnectionLost { .. }),
            "{error}"
        );
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_malformed_result_is_told_apart_from_a_lost_connection() {
    let cluster = FakeCluster::start(1).await;
    let connection = connect(&cluster, PATIENT).await;
    // A result whose one field has the wrong type.
    cluster.hook(|_| Act::Answer(b"\x81\xA7time_ms\xA1x".to_vec()));
    let error = connection.request(&PingRequest {}).await.unwrap_err();
    assert!(matches!(error, ClientError::Malformed { .. }), "{error}");
    assert!(!error.is_definite() && !error.is_retriable());
    assert!(connection.is_alive());
}

#[tokio::test]
async fn large_answers_and_raw_requests_go_through() {
    let cluster = FakeCluster::start(1).await;
    let connection = connect(&cluster, PATIENT).await;
    let mut large = b"\x81\xA4blob\xC6\x00\x80\x00\x00".to_vec();
    large.resize(large.len() + (8 << 20), 7);
    let expected = large.clone();
    cluster.hook(move |_| Act::Answer(large.clone()));
    let args = Bytes::from_static(b"\x80");
    let answered = connection.request_raw(Method::Ping, args).await.unwrap();
    assert_eq!(answered.unwrap(), expected);

    cluster.unhook();
    let id = connection.reserve_id();
    let frame = request_frame(id, &PingRequest {}).unwrap();
    for _ in 0..3 {
        connection
            .send_frame(id, frame.clone())
            .await
            .unwrap()
            .unwrap();
    }
}

#[tokio::test]
async fn a_request_above_the_frame_limit_is_not_sent() {
    let cluster = FakeCluster::start(1).await;
    let connection = connect(&cluster, PATIENT).await;
    let args = Bytes::from(vec![0; 17 << 20]);
    let error = connection
        .request_raw(Method::Ping, args)
        .await
        .unwrap_err();
    assert!(
        matches!(error, ClientError::RequestTooLarge { .. }),
        "{error}"
    );
    assert!(error.is_definite());
    connection.request(&PingRequest {}).await.unwrap();
}

#[tokio::test]
async fn what_is_no_broker_is_called_so() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        tokio::time::sleep(PATIENT).await;
    });
    let error = Connection::connect(&address, ConnectionOptions::default())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("the peer is no broker"),
        "{error}"
    );
    assert!(error.to_string().contains(&address), "{error}");

    let error = Connection::connect("127.0.0.1:1", ConnectionOptions::default()).await;
    assert!(error.unwrap_err().to_string().contains("127.0.0.1:1: "));
}

#[tokio::test]
async fn a_peer_that_never_says_hello_is_not_waited_for() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let options = ConnectionOptions {
        connect_timeout: Duration::from_millis(100),
        ..ConnectionOptions::default()
    };
    let error = Connection::connect(&address, options).await.unwrap_err();
    assert!(matches!(error, ClientError::Connect { .. }), "{error}");
}

#[tokio::test]
async fn an_idle_connection_is_kept_open_and_a_dead_one_found_out() {
    let cluster = FakeCluster::start(1).await;
    let options = ConnectionOptions {
        keep_alive: Duration::from_secs(2),
        ..ConnectionOptions::default()
    };
    let connection = Connection::connect(&cluster.address(1), options).await;
    let connection = connection.unwrap();
    until(|| cluster.count(Method::Ping) >= 2).await;
    assert!(connection.is_alive());

    cluster.hook(|_| Act::Silence);
    until(|| !connection.is_alive()).await;
}

#[tokio::test]
async fn the_socket_closes_with_the_last_handle() {
    let cluster = FakeCluster::start(1).await;
    let connection = connect(&cluster, PATIENT).await;
    let other = connection.clone();
    drop(connection);
    other.request(&PingRequest {}).await.unwrap();
    assert_eq!(cluster.open_connections(1), 1);
    drop(other);
    until(|| cluster.open_connections(1) == 0).await;
}

#[test]
fn it_works_on_a_local_set_and_on_many_threads_and_its_futures_are_send() {
    async fn work() {
        let cluster = FakeCluster::start(1).await;
        let connection = connect(&cluster, PATIENT).await;
        let pings = (0..50).map(|_| {
            let connection = connection.clone();
            tokio::spawn(async move { connection.request(&PingRequest {}).await })
        });
        for pong in join_all(pings).await {
            pong.unwrap().unwrap();
        }
    }
    let mut single = tokio::runtime::Builder::new_current_thread();
    let single = single.enable_all().build().unwrap();
    single.block_on(tokio::task::LocalSet::new().run_until(work()));
    let mut many = tokio::runtime::Builder::new_multi_thread();
    many.worker_threads(3)
        .enable_all()
        .build()
        .unwrap()
        .block_on(work());
}
