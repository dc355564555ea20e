//! What a connection holds in memory beside its frames.

use std::pin::pin;

use broker_model::limits::{FRAMES_INCOMPLETE_BYTES_MAX, IN_FLIGHT_REQUESTS_PER_CONNECTION};
use broker_protocol::encode_frame;
use tokio::io::AsyncWriteExt;

use super::tests::{DRIP_EVERY, connected};
use super::*;
use crate::background::Workers;
use crate::net::RequestBudget;

#[actix_rt::test]
async fn who_waits_for_the_rest_of_a_frame_holds_no_room_for_it() {
    let budget = RequestBudget::new(Workers::start()).for_connection();
    let (mut peer, mut reader) = connected().await;
    let body = [0xc0; 10 * 1024];
    let frame = encode_frame(&body).expect("it is small");
    let (patience, stint) = (Patience::Idle(FRAME_TIME_MAX), Stint::of_task());
    let mut sent = 0;
    for until in [10, 11, 2_000, SHORT_BYTES] {
        peer.write_all(&frame[sent..until])
            .await
            .expect("it is read");
        sent = until;
        while reader.buffer.len() < sent {
            let next = pin!(reader.next(&budget, patience, &stint));
            let next = stint.take_in(next);
            assert!(timeout_at(Instant::now() + DRIP_EVERY, next).await.is_err());
        }
        let room = reader.buffer.capacity() - sent;
        assert!(room < SHORT_BYTES, "room for {room} bytes more");
    }
    peer.write_all(&frame[sent..]).await.expect("it is read");
    let next = stint
        .take_in(pin!(reader.next(&budget, patience, &stint)))
        .await;
    let (read, _) = next.expect("a frame").expect("it is there");
    assert_eq!(&read[..], body);
}

#[actix_rt::test]
async fn the_start_of_a_frame_at_the_end_of_a_block_does_not_hold_that() {
    let budget = RequestBudget::new(Workers::start()).for_connection();
    let (mut peer, mut reader) = connected().await;
    let frame = encode_frame(&[0xc0; 100]).expect("it is small");
    let frames = BUFFER_BYTES_MIN / frame.len() - 1;
    let sent = [&frame.repeat(frames)[..], &frame[..1]].concat();
    peer.write_all(&sent).await.expect("it is read");
    let (patience, stint) = (Patience::Idle(FRAME_TIME_MAX), Stint::of_task());
    for _ in 0..frames {
        let next = pin!(reader.next(&budget, patience, &stint));
        let next = stint.take_in(next).await;
        drop(next.expect("a frame").expect("it is there"));
    }
    {
        let next = pin!(reader.next(&budget, patience, &stint));
        let next = stint.take_in(next);
        assert!(timeout_at(Instant::now() + DRIP_EVERY, next).await.is_err());
    }
    assert_eq!(reader.buffer.capacity(), 1, "there is room for it alone");
    assert!(
        SPARE.take().try_reclaim(BUFFER_BYTES_MIN),
        "it is left to others"
    );
}

#[actix_rt::test]
async fn who_waits_for_what_it_asked_before_holds_what_it_sent_and_no_more() {
    let budget = RequestBudget::new(Workers::start()).for_connection();
    let (mut peer, mut reader) = connected().await;
    let frame = encode_frame(&[0xc0; 100]).expect("it is small");
    let sent = frame.repeat(IN_FLIGHT_REQUESTS_PER_CONNECTION + 10);
    peer.write_all(&sent).await.expect("it is read");
    let (patience, stint) = (Patience::Idle(FRAME_TIME_MAX), Stint::of_task());
    let mut under_way = Vec::new();
    for _ in 0..IN_FLIGHT_REQUESTS_PER_CONNECTION {
        let next = pin!(reader.next(&budget, patience, &stint));
        let next = stint.take_in(next).await;
        let (body, place) = next.expect("a frame").expect("it is there");
        drop(body);
        under_way.push(place);
    }
    let read = {
        let mut next = pin!(reader.next(&budget, patience, &stint));
        let waiting = stint.take_in(next.as_mut());
        assert!(
            timeout_at(Instant::now() + DRIP_EVERY, waiting)
                .await
                .is_err()
        );
        assert!(
            SPARE.take().try_reclaim(BUFFER_BYTES_MIN),
            "nobody holds the block that it was read in"
        );
        under_way.pop();
        next.await
    };
    let (body, _) = read.expect("a frame").expect("it is there");
    assert_eq!(&body[..], [0xc0; 100]);
    assert!(
        reader.buffer.capacity() < SHORT_BYTES,
        "room for {} bytes",
        reader.buffer.capacity()
    );
}

#[actix_rt::test]
async fn of_a_tiny_frame_no_more_than_its_start_is_read_while_others_hold_much() {
    let requests = RequestBudget::new(Workers::start());
    let budget = requests.for_connection();
    let (mut peer, mut reader) = connected().await;
    let body = [0xc0; 10 * 1024];
    let frame = encode_frame(&body).expect("it is small");
    peer.write_all(&frame).await.expect("it is read");
    let (patience, stint) = (Patience::Idle(FRAME_TIME_MAX), Stint::of_task());
    let others = requests
        .for_connection()
        .begin(FRAMES_INCOMPLETE_BYTES_MAX + 1);
    {
        let next = pin!(reader.next(&budget, patience, &stint));
        let waiting = stint.take_in(next);
        assert!(
            timeout_at(Instant::now() + 5 * DRIP_EVERY, waiting)
                .await
                .is_err()
        );
    }
    let held = reader.buffer.capacity();
    assert!(held <= SHORT_BYTES, "room for {held} bytes");
    drop(others);
    let next = pin!(reader.next(&budget, patience, &stint));
    let read = stint.take_in(next).await;
    let (read, _) = read.expect("a frame").expect("it is there");
    assert_eq!(&read[..], body);
}
