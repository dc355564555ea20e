//! The attacks, each as what one of its connections does. How many of them there are and for how long is
//! decided elsewhere, so that the same attack is a test in the small and a flood in full size.

mod bombs;
mod connections;
mod control;
mod frames;
mod readers;
mod requests;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::link::{Fate, Link};

/// What the connections of an attack share.
#[derive(Debug)]
pub struct Field {
    /// Where the broker listens.
    pub address: String,
    /// When the attack ends.
    pub until: Instant,
    /// Bytes that every connection sends, made once.
    pub payload: Vec<u8>,
    /// How many connect at the same time.
    pub connecting: Semaphore,
}

impl Field {
    /// A connection that has said hello.
    async fn greeted(&self) -> io::Result<Link> {
        let _turn = self.connecting.acquire().await;
        Link::greeted(&self.address).await
    }

    /// A connection that has said nothing.
    async fn open(&self) -> io::Result<Link> {
        let _turn = self.connecting.acquire().await;
        Link::open(&self.address).await
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }
}

/// What one connection of an attack does, until the attack ends or the broker has had enough.
pub type Offence = Pin<Box<dyn Future<Output = io::Result<Fate>> + Send>>;

/// One way to misbehave.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// Its name.
    pub name: &'static str,
    /// What it does, in a line.
    pub what: &'static str,
    /// Connections in full size.
    pub connections: usize,
    /// What every connection sends.
    pub payload: fn() -> Vec<u8>,
    /// What one connection does.
    pub offend: fn(Arc<Field>) -> Offence,
}

/// All of them.
pub fn all() -> Vec<Attack> {
    let groups = [
        frames::ATTACKS.as_slice(),
        connections::ATTACKS.as_slice(),
        readers::ATTACKS.as_slice(),
        requests::ATTACKS.as_slice(),
        bombs::ATTACKS.as_slice(),
    ];
    groups.concat()
}

/// What to compare them with: nobody asks the broker for anything, but every core is busy.
pub const CONTROL: Attack = control::BUSY_CPU;

/// The attack of that name.
pub fn named(name: &str) -> Option<Attack> {
    let mut known = all().into_iter().chain([CONTROL]);
    known.find(|attack| attack.name == name)
}
