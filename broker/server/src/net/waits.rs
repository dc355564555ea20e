//! `Fetches`: what they and other small requests with tasks of their own occupy that are carried out, but for one of each connection that names few partitions, and
//! those that wait for records. A connection that asks for too many waits is refused; when the broker has too many, a
//! fetch is answered at once with what there is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use broker_model::limits::{
    FETCHES_BYTES_MAX, MEMORY_OWN_FETCHES, MEMORY_OWN_WAITS, WAITS_PER_CONNECTION, WAITS_TOTAL,
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::ceiling::{Allowance, Ceiling, Drawn};
use super::unfolding::MuchOfConnection;
use crate::counted::Counted;

/// What a poll weighs beside its partitions.
const POLL_WEIGHT: usize = 8;
/// What a partition takes while a poll waits for it, about.
const WAIT_BYTES: usize = 320;
/// Arguments up to this size name a handful of partitions, ...
const FEW_PARTITIONS_BYTES: usize = 256;
/// ... and such a fetch takes so much, about; ...
const OF_FEW_BYTES: usize = 4 * 1024;
/// ... so many of a connection that are under way at once are not counted.
const OF_FEW_UNCOUNTED: usize = 1;
/// So many of a connection wait for memory; others are told at once that there is none.
const WAITING_FOR_MEMORY_MAX: usize = 4;
/// Those up to this size are taken apart at once, when there is memory.
const TAKEN_APART_AT_ONCE_BYTES: usize = 2 * 1024;
/// Arguments take so many times as much when they are taken apart and their partitions are looked up.
const CARRIED_OUT_TIMES: usize = 16;

/// The fetches of a broker; cheap to clone.
#[derive(Clone)]
pub(crate) struct Fetches {
    carried_out: Allowance,
    waiting: Allowance,
}

/// What a fetch occupies while it is carried out; nothing that counts while it waits.
#[derive(Debug, Default)]
pub(crate) struct CarriedOut {
    drawn: Option<Drawn>,
    _of_few: Option<OfFew>,
}

/// One fetch of few partitions among those of its connection, or one of few that wait for memory.
type OfFew = Counted<Arc<AtomicUsize>>;

impl CarriedOut {
    fn of_few(one: OfFew) -> Self {
        Self {
            drawn: None,
            _of_few: Some(one),
        }
    }

    fn counted(drawn: Drawn) -> Self {
        Self {
            drawn: Some(drawn),
            _of_few: None,
        }
    }

    /// Goes on with no more than so much: a disk that hangs keeps it for long.
    pub(crate) fn keep(&mut self, bytes: usize) {
        if let Some(drawn) = &mut self.drawn {
            drawn.shrink_to(bytes);
        }
    }
}

/// The memory for fetches was used up for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FetchesFull;

impl FetchesFull {
    /// What the client is told.
    pub(crate) const MESSAGE: &str = "requests that are under way use up the memory for them";
}

/// The fetches of a connection; cheap to clone.
#[derive(Clone)]
pub(crate) struct FetchesOfConnection {
    own: Arc<Semaphore>,
    of_few: Arc<AtomicUsize>,
    for_memory: Arc<AtomicUsize>,
    input: Arc<Input>,
    much: Arc<MuchOfConnection>,
    total: Fetches,
}

/// What is known of what a connection still sends.
#[derive(Default)]
struct Input {
    has_ended: AtomicBool,
    ended: Notify,
}

/// One poll that waits; over when dropped.
#[derive(Debug)]
pub(crate) struct Wait {
    _own: OwnedSemaphorePermit,
    _memory: Drawn,
}

/// Why a poll may not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoWait {
    /// Its connection has too many that wait.
    Connection,
    /// The broker has.
    Broker,
}

impl Fetches {
    /// None yet.
    pub(super) fn below(ceiling: &Ceiling) -> Self {
        Self {
            carried_out: ceiling.allowance(MEMORY_OWN_FETCHES, FETCHES_BYTES_MAX),
            waiting: ceiling.allowance(MEMORY_OWN_WAITS, WAITS_TOTAL * WAIT_BYTES),
        }
    }

    /// The share of one connection.
    pub(super) fn for_connection(&self) -> FetchesOfConnection {
        FetchesOfConnection {
            own: Arc::new(Semaphore::new(WAITS_PER_CONNECTION)),
            of_few: Arc::default(),
            for_memory: Arc::default(),
            input: Arc::default(),
            much: Arc::default(),
            total: self.clone(),
        }
    }
}

impl FetchesOfConnection {
    /// Waits until then for memory to carry one out that has arguments of so many bytes.
    ///
    /// # Errors
    /// When there was none, or others of its connection wait for some.
    pub(crate) async fn memory(
        &self,
        args_bytes: usize,
        until: Instant,
    ) -> Result<CarriedOut, FetchesFull> {
        if let Some(one) = self.one_of_few(args_bytes) {
            return Ok(CarriedOut::of_few(one));
        }
        let bytes = carried_out_bytes(args_bytes).min(MEMORY_OWN_FETCHES);
        if let Some(drawn) = self.total.carried_out.try_take(bytes) {
            return Ok(CarriedOut::counted(drawn));
        }
        let one = OfFew::one_of_few(self.for_memory.clone(), WAITING_FOR_MEMORY_MAX);
        let _one = one.ok_or(FetchesFull)?;
        let drawn = timeout_at(until, self.total.carried_out.take(bytes)).await;
        drawn.map(CarriedOut::counted).map_err(|_| FetchesFull)
    }

    /// The same for one that may be taken apart at once, if there is memory for it now.
    pub(crate) fn memory_at_once(&self, args_bytes: usize) -> Option<CarriedOut> {
        if args_bytes > TAKEN_APART_AT_ONCE_BYTES {
            return None;
        }
        if let Some(one) = self.one_of_few(args_bytes) {
            return Some(CarriedOut::of_few(one));
        }
        let drawn = self
            .total
            .carried_out
            .try_take(carried_out_bytes(args_bytes));
        drawn.map(CarriedOut::counted)
    }

    /// Those that unfold much.
    pub(crate) fn much(&self) -> &MuchOfConnection {
        &self.much
    }

    fn one_of_few(&self, args_bytes: usize) -> Option<OfFew> {
        (args_bytes <= FEW_PARTITIONS_BYTES)
            .then(|| OfFew::one_of_few(self.of_few.clone(), OF_FEW_UNCOUNTED))
            .flatten()
    }

    /// Nothing more is read from the client, which may have gone, or the broker stops: its polls wait no longer.
    pub(crate) fn input_has_ended(&self) {
        self.input.has_ended.store(true, Ordering::Release);
        self.input.ended.notify_waiters();
    }

    /// Waits for that.
    pub(crate) async fn input_ended(&self) {
        // Before the look: it is woken by what comes after this, also before it waits.
        let ended = self.input.ended.notified();
        if !self.input.has_ended.load(Ordering::Acquire) {
            ended.await;
        }
    }

    /// Lets a poll wait for so many partitions.
    ///
    /// # Errors
    /// When too many wait already.
    pub(crate) fn enter(&self, partitions: usize) -> Result<Wait, NoWait> {
        let weight = partitions.saturating_add(POLL_WEIGHT);
        let permits = u32::try_from(weight).unwrap_or(u32::MAX);
        let own = self.own.clone().try_acquire_many_owned(permits);
        let own = own.map_err(|_| NoWait::Connection)?;
        let bytes = weight.saturating_mul(WAIT_BYTES);
        Ok(Wait {
            _own: own,
            _memory: self.total.waiting.try_take(bytes).ok_or(NoWait::Broker)?,
        })
    }
}

/// What a fetch takes that has arguments of so many bytes.
fn carried_out_bytes(args_bytes: usize) -> usize {
    args_bytes
        .saturating_mul(CARRIED_OUT_TIMES)
        .max(OF_FEW_BYTES)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_connection_cannot_take_every_wait() {
        let fetches = Fetches::below(&Ceiling::default());
        let greedy = fetches.for_connection();
        let held: Vec<_> = std::iter::from_fn(|| greedy.enter(1_000).ok()).collect();
        assert!(held.len() >= 2);
        assert_eq!(greedy.enter(1_000).err(), Some(NoWait::Connection));
        assert!(fetches.for_connection().enter(1_000).is_ok());
    }

    #[test]
    fn a_wait_that_is_over_makes_room() {
        let fetches = Fetches::below(&Ceiling::default());
        let mut held = Vec::new();
        let last = loop {
            match fetches.for_connection().enter(1_000) {
                Ok(wait) => held.push(wait),
                Err(reason) => break reason,
            }
        };
        assert_eq!(last, NoWait::Broker);
        assert_eq!(held.len(), WAITS_TOTAL / (1_000 + POLL_WEIGHT));
        held.pop();
        assert!(fetches.for_connection().enter(1_000).is_ok());
    }

    #[actix_rt::test]
    async fn the_end_of_the_input_is_told_to_who_waits_and_to_who_comes_later() {
        let own = Fetches::below(&Ceiling::default()).for_connection();
        let waiting = own.clone();
        let waiting = actix_rt::spawn(async move { waiting.input_ended().await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "nobody said so");
        own.input_has_ended();
        let told = async { tokio::join!(waiting, own.input_ended()) };
        let told = tokio::time::timeout(Duration::from_secs(30), told).await;
        assert!(matches!(told, Ok((Ok(()), ()))), "{told:?}");
    }

    fn full() -> (FetchesOfConnection, Drawn) {
        let fetches = Fetches::below(&Ceiling::default());
        let all = fetches.carried_out.charge(FETCHES_BYTES_MAX);
        (fetches.for_connection(), all)
    }

    fn in_a_minute() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(10)
    }

    #[actix_rt::test]
    async fn a_few_fetches_of_few_partitions_wait_for_nobody() {
        let (own, _all) = full();
        let mut under_way: Vec<_> = (0..OF_FEW_UNCOUNTED)
            .map_while(|_| own.memory_at_once(FEW_PARTITIONS_BYTES))
            .collect();
        assert_eq!(under_way.len(), OF_FEW_UNCOUNTED);
        for bytes in [FEW_PARTITIONS_BYTES, TAKEN_APART_AT_ONCE_BYTES] {
            assert!(own.memory_at_once(bytes).is_none(), "that is counted");
        }
        under_way.pop();
        assert!(own.memory_at_once(FEW_PARTITIONS_BYTES).is_some());
    }

    #[actix_rt::test]
    async fn a_wait_for_memory_has_an_end() {
        let (own, _all) = full();
        let many = own.memory(FEW_PARTITIONS_BYTES + 1, soon());
        let waited = tokio::time::timeout(Duration::from_secs(5), many).await;
        assert_eq!(waited.expect("it ends").err(), Some(FetchesFull));
    }

    #[actix_rt::test]
    async fn of_one_connection_only_some_wait_for_memory() {
        let (own, all) = full();
        let many = || FEW_PARTITIONS_BYTES + 1;
        let waiting = (0..WAITING_FOR_MEMORY_MAX).map(|_| {
            let own = own.clone();
            actix_rt::spawn(async move { own.memory(many(), in_a_minute()).await.is_ok() })
        });
        let waiting: Vec<_> = waiting.collect();
        tokio::task::yield_now().await;
        assert_eq!(
            own.memory(many(), in_a_minute()).await.err(),
            Some(FetchesFull)
        );
        drop(all);
        for one in waiting {
            assert_eq!(one.await.ok(), Some(true));
        }
        assert!(own.memory(many(), soon()).await.is_ok());
    }

    #[actix_rt::test]
    async fn memory_that_is_not_needed_to_go_on_is_others_meanwhile() {
        let fetches = Fetches::below(&Ceiling::default());
        let all_free = fetches.carried_out.free();
        let own = fetches.for_connection();
        let (took_apart, kept) = (64 * 1024, 1_000);
        let memory = own.memory(took_apart / CARRIED_OUT_TIMES, soon()).await;
        assert_eq!(fetches.carried_out.free(), all_free - took_apart);
        let mut memory = memory.expect("there is some");
        memory.keep(kept);
        assert_eq!(fetches.carried_out.free(), all_free - kept);
        drop(memory);
        assert_eq!(fetches.carried_out.free(), all_free);
    }

    #[actix_rt::test]
    async fn ten_thousand_connections_have_no_more_under_way_than_one_each_and_what_there_is_memory_for()
     {
        let fetches = Fetches::below(&Ceiling::default());
        let connections: Vec<_> = (0..10_000).map(|_| fetches.for_connection()).collect();
        let each = |own: &FetchesOfConnection| {
            let under_way = (0..128).map_while(|_| own.memory_at_once(FEW_PARTITIONS_BYTES));
            under_way.collect::<Vec<_>>()
        };
        let held: Vec<_> = connections.iter().map(each).collect();
        let counted: usize = held
            .iter()
            .map(|of_one| of_one.len() - OF_FEW_UNCOUNTED)
            .sum();
        assert_eq!(counted, FETCHES_BYTES_MAX / OF_FEW_BYTES);
    }
}
