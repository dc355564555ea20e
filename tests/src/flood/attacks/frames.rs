//! Frames that do not end, announce too much, are nested too deep, or break off.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::requests::ask_again_and_again;
use super::{Attack, Field};
use crate::flood::link::Fate;
use crate::flood::message::{Message, announced, framed, request};

const MIB: usize = 1024 * 1024;
/// How long a connection that trickles waits between its bytes.
const TRICKLE: Duration = Duration::from_millis(100);

pub(super) const ATTACKS: [Attack; 10] = [
    Attack {
        name: "half-frames",
        what: "half of a frame of 16 MiB, and no more",
        connections: 1_000,
        payload: || announced(16 * MIB, &produce_head(8 * MIB)),
        offend: |field| Box::pin(send_and_wait(field)),
    },
    Attack {
        name: "half-batches",
        what: "half of a frame of 1 MiB, and no more",
        connections: 1_000,
        payload: || announced(MIB, &produce_head(MIB / 2)),
        offend: |field| Box::pin(send_and_wait(field)),
    },
    Attack {
        name: "almost-small",
        what: "250 KiB of a frame of 256 KiB, and no more",
        connections: 1_000,
        payload: || announced(256 * 1024, &produce_head(250 * 1024)),
        offend: |field| Box::pin(send_and_wait(field)),
    },
    Attack {
        name: "almost-tiny",
        what: "15 KiB of a frame of 16 KiB, and no more",
        connections: 5_000,
        payload: || announced(16 * 1024, &produce_head(15 * 1024)),
        offend: |field| Box::pin(send_and_wait(field)),
    },
    Attack {
        name: "trickle",
        what: "300 KiB of a frame of 1 MiB, then a byte now and then",
        connections: 1_000,
        payload: || announced(MIB, &produce_head(300 * 1024)),
        offend: |field| Box::pin(trickle(field)),
    },
    Attack {
        name: "byte-a-second",
        what: "hello, then one byte a second",
        connections: 1_000,
        payload: || request(2, "metadata", Message::new().map(0)),
        offend: |field| Box::pin(byte_a_second(field)),
    },
    Attack {
        name: "length-bombs",
        what: "frames that announce 4 GiB",
        connections: 1_000,
        payload: || announced(usize::MAX, b"\x94\x00\x01"),
        offend: |field| Box::pin(send_again_and_again(field)),
    },
    Attack {
        name: "depth-bombs",
        what: "frames of 1 MiB of arrays in arrays",
        connections: 200,
        payload: || framed(&vec![0x91; MIB]),
        offend: |field| Box::pin(send_again_and_again(field)),
    },
    Attack {
        name: "deep-requests",
        what: "requests whose arguments are 1 MiB of arrays in arrays",
        connections: 200,
        payload: || request(2, "metadata", Message::new().raw(&vec![0x91; MIB])),
        offend: |field| Box::pin(ask_again_and_again(field)),
    },
    Attack {
        name: "resets",
        what: "connections that break off in the middle of a frame",
        connections: 200,
        payload: || announced(MIB, &produce_head(100 * 1024)),
        offend: |field| Box::pin(reset_again_and_again(field)),
    },
];

/// So many bytes of what looks like a produce request.
fn produce_head(bytes: usize) -> Vec<u8> {
    let mut head = Message::new().raw(b"\x94\x00\x07\xa7produce").into_bytes();
    head.resize(bytes, 0xc0);
    head
}

async fn send_and_wait(field: Arc<Field>) -> io::Result<Fate> {
    let mut link = field.greeted().await?;
    link.stuff_until_told(&field.payload, field.until).await?;
    Ok(link.fate(field.until).await)
}

async fn trickle(field: Arc<Field>) -> io::Result<Fate> {
    let mut link = field.greeted().await?;
    link.stuff(&field.payload, field.until).await?;
    while !field.is_over() {
        sleep(TRICKLE).await;
        if link.send(b"\xc0").await.is_err() {
            break;
        }
    }
    Ok(link.fate(field.until + TRICKLE).await)
}

async fn byte_a_second(field: Arc<Field>) -> io::Result<Fate> {
    let mut link = field.greeted().await?;
    for byte in &field.payload {
        if field.is_over() || link.send(&[*byte]).await.is_err() {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    Ok(link.fate(field.until + TRICKLE).await)
}

/// Connects anew as often as the broker sends it away.
async fn send_again_and_again(field: Arc<Field>) -> io::Result<Fate> {
    let mut fate = Fate::Held;
    while !field.is_over() {
        let mut link = field.greeted().await?;
        // What cannot be sent any more was refused already.
        let _ = link.stuff(&field.payload, field.until).await;
        match link.fate(field.until).await {
            Fate::Held => {}
            other => fate = other,
        }
    }
    Ok(fate)
}

async fn reset_again_and_again(field: Arc<Field>) -> io::Result<Fate> {
    while !field.is_over() {
        let mut link = field.greeted().await?;
        link.stuff(&field.payload, field.until).await?;
        link.reset();
    }
    Ok(Fate::Answered)
}
