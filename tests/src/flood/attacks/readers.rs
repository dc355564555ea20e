//! Clients that ask and do not read, or read so slowly that it comes to the same.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, sleep_until};

use super::{Attack, Field};
use crate::flood::link::Fate;
use crate::flood::message::{Fetch, Message, request};
use crate::flood::stage;

/// A fetch of the most that one may ask for, of one partition.
const ONE: Fetch = Fetch {
    form: "records",
    wait_ms: 0,
    offset: 0,
    partitions: 1,
    bytes_max: 8 * 1024 * 1024,
};
const BATCHES: Fetch = Fetch {
    form: "batch",
    ..ONE
};
/// One of 1,000 partitions.
const WIDE: Fetch = Fetch {
    partitions: 1_000,
    ..BATCHES
};
const POLL: Fetch = Fetch {
    wait_ms: 60_000,
    ..ONE
};
const WIDE_POLL: Fetch = Fetch {
    wait_ms: 60_000,
    ..WIDE
};
/// How long after the attack a connection may take to say what became of it.
const LAST_LOOK: Duration = Duration::from_millis(500);

pub(super) const ATTACKS: [Attack; 11] = [
    Attack {
        name: "unread-records",
        what: "fetches of 8 MiB of decoded records, never read",
        connections: 1_000,
        payload: || fetches(4, ONE, stage::PLAIN),
        offend: |field| Box::pin(ask_and_not_read(field)),
    },
    Attack {
        name: "unread-unfolded",
        what: "fetches of small stored batches that unfold to much, never read",
        connections: 100,
        payload: || fetches(128, ONE, stage::PACKED),
        offend: |field| Box::pin(ask_and_not_read(field)),
    },
    Attack {
        name: "unread-batches",
        what: "fetches of 8 MiB of stored batches, never read",
        connections: 1_000,
        payload: || fetches(4, BATCHES, stage::PLAIN),
        offend: |field| Box::pin(ask_and_not_read(field)),
    },
    Attack {
        name: "unread-nothing",
        what: "fetches of 1,000 partitions of which there is nothing to tell, never read",
        connections: 200,
        payload: || fetches(128, WIDE, stage::WIDE),
        offend: |field| Box::pin(ask_and_not_read(field)),
    },
    Attack {
        name: "unread-polls",
        what: "as many long polls as a connection takes of what is there, never read",
        connections: 1_000,
        payload: || fetches(128, POLL, stage::PLAIN),
        offend: |field| Box::pin(ask_and_not_read(field)),
    },
    Attack {
        name: "unread-metadata",
        what: "pipelines of metadata requests whose answers nobody reads",
        connections: 200,
        payload: || repeated(500, |id| request(id, "metadata", Message::new().map(0))),
        offend: |field| Box::pin(ask_and_not_read(field)),
    },
    Attack {
        name: "unread-lists",
        what: "pipelines of large lists whose answers nobody reads",
        connections: 200,
        payload: lists,
        offend: |field| Box::pin(ask_and_not_read(field)),
    },
    Attack {
        name: "lookups",
        what: "searches by time whose answers nobody reads, as many as go",
        connections: 1_000,
        payload: || repeated(128, lookup),
        offend: |field| Box::pin(ask_on_and_not_read(field)),
    },
    Attack {
        name: "unread-pings",
        what: "endless pings whose answers nobody reads",
        connections: 200,
        payload: || repeated(10_000, |id| request(id, "ping", Message::new().map(0))),
        offend: |field| Box::pin(ask_on_and_not_read(field)),
    },
    Attack {
        name: "slow-readers",
        what: "fetches of 8 MiB of decoded records, read a byte at a time",
        connections: 200,
        payload: || fetches(4, ONE, stage::PLAIN),
        offend: |field| Box::pin(ask_and_read_slowly(field)),
    },
    Attack {
        name: "long-polls",
        what: "as many long polls as a connection takes, on 1,000 partitions each",
        connections: 100,
        payload: || fetches(128, WIDE_POLL, stage::WIDE),
        offend: |field| Box::pin(ask_and_wait(field)),
    },
];

fn repeated(times: u64, one: impl Fn(u64) -> Vec<u8>) -> Vec<u8> {
    (2..2 + times).flat_map(one).collect()
}

fn fetches(times: u64, fetch: Fetch, topic: &str) -> Vec<u8> {
    repeated(times, |id| fetch.request(id, topic))
}

/// Another time in each partition.
fn lookup(id: u64) -> Vec<u8> {
    let mut args = Message::new().map(1).text("partitions").array(4);
    for time in 0..4 {
        let question = Message::new().map(3).text("topic").text(stage::PLAIN);
        let question = question.text("partition").number(0);
        args = args.raw(&question.text("at").number(id + time).into_bytes());
    }
    request(id, "list_offsets", args)
}

fn lists() -> Vec<u8> {
    repeated(128, |id| match id % 3 {
        0 => request(
            id,
            "describe_topic",
            Message::new().map(1).text("name").text(stage::WIDE),
        ),
        1 => request(id, "describe_cluster", Message::new().map(0)),
        _ => request(id, "list_actors", Message::new().map(0)),
    })
}

async fn ask_and_not_read(field: Arc<Field>) -> io::Result<Fate> {
    let mut link = field.greeted().await?;
    if link.stuff(&field.payload, field.until).await.is_err() {
        return Ok(Fate::Closed);
    }
    sleep_until(field.until).await;
    Ok(link.fate(field.until + LAST_LOOK).await)
}

async fn ask_on_and_not_read(field: Arc<Field>) -> io::Result<Fate> {
    let mut link = field.greeted().await?;
    while !field.is_over() {
        if link.stuff(&field.payload, field.until).await.is_err() {
            return Ok(Fate::Closed);
        }
    }
    Ok(link.fate(field.until + LAST_LOOK).await)
}

async fn ask_and_read_slowly(field: Arc<Field>) -> io::Result<Fate> {
    let mut link = field.greeted().await?;
    if link.stuff(&field.payload, field.until).await.is_err() {
        return Ok(Fate::Closed);
    }
    while !field.is_over() {
        sleep(Duration::from_millis(50)).await;
        match link.sip().await {
            Ok(0) | Err(_) => return Ok(Fate::Closed),
            Ok(_) => {}
        }
    }
    Ok(Fate::Held)
}

async fn ask_and_wait(field: Arc<Field>) -> io::Result<Fate> {
    let mut link = field.greeted().await?;
    if link.stuff(&field.payload, field.until).await.is_err() {
        return Ok(Fate::Closed);
    }
    Ok(link.fate(field.until).await)
}
