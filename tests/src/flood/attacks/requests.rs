//! Requests that are well-formed and as many, as large or as costly as the broker lets them be.

use std::io;
use std::sync::Arc;

use broker_model::limits;

use super::{Attack, Field};
use crate::flood::link::Fate;
use crate::flood::message::{
    Message, error_name, notification, produce, records, request, to_partition,
};
use crate::flood::stage;

pub(super) const ATTACKS: [Attack; 11] = [
    Attack {
        name: "tiny-requests",
        what: "pings and requests for nothing, as many as go",
        connections: 100,
        payload: || {
            let ping = |id| request(id, "ping", Message::new().map(0));
            (2..102).flat_map(ping).collect()
        },
        offend: |field| Box::pin(ask_in_pipelines(field)),
    },
    Attack {
        name: "tiny-produces",
        what: "batches of one record to one partition, as many as go",
        connections: 100,
        payload: || {
            let one = records(1, 10);
            (2..102)
                .flat_map(|id| produce(id, stage::TARGET, &one))
                .collect()
        },
        offend: |field| Box::pin(ask_in_pipelines(field)),
    },
    Attack {
        name: "notifications",
        what: "metadata and produce as notifications, tiny and large, as many as go",
        connections: 100,
        payload: notifications,
        offend: |field| Box::pin(say_on(field)),
    },
    Attack {
        name: "many-keys",
        what: "partition_for of 100,000 keys",
        connections: 50,
        payload: || {
            let args = Message::new().map(2).text("topic").text(stage::WIDE);
            let mut args = args.text("keys").array(100_000);
            for key in 0..100_000_u32 {
                args = args.bin(&key.to_be_bytes());
            }
            request(2, "partition_for", args)
        },
        offend: |field| Box::pin(ask_again_and_again(field)),
    },
    Attack {
        name: "many-names",
        what: "metadata about 10,000 topics that do not exist",
        connections: 50,
        payload: || request(2, "metadata", many_names(10_000)),
        offend: |field| Box::pin(ask_again_and_again(field)),
    },
    Attack {
        name: "empty-names",
        what: "metadata about 15 million topics without a name",
        connections: 50,
        payload: || {
            let names = 15_000_000;
            let args = Message::new().map(1).text("topics").array(names);
            let empty = vec![0xa0; 15_000_000];
            request(2, "metadata", args.raw(&empty))
        },
        offend: |field| Box::pin(ask_again_and_again(field)),
    },
    Attack {
        name: "routed-nothing",
        what: "2 MiB of records with nothing in them, to be routed",
        connections: 50,
        payload: || routed_nothing(600_000),
        offend: |field| Box::pin(ask_again_and_again(field)),
    },
    Attack {
        name: "routed-little",
        what: "records with nothing in them, to be routed, as many as a request may have",
        connections: 50,
        payload: || routed_nothing(limits::PLUGIN_BATCH_RECORDS_MAX),
        offend: |field| Box::pin(ask_again_and_again(field)),
    },
    Attack {
        name: "empty-elements",
        what: "16 MiB of records with nothing in them",
        connections: 50,
        payload: || {
            let count = 5_000_000;
            let mut all = Message::new().array(count);
            let some = [0x92, 0xc0, 0xc0].repeat(1_000);
            for _ in 0..count / 1_000 {
                all = all.raw(&some);
            }
            produce(2, stage::TARGET, &all.into_bytes())
        },
        offend: |field| Box::pin(ask_again_and_again(field)),
    },
    Attack {
        name: "deploys",
        what: "deployments of modules of 16 MiB that are none",
        connections: 50,
        payload: || {
            let mut module = b"\0asm\x01\0\0\0".to_vec();
            module.resize(15 * 1024 * 1024, 0);
            let args = Message::new().map(2).text("name").text("flood");
            request(2, "deploy_plugin", args.text("module").bin(&module))
        },
        offend: |field| Box::pin(ask_again_and_again(field)),
    },
    Attack {
        name: "dry-runs",
        what: "dry runs, as many as go",
        connections: 50,
        payload: || {
            let args = Message::new().map(2).text("topic").text(stage::PLAIN);
            request(2, "dry_run_plugin", args.text("plugin").text("key-hash"))
        },
        offend: |field| Box::pin(ask_again_and_again(field)),
    },
];

/// `produce` without a partition, of so many records without a key and a value.
fn routed_nothing(count: u32) -> Vec<u8> {
    let args = Message::new().map(2).text("topic").text(stage::WIDE);
    let mut args = args.text("records").array(count);
    for _ in 0..count {
        args = args.raw(&[0x92, 0xc0, 0xc0]);
    }
    request(2, "produce", args)
}

/// What `metadata` about so many topics takes.
fn many_names(count: u32) -> Message {
    let mut args = Message::new().map(1).text("topics").array(count);
    for name in 0..count {
        args = args.text(&format!("{name:0>200}"));
    }
    args
}

fn notifications() -> Vec<u8> {
    let one = records(1, 10);
    let mut all = Vec::new();
    for _ in 0..100 {
        all.extend(notification("metadata", Message::new().map(0)));
        all.extend(notification("produce", to_partition(stage::TARGET, &one)));
    }
    all.extend(notification("metadata", many_names(5_000)));
    all
}

/// Sends without end and reads nothing: there is nothing to read.
async fn say_on(field: Arc<Field>) -> io::Result<Fate> {
    let mut link = field.greeted().await?;
    while !field.is_over() {
        if link.stuff(&field.payload, field.until).await.is_err() {
            return Ok(Fate::Closed);
        }
    }
    Ok(Fate::Held)
}

/// One request at a time, the next when the answer has come.
pub(super) async fn ask_again_and_again(field: Arc<Field>) -> io::Result<Fate> {
    let mut link = field.greeted().await?;
    let mut fate = Fate::Held;
    while !field.is_over() {
        if link.stuff(&field.payload, field.until).await.is_err() {
            return Ok(link.fate(field.until).await);
        }
        match link.receive(field.until).await {
            Ok(Some(body)) => {
                fate = match error_name(&body) {
                    None => Fate::Answered,
                    Some(name) => Fate::Refused(name),
                }
            }
            Ok(None) => return Ok(Fate::Closed),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(fate),
            Err(_) => return Ok(Fate::Closed),
        }
    }
    Ok(fate)
}

/// A hundred requests at a time.
async fn ask_in_pipelines(field: Arc<Field>) -> io::Result<Fate> {
    let mut link = field.greeted().await?;
    let mut fate = Fate::Answered;
    while !field.is_over() {
        if link.stuff(&field.payload, field.until).await.is_err() {
            return Ok(Fate::Closed);
        }
        for _ in 0..100 {
            match link.receive(field.until).await {
                Ok(Some(body)) => {
                    if let Some(name) = error_name(&body) {
                        fate = Fate::Refused(name);
                    }
                }
                Ok(None) => return Ok(Fate::Closed),
                Err(_) => return Ok(fate),
            }
        }
    }
    Ok(fate)
}
