//! Connections for their own sake: very many, idle, silent, or gone again at once.

use std::io;
use std::sync::Arc;

use super::{Attack, Field};
use crate::flood::link::Fate;

pub(super) const ATTACKS: [Attack; 4] = [
    Attack {
        name: "idle",
        what: "connections that say hello and nothing more",
        connections: 5_000,
        payload: Vec::new,
        offend: |field| Box::pin(idle(field)),
    },
    Attack {
        name: "silent",
        what: "connections that never say hello",
        connections: 2_000,
        payload: Vec::new,
        offend: |field| Box::pin(silent(field)),
    },
    Attack {
        name: "open-close",
        what: "connections that are opened and closed at once",
        connections: 200,
        payload: Vec::new,
        offend: |field| Box::pin(open_and_close(field)),
    },
    Attack {
        name: "too-many",
        what: "more connections than the broker takes",
        connections: 10_500,
        payload: Vec::new,
        offend: |field| Box::pin(silent(field)),
    },
];

async fn idle(field: Arc<Field>) -> io::Result<Fate> {
    let mut link = field.greeted().await?;
    Ok(link.fate(field.until).await)
}

async fn silent(field: Arc<Field>) -> io::Result<Fate> {
    let mut link = field.open().await?;
    Ok(link.fate(field.until).await)
}

async fn open_and_close(field: Arc<Field>) -> io::Result<Fate> {
    while !field.is_over() {
        drop(field.open().await?);
    }
    Ok(Fate::Answered)
}
