//! Frames that come slowly, and bytes that nobody wants, through a real socket.

use broker_model::limits::{FRAME_BYTES_MAX, FRAME_STALL_MAX, FRAMES_INCOMPLETE_BYTES_MAX};
use std::io::{Read, Write};
use std::pin::pin;

use broker_protocol::encode_frame;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::arbiters::Polled;
use crate::background::Workers;
use crate::net::{BusyPolls, RequestBudget};

/// A whole frame's body.
const PING: &[u8] = b"\x93\x02\xa4ping\x80";
/// A byte comes far more often than a frame is looked at.
pub(super) const DRIP_EVERY: Duration = Duration::from_millis(20);

/// A client, and who reads what it sends.
pub(super) async fn connected() -> (TcpStream, FrameReader) {
    let (peer, reader, _) = connected_polling(Duration::ZERO).await;
    (peer, reader)
}

/// The same where a quick client is polled for, and with the way back.
async fn connected_polling(longest: Duration) -> (TcpStream, FrameReader, OwnedWriteHalf) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it has one");
    let peer = TcpStream::connect(address).await.expect("it listens");
    let (socket, _) = listener.accept().await.expect("somebody connects");
    let (reading, writing) = socket.into_split();
    let rhythm = BusyPolls::on(1, longest, Workers::start()).for_connection(Polled::default());
    let mut reader = FrameReader::resume(reading, ReadAhead::default(), rhythm);
    reader.allow_large_frames();
    (peer, reader, writing)
}

/// A connection for whose frames of this size there is no place, and one that has them all.
async fn without_place(frame_bytes: usize) -> (ConnectionBudget, ConnectionBudget, Vec<InFlight>) {
    let budget = RequestBudget::new(Workers::start());
    let (own, other) = (budget.for_connection(), budget.for_connection());
    let mut held = Vec::new();
    let until = || Instant::now() + DRIP_EVERY;
    while let Ok(place) = timeout_at(until(), other.acquire(frame_bytes)).await {
        held.push(place);
    }
    (own, other, held)
}

/// Sends these bytes, and then this again and again as long as it is read.
fn drip(mut peer: TcpStream, start: Vec<u8>, again: Vec<u8>) {
    tokio::task::spawn_local(async move {
        peer.write_all(&start).await.expect("it is read");
        while peer.write_all(&again).await.is_ok() {
            tokio::time::sleep(DRIP_EVERY).await;
        }
    });
}

/// Reads frames, for which nobody waits, until there are no more: far longer than any may take.
async fn end_of_frames(reader: &mut FrameReader, patience: Patience) -> ReadError {
    let budget = RequestBudget::new(Workers::start()).for_connection();
    let stint = Stint::of_task();
    let reading = async {
        loop {
            let next = pin!(reader.next(&budget, patience, &stint));
            match stint.take_in(next).await {
                Ok(next) => drop(next.expect("the peer is there")),
                Err(error) => return error,
            }
        }
    };
    let ended = tokio::time::timeout(FRAME_TIME_MAX, reading).await;
    ended.expect("its time is over")
}

/// How often the thread slept while a client, once it was known, asked a hundred times, each time after that pause.
async fn sleeps_within_a_hundred_requests(longest: Duration, pause: Duration) -> u64 {
    const LEARNING: usize = 100;
    let budget = RequestBudget::new(Workers::start()).for_connection();
    let (peer, mut reader, writing) = connected_polling(longest).await;
    let mut peer = peer.into_std().expect("a socket");
    peer.set_nonblocking(false).expect("it is a socket");
    let client = std::thread::spawn(move || {
        let ping = encode_frame(PING).expect("it is small");
        for _ in 0..LEARNING + 100 {
            std::thread::sleep(pause);
            peer.write_all(&ping).expect("it is read");
            peer.read_exact(&mut [0]).expect("it is answered");
        }
    });
    let metrics = tokio::runtime::Handle::current().metrics();
    let mut known = 0;
    let (patience, stint) = (Patience::Idle(FRAME_TIME_MAX), Stint::of_task());
    for request in 0..LEARNING + 100 {
        if request == LEARNING {
            known = metrics.worker_park_count(0);
        }
        let next = stint
            .take_in(pin!(reader.next(&budget, patience, &stint)))
            .await;
        next.expect("a frame").expect("it is there");
        writing.try_write(b"!").expect("there is room");
    }
    let sleeps = metrics.worker_park_count(0) - known;
    client.join().expect("it was answered");
    sleeps
}

#[actix_rt::test]
async fn for_a_client_that_asks_again_at_once_the_thread_does_not_sleep() {
    let polling = sleeps_within_a_hundred_requests(Duration::from_secs(10), Duration::ZERO).await;
    assert!(polling < 10, "slept {polling} times");
    // Without polling it sleeps, provided that the next request does not come before it can.
    let pause = Duration::from_millis(1);
    let sleeping = sleeps_within_a_hundred_requests(Duration::ZERO, pause).await;
    assert!(sleeping > 50, "slept {sleeping} times");
}

#[actix_rt::test]
async fn of_a_large_frame_that_starts_wrong_nothing_more_is_wanted() {
    const MIB: usize = 1024 * 1024;
    const START: usize = 8 * 1024;
    let budget = RequestBudget::new(Workers::start()).for_connection();
    let (mut peer, mut reader) = connected().await;
    let length = u32::try_from(MIB).expect("it fits").to_be_bytes();
    let start = [&[0xce], length.as_slice(), &[0x91; START]].concat();
    peer.write_all(&start).await.expect("it is read");
    let (patience, stint) = (Patience::Idle(FRAME_TIME_MAX), Stint::of_task());
    let refused = reader.next(&budget, patience, &stint).await;
    let (body, place) = refused.expect("a start").expect("it is there");
    assert!(Envelope::check_start(&body).is_err(), "it tells");
    assert!(body.len() <= START, "{} bytes", body.len());
    drop(place);
    tokio::task::spawn_local(async move {
        let rest = vec![0x91; MIB - START];
        peer.write_all(&rest).await.expect("it is thrown away");
        let ping = encode_frame(PING).expect("it is small");
        peer.write_all(&ping).await.expect("it is read");
        std::future::pending::<()>().await;
    });
    let next = stint
        .take_in(pin!(reader.next(&budget, patience, &stint)))
        .await;
    let (body, _) = next.expect("a frame").expect("it is there");
    assert_eq!(&body[..], PING);
}

#[actix_rt::test]
async fn of_a_newcomer_little_is_read_until_there_is_a_place_for_its_frame() {
    const MIB: usize = 1024 * 1024;
    let (own, _, held) = without_place(MIB).await;
    let (mut peer, mut reader) = connected().await;
    let body = looks_like_a_request(MIB);
    let frame = encode_frame(&body).expect("it is small enough");
    let sending = tokio::task::spawn_local(async move {
        peer.write_all(&frame).await.expect("it is read");
        peer
    });
    let (patience, stint) = (Patience::Idle(FRAME_TIME_MAX), Stint::of_task());
    while reader.buffer.is_empty() {
        let next = pin!(reader.next(&own, patience, &stint));
        let next = stint.take_in(next);
        let waited = timeout_at(Instant::now() + 10 * DRIP_EVERY, next).await;
        assert!(waited.is_err(), "there is no place");
    }
    let room = reader.buffer.capacity();
    assert!(room <= NEWCOMER_READ_BYTES, "{room} bytes are in memory");
    drop(held);
    let next = stint
        .take_in(pin!(reader.next(&own, patience, &stint)))
        .await;
    let (read, _) = next.expect("a frame").expect("it is there");
    assert!(read == body);
    sending.await.expect("all was sent");
}

/// A body of so many bytes.
fn looks_like_a_request(bytes: usize) -> Vec<u8> {
    let mut body = b"\x94\x00\x07\xa7produce".to_vec();
    body.resize(bytes, 0xc0);
    body
}

/// Reads on until so many bytes are there, of a frame that is not complete or gets no place.
async fn read_until(reader: &mut FrameReader, budget: &ConnectionBudget, bytes: usize) {
    let (patience, stint) = (Patience::Idle(FRAME_TIME_MAX), Stint::of_task());
    while reader.buffer.len() < bytes {
        let next = pin!(reader.next(budget, patience, &stint));
        let next = stint.take_in(next);
        let waited = timeout_at(Instant::now() + 10 * DRIP_EVERY, next).await;
        assert!(waited.is_err(), "there is no frame, or it got a place");
    }
}

#[actix_rt::test]
async fn whoever_sends_a_byte_of_a_large_frame_first_gets_no_more_of_it_read() {
    const MIB: usize = 1024 * 1024;
    let (own, other, _held) = without_place(MIB).await;
    // As many as there may be before those go that stand still.
    let _tiny = other.begin(FRAMES_INCOMPLETE_BYTES_MAX);
    let (mut peer, mut reader) = connected().await;
    let frame = encode_frame(&looks_like_a_request(MIB)).expect("it is small enough");
    let (first, some) = (&frame[..1], &frame[1..12 * 1024]);
    peer.write_all(first).await.expect("it is read");
    read_until(&mut reader, &own, 1).await;
    {
        let (patience, stint) = (Patience::Idle(FRAME_TIME_MAX), Stint::of_task());
        let next = pin!(reader.next(&own, patience, &stint));
        let mut next = pin!(stint.take_in(next));
        let by = Instant::now() + DRIP_EVERY;
        assert!(timeout_at(by, &mut next).await.is_err(), "it is not there");
        assert!(
            other.stall_max(TINY_FRAME_BYTES).is_some(),
            "it may be tiny"
        );
        peer.write_all(some).await.expect("it is read");
        let until = Instant::now() + 500 * DRIP_EVERY;
        while other.stall_max(TINY_FRAME_BYTES).is_some() {
            assert!(Instant::now() < until, "it is in the way of tiny ones");
            let by = Instant::now() + DRIP_EVERY;
            assert!(timeout_at(by, &mut next).await.is_err(), "it has no place");
        }
    }
    let bytes = reader.buffer.capacity();
    assert!(bytes > 1, "nothing was read");
    assert!(bytes <= NEWCOMER_READ_BYTES, "{bytes} bytes are in memory");
}

#[actix_rt::test]
async fn behind_a_tiny_frame_of_a_newcomer_no_more_is_read_of_the_next_one() {
    let budget = RequestBudget::new(Workers::start()).for_connection();
    let (mut peer, mut reader) = connected().await;
    let tiny = encode_frame(&[0xc0; 10 * 1024]).expect("it is small");
    let (start, rest) = tiny.split_at(100);
    peer.write_all(start).await.expect("it is read");
    read_until(&mut reader, &budget, start.len()).await;
    let large = encode_frame(&looks_like_a_request(1024 * 1024)).expect("it is small enough");
    let more = [rest, &large[..12 * 1024]].concat();
    peer.write_all(&more).await.expect("it is read");
    let (patience, stint) = (Patience::Idle(FRAME_TIME_MAX), Stint::of_task());
    let (body, _) = {
        let next = pin!(reader.next(&budget, patience, &stint));
        let next = stint.take_in(next).await;
        next.expect("a frame").expect("it is there")
    };
    assert_eq!(body.len() + FRAME_HEADER_LEN, tiny.len());
    let bytes = reader.buffer.len();
    assert!(bytes <= NEWCOMER_READ_BYTES, "{bytes} bytes are in memory");
}

#[actix_rt::test]
async fn a_frame_that_drips_loses_its_place_to_one_that_waits() {
    let budget = RequestBudget::new(Workers::start());
    let (peer, mut reader) = connected().await;
    let (dripping, other) = (budget.for_connection(), budget.for_connection());
    let length = u32::try_from(FRAME_BYTES_MAX).expect("it fits");
    let head = [&[0xce], length.to_be_bytes().as_slice()].concat();
    drip(peer, head, vec![0xc0]);
    tokio::task::spawn_local(async move {
        // As soon as the other one has its place it waits.
        loop {
            drop(other.acquire(FRAME_BYTES_MAX).await);
            tokio::time::sleep(DRIP_EVERY).await;
        }
    });
    let patience = Patience::Idle(FRAME_TIME_MAX);
    let read = reader.next(&dripping, patience, &Stint::of_task()).await;
    let stalled = matches!(read, Err(ReadError::FrameStalled { .. }));
    assert!(stalled, "{:?}", read.err());
}

#[actix_rt::test]
async fn a_frame_that_drips_has_its_time_though_nobody_waits() {
    let (peer, mut reader) = connected().await;
    reader.frame_time_max = 10 * DRIP_EVERY;
    let start = encode_frame(&[0xc0; TINY_FRAME_BYTES]).expect("it is small");
    drip(peer, start[..10].to_vec(), vec![0xc0]);
    let ended = end_of_frames(&mut reader, Patience::Idle(FRAME_TIME_MAX)).await;
    assert!(matches!(ended, ReadError::FrameTime { .. }), "{ended}");
}

#[actix_rt::test]
async fn the_rest_of_a_refused_frame_has_its_time_though_nobody_waits() {
    const MIB: u32 = 1024 * 1024;
    let (peer, mut reader) = connected().await;
    reader.frame_time_max = 10 * DRIP_EVERY;
    let head = [&[0xce], MIB.to_be_bytes().as_slice(), &[0x91; 8 * 1024]].concat();
    drip(peer, head, vec![0x91]);
    let ended = end_of_frames(&mut reader, Patience::Idle(FRAME_TIME_MAX)).await;
    assert!(matches!(ended, ReadError::FrameTime { .. }), "{ended}");
}

#[actix_rt::test]
async fn a_handshake_has_its_time_as_a_whole() {
    let ping = encode_frame(PING).expect("it is small").to_vec();
    let large = encode_frame(&[0xc0; TINY_FRAME_BYTES]).expect("it is small");
    let begun = large[..10].to_vec();
    let over_frames = [&ping[1..], &ping[..1]].concat();
    for (start, again) in [
        (Vec::new(), Vec::new()),
        (begun, vec![0xc0]),
        (Vec::new(), ping.clone()),
        (ping[..1].to_vec(), over_frames),
    ] {
        let (peer, mut reader) = connected().await;
        drip(peer, start, again);
        let patience = Patience::Handshake(Instant::now() + 10 * DRIP_EVERY);
        let ended = end_of_frames(&mut reader, patience).await;
        assert!(matches!(ended, ReadError::HandshakeTime), "{ended}");
    }
}

#[actix_rt::test]
async fn a_hello_that_came_in_time_and_is_looked_at_late_counts() {
    let (mut peer, mut reader) = connected().await;
    let hello = encode_frame(PING).expect("it is small");
    peer.write_all(&hello).await.expect("it is read");
    reader.socket.readable().await.expect("it came");
    let budget = RequestBudget::new(Workers::start()).for_connection();
    let (patience, stint) = (Patience::Handshake(Instant::now()), Stint::of_task());
    let next = reader.next(&budget, patience, &stint).await;
    let (body, _) = next.expect("a frame").expect("it is there");
    assert_eq!(&body[..], PING);
}

#[actix_rt::test]
async fn a_frame_that_gets_no_place_in_time_is_not_its_senders_fault() {
    let budget = RequestBudget::new(Workers::start());
    let (mut peer, mut reader) = connected().await;
    reader.frame_time_max = 10 * DRIP_EVERY;
    let other = budget.for_connection();
    let held = other.acquire(FRAME_BYTES_MAX).await;
    let length = u32::try_from(FRAME_BYTES_MAX).expect("it fits");
    let head = [&[0xce], length.to_be_bytes().as_slice(), &[0xc0]].concat();
    peer.write_all(&head).await.expect("it is read");
    let (patience, own) = (Patience::Idle(FRAME_TIME_MAX), budget.for_connection());
    let (stint, within) = (Stint::of_task(), Duration::from_secs(10));
    let read = tokio::time::timeout(within, reader.next(&own, patience, &stint)).await;
    let read = read.expect("it ends").expect_err("there is no place");
    assert!(matches!(read, ReadError::PlaceTime), "{read}");
    drop(held);
}

#[actix_rt::test]
async fn a_frame_whose_bytes_lie_in_the_socket_does_not_stand_still() {
    // Of a machine that stands still its sender does, too: not each time.
    for _ in 0..5 {
        if is_read_though_its_thread_stands_still().await {
            return;
        }
    }
    panic!("it was taken to stand still");
}

/// Whether a frame is read for whose place another one waits, while nobody looks at its socket for long.
async fn is_read_though_its_thread_stands_still() -> bool {
    const PIECE: usize = 20 * 1024;
    let budget = RequestBudget::new(Workers::start());
    let (mut peer, mut reader) = connected().await;
    let (sender, other) = (budget.for_connection(), budget.for_connection());
    tokio::task::spawn_local(async move {
        let length = u32::try_from(FRAME_BYTES_MAX).expect("it fits");
        let head = [&[0xce], length.to_be_bytes().as_slice()].concat();
        peer.write_all(&head).await.expect("it is read");
        peer.write_all(&[0xc0; PIECE]).await.expect("it is read");
        tokio::time::sleep(10 * DRIP_EVERY).await;
        // It is closed when it is taken to stand still.
        let _ = peer.write_all(&[0xc0; PIECE]).await;
        // Others have their turn.
        std::thread::sleep(2 * FRAME_STALL_MAX);
        tokio::time::sleep(DRIP_EVERY).await;
        let rest = vec![0xc0; FRAME_BYTES_MAX - 2 * PIECE];
        let _ = peer.write_all(&rest).await;
        std::future::pending::<()>().await;
    });
    tokio::task::spawn_local(async move {
        tokio::time::sleep(5 * DRIP_EVERY).await;
        drop(other.acquire(FRAME_BYTES_MAX).await);
    });
    let (patience, stint) = (Patience::Idle(FRAME_TIME_MAX), Stint::of_task());
    let read = stint
        .take_in(pin!(reader.next(&sender, patience, &stint)))
        .await;
    if matches!(read, Err(ReadError::FrameStalled { .. })) {
        return false;
    }
    let (body, _) = read.expect("a frame").expect("it is there");
    assert_eq!(body.len(), FRAME_BYTES_MAX);
    true
}

#[actix_rt::test]
async fn throwing_away_ends_with_its_time_also_while_there_is_more() {
    let (mut peer, mut reader) = connected().await;
    peer.write_all(&[0; 1024]).await.expect("there is room");
    reader.socket.readable().await.expect("it came");
    let stint = Stint::of_task();
    stint
        .take_in(pin!(reader.drain(Duration::ZERO, &stint)))
        .await;
    assert!(reader.try_read(1024).is_ok(), "it is still there");
}

#[actix_rt::test]
async fn of_much_that_is_there_a_part_is_read_at_once() {
    let (mut peer, mut reader) = connected().await;
    let much = vec![0xc0; 2 * READ_BYTES_MAX];
    tokio::task::spawn_local(async move {
        peer.write_all(&much).await.expect("it is read");
        std::future::pending::<()>().await;
    });
    // All of it is there when little comes no more.
    tokio::time::sleep(10 * DRIP_EVERY).await;
    reader.buffer.reserve(FRAME_BYTES_MAX);
    reader.read_max = READ_BYTES_MAX;
    reader.socket.readable().await.expect("it came");
    let (mut read, mut parts) = (0, 0);
    while read < 2 * READ_BYTES_MAX {
        match reader.try_read(FRAME_BYTES_MAX) {
            Ok(part) => {
                assert!(part <= READ_BYTES_MAX, "{part} at once");
                (read, parts) = (read + part, parts + 1);
            }
            Err(_) => reader.socket.readable().await.expect("there is more"),
        }
    }
    assert!(parts >= 2);
    assert!(
        reader.buffer.capacity() >= FRAME_BYTES_MAX,
        "it has not grown"
    );
}
