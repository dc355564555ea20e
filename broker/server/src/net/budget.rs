//! Back-pressure in bytes: what requests may occupy, per connection and on the whole broker. A request's
//! permits are given back when its answer has been written. Frames draw on the budget of their size, so that
//! senders of large ones never hold up small requests. Those who never completed so large a frame share a part of
//! it, those whose frames are much work another. Whoever holds a place with half a frame and does not send on loses it as soon as others wait for it. What answers occupy is in `answer_budget`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use broker_model::limits::{
    FRAME_BYTES_MAX, FRAME_STALL_MAX, FRAMES_INCOMPLETE_BYTES_MAX, IN_FLIGHT_BYTES_BATCHES,
    IN_FLIGHT_BYTES_LARGE, IN_FLIGHT_BYTES_PER_CONNECTION, IN_FLIGHT_BYTES_SMALL,
    IN_FLIGHT_BYTES_TINY, IN_FLIGHT_REQUESTS_PER_CONNECTION, READ_BUFFER_TRUSTED_BYTES,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer_budget::{AnswerBudget, UnreadAnswers};
use super::routing::Routing;
use super::unfolding::Unfolding;
use super::waits::{Waits, WaitsOfConnection};
use crate::background::Workers;

/// A frame up to this size is read before it takes its place.
pub(crate) const TINY_FRAME_BYTES: usize = 16 * 1024;
/// A frame up to this size carries one batch of the default `message.max.bytes`, or two.
const BATCH_FRAME_BYTES: usize = 2 * 1024 * 1024;
/// With more frames waiting than this, a newcomer's that stands still loses its place sooner.
const WAITING_FRAMES_MANY: usize = 16;
/// How much sooner.
const HASTE: u32 = 4;
/// A connection is known to complete frames up to so many times the largest one that it has completed.
const KNOWN_BY: usize = 2;
/// Which part of the places may be newcomers'.
const NEWCOMERS_PART: usize = 2;
/// Which part may be theirs whose frames are much work.
const COSTLY_PART: usize = 4;

/// The broker-wide budget; cheap to clone.
#[derive(Clone)]
pub(crate) struct RequestBudget {
    frames: Arc<Frames>,
    answers: UnreadAnswers,
    waits: Waits,
    unfolding: Unfolding,
    routing: Routing,
    modules: Arc<Semaphore>,
}

/// Places for frames, by size, and the tiny frames that have begun and are not complete.
struct Frames {
    tiny: Places,
    small: Places,
    batches: Places,
    large: Places,
    incomplete_bytes: AtomicUsize,
}

/// Bytes that frames of one size may occupy. Of a connection that never did it is not known whether it will send
/// the other half of a frame, and frames that are much work keep their places long: those have to leave the rest
/// to others.
struct Places {
    all: Room,
    newcomers: Room,
    costly: Room,
}

/// Bytes, and how many frames wait for some.
struct Room {
    bytes: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Places {
    /// For frames up to `frame_bytes_max`, each of which fits every part.
    fn new(bytes: usize, frame_bytes_max: usize) -> Self {
        Self {
            all: Room::new(bytes),
            newcomers: Room::new(bytes / NEWCOMERS_PART),
            costly: Room::new((bytes / COSTLY_PART).max(frame_bytes_max)),
        }
    }
}

impl Room {
    fn new(bytes: usize) -> Self {
        Self {
            bytes: Arc::new(Semaphore::new(bytes)),
            waiting: AtomicUsize::new(0),
        }
    }

    fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    async fn enter(&self, bytes: u32) -> OwnedSemaphorePermit {
        match self.bytes.clone().try_acquire_many_owned(bytes) {
            Ok(permit) => permit,
            Err(_) => {
                let _in_line = InLine::enter(&self.waiting);
                acquire(&self.bytes, bytes).await
            }
        }
    }
}

impl Frames {
    fn places(&self, frame_bytes: usize) -> &Places {
        match frame_bytes {
            tiny if tiny <= TINY_FRAME_BYTES => &self.tiny,
            small if small <= READ_BUFFER_TRUSTED_BYTES => &self.small,
            batch if batch <= BATCH_FRAME_BYTES => &self.batches,
            _ => &self.large,
        }
    }
}

impl RequestBudget {
    /// The budget of a broker that has these threads for what takes long.
    pub(crate) fn new(workers: Workers) -> Self {
        Self {
            frames: Arc::new(Frames {
                tiny: Places::new(IN_FLIGHT_BYTES_TINY, TINY_FRAME_BYTES),
                small: Places::new(IN_FLIGHT_BYTES_SMALL, READ_BUFFER_TRUSTED_BYTES),
                batches: Places::new(IN_FLIGHT_BYTES_BATCHES, BATCH_FRAME_BYTES),
                large: Places::new(IN_FLIGHT_BYTES_LARGE, FRAME_BYTES_MAX),
                incomplete_bytes: AtomicUsize::new(0),
            }),
            answers: UnreadAnswers::default(),
            waits: Waits::default(),
            unfolding: Unfolding::by(workers),
            routing: Routing::default(),
            modules: Arc::new(Semaphore::new(1)),
        }
    }

    /// The share of one connection.
    pub(crate) fn for_connection(&self) -> ConnectionBudget {
        ConnectionBudget {
            frames: self.frames.clone(),
            bytes: Arc::new(Semaphore::new(IN_FLIGHT_BYTES_PER_CONNECTION)),
            requests: Arc::new(Semaphore::new(IN_FLIGHT_REQUESTS_PER_CONNECTION)),
            completed: AtomicUsize::new(0),
            is_costly: AtomicBool::new(false),
            answers: self.answers.for_connection(),
            waits: self.waits.for_connection(),
        }
    }

    /// Waits until a plugin module may be compiled, which takes many times its size: one at a time.
    pub(crate) async fn module_turn(&self) -> OwnedSemaphorePermit {
        acquire(&self.modules, 1).await
    }

    /// Memory for records on their way through plugins.
    pub(crate) fn routing(&self) -> &Routing {
        &self.routing
    }

    /// Memory for batches that unfold to much.
    pub(crate) fn unfolding(&self) -> &Unfolding {
        &self.unfolding
    }
}

/// What one connection may have under way.
pub(crate) struct ConnectionBudget {
    frames: Arc<Frames>,
    bytes: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    /// Bytes of the largest frame that was completed, since the last one that was much work.
    completed: AtomicUsize,
    /// Whether the last large frame was much work.
    is_costly: AtomicBool,
    answers: AnswerBudget,
    waits: WaitsOfConnection,
}

/// The place one request holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    _request: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
    _total: OwnedSemaphorePermit,
    part: Option<OwnedSemaphorePermit>,
}

/// A tiny frame that has begun and holds no place yet; counted as long as it lives.
pub(crate) struct Incomplete {
    frames: Arc<Frames>,
    bytes: usize,
}

impl Drop for Incomplete {
    fn drop(&mut self) {
        self.frames
            .incomplete_bytes
            .fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Counts a frame among those that wait, also when its connection ends meanwhile.
struct InLine<'a>(&'a AtomicUsize);

impl<'a> InLine<'a> {
    fn enter(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ConnectionBudget {
    /// Waits until a request with a frame of `frame_bytes` may be read.
    ///
    /// # Panics
    /// Never: the semaphores are not closed and a frame is below every budget.
    pub(crate) async fn acquire(&self, frame_bytes: usize) -> InFlight {
        let bytes = u32::try_from(frame_bytes).unwrap_or(u32::MAX);
        let places = self.frames.places(frame_bytes);
        let request = acquire(&self.requests, 1).await;
        let own = acquire(&self.bytes, bytes).await;
        let part = match self.part(places, frame_bytes) {
            None => None,
            Some(part) => Some(part.enter(bytes).await),
        };
        InFlight {
            _request: request,
            _bytes: own,
            _total: places.all.enter(bytes).await,
            part,
        }
    }

    /// A frame was complete, and carrying it out is little work: its sender is a newcomer no more.
    pub(crate) fn trust(&self, frame_bytes: usize, place: &mut InFlight) {
        self.completed.fetch_max(frame_bytes, Ordering::Relaxed);
        self.is_costly.store(false, Ordering::Relaxed);
        place.part = None;
    }

    /// A frame is much work: it leaves the newcomers' part, and its sender takes the part of those from now on.
    /// Answers whether there is room in that part; without it the frame keeps the place that it has.
    pub(crate) fn distrust(&self, frame_bytes: usize, place: &mut InFlight) -> bool {
        self.completed.store(0, Ordering::Relaxed);
        if self.is_costly.swap(true, Ordering::Relaxed) {
            return true;
        }
        let bytes = u32::try_from(frame_bytes).unwrap_or(u32::MAX);
        let room = &self.frames.places(frame_bytes).costly.bytes;
        let permit = room.clone().try_acquire_many_owned(bytes).ok();
        let has_room = permit.is_some();
        if has_room {
            place.part = permit;
        }
        has_room
    }

    /// The part that a frame of this size has to leave the rest alone for; none for those who completed such
    /// frames before, or nearly, and for tiny ones, which take a place when they are complete.
    fn part<'a>(&self, places: &'a Places, frame_bytes: usize) -> Option<&'a Room> {
        let known = self.completed.load(Ordering::Relaxed) * KNOWN_BY;
        if frame_bytes <= known.max(TINY_FRAME_BYTES) {
            None
        } else if self.is_costly.load(Ordering::Relaxed) {
            Some(&places.costly)
        } else {
            Some(&places.newcomers)
        }
    }

    /// Counts a tiny frame of which `bytes` have come.
    pub(crate) fn begin(&self, bytes: usize) -> Incomplete {
        let frames = self.frames.clone();
        frames.incomplete_bytes.fetch_add(bytes, Ordering::Relaxed);
        Incomplete { frames, bytes }
    }

    /// How long a frame of this size may stand still just now; `None` while nobody minds.
    pub(crate) fn stall_max(&self, frame_bytes: usize) -> Option<Duration> {
        if frame_bytes <= TINY_FRAME_BYTES {
            let begun = self.frames.incomplete_bytes.load(Ordering::Relaxed);
            return (begun > FRAMES_INCOMPLETE_BYTES_MAX).then_some(FRAME_STALL_MAX);
        }
        let places = self.frames.places(frame_bytes);
        let Some(part) = self.part(places, frame_bytes) else {
            return (places.all.waiting() > 0).then_some(FRAME_STALL_MAX);
        };
        match places.all.waiting() + part.waiting() {
            0 => None,
            1..=WAITING_FRAMES_MANY => Some(FRAME_STALL_MAX),
            _ => Some(FRAME_STALL_MAX / HASTE),
        }
    }

    /// What its answers may occupy.
    pub(crate) fn answers(&self) -> &AnswerBudget {
        &self.answers
    }

    /// What its long polls may wait for.
    pub(crate) fn waits(&self) -> &WaitsOfConnection {
        &self.waits
    }

    /// Whether a request of this connection is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.requests.available_permits() == IN_FLIGHT_REQUESTS_PER_CONNECTION
    }
}

async fn acquire(semaphore: &Arc<Semaphore>, permits: u32) -> OwnedSemaphorePermit {
    if let Ok(permit) = semaphore.clone().try_acquire_many_owned(permits) {
        return permit;
    }
    semaphore
        .clone()
        .acquire_many_owned(permits)
        .await
        .expect("budgets are never closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    /// A connection that has completed a frame of this size.
    fn known_for(budget: &RequestBudget, bytes: usize) -> ConnectionBudget {
        let connection = budget.for_connection();
        connection.completed.store(bytes, Ordering::Relaxed);
        connection
    }

    #[actix_rt::test]
    async fn frames_of_one_size_do_not_take_the_place_of_another() {
        let budget = RequestBudget::new(Workers::of_this_runtime());
        let mut held = Vec::new();
        let mut fill = async |size: usize, total: usize| {
            for _ in 0..total / size {
                held.push(known_for(&budget, size).acquire(size).await);
            }
        };
        fill(16 * MIB, IN_FLIGHT_BYTES_LARGE).await;
        assert_eq!(budget.frames.large.all.bytes.available_permits(), 0);
        let batch = budget.for_connection();
        let _permit = batch.acquire(MIB).await;
        fill(MIB, IN_FLIGHT_BYTES_BATCHES - MIB).await;
        fill(128 * 1024, IN_FLIGHT_BYTES_SMALL).await;
        let tiny = budget.for_connection();
        let _permit = tiny.acquire(100).await;
        assert!(!tiny.is_idle());
    }

    #[actix_rt::test]
    async fn newcomers_do_not_hold_up_those_who_have_completed_frames() {
        let budget = RequestBudget::new(Workers::of_this_runtime());
        let mut held = Vec::new();
        for _ in 0..IN_FLIGHT_BYTES_BATCHES / MIB / NEWCOMERS_PART {
            held.push(budget.for_connection().acquire(MIB).await);
        }
        let newcomer = budget.for_connection();
        let waiting = actix_rt::spawn(async move { newcomer.acquire(MIB).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "newcomers have their part");
        let known = known_for(&budget, MIB);
        let mut place = known.acquire(MIB).await;
        assert_eq!(known.stall_max(MIB), None, "it is in nobody's way");
        assert_eq!(
            budget.for_connection().stall_max(MIB),
            Some(FRAME_STALL_MAX)
        );
        known.trust(MIB, &mut place);
        let large = &budget.frames.large;
        assert!(
            known.part(large, 4 * MIB).is_some(),
            "nobody knows that of it"
        );
        held.pop();
        let mut place = waiting.await.unwrap();
        budget.for_connection().trust(MIB, &mut place);
        let _next = budget.for_connection().acquire(MIB).await;
        let mut place = known.acquire(MIB).await;
        assert!(known.distrust(MIB, &mut place));
        drop(place);
        let place = known.acquire(MIB).await;
        assert!(place.part.is_some(), "it sends what is much work");
        let costly = budget.frames.batches.costly.bytes.available_permits();
        assert_eq!(costly, IN_FLIGHT_BYTES_BATCHES / COSTLY_PART - MIB);
    }

    #[actix_rt::test]
    async fn a_permit_is_given_back_when_dropped() {
        let connection = RequestBudget::new(Workers::of_this_runtime()).for_connection();
        let permit = connection.acquire(1_000).await;
        drop(permit);
        assert!(connection.is_idle());
        assert_eq!(
            connection.bytes.available_permits(),
            IN_FLIGHT_BYTES_PER_CONNECTION
        );
    }

    #[actix_rt::test]
    async fn a_frame_may_stand_still_as_long_as_nobody_waits_for_its_place() {
        let budget = RequestBudget::new(Workers::of_this_runtime());
        let holder = known_for(&budget, 16 * MIB);
        let held = holder.acquire(16 * MIB).await;
        let second = budget.for_connection().acquire(16 * MIB).await;
        assert_eq!(holder.stall_max(16 * MIB), None);
        let waiter = known_for(&budget, 16 * MIB);
        let waiting = actix_rt::spawn(async move { drop(waiter.acquire(16 * MIB).await) });
        tokio::task::yield_now().await;
        assert_eq!(holder.stall_max(16 * MIB), Some(FRAME_STALL_MAX));
        assert_eq!(holder.stall_max(MIB), None, "another size");
        drop(held);
        waiting.await.unwrap();
        assert_eq!(holder.stall_max(16 * MIB), None);
        drop(second);
    }

    #[actix_rt::test]
    async fn tiny_frames_that_do_not_end_are_counted() {
        let budget = RequestBudget::new(Workers::of_this_runtime());
        let connection = budget.for_connection();
        let begun = connection.begin(FRAMES_INCOMPLETE_BYTES_MAX + 1);
        assert_eq!(connection.stall_max(100), Some(FRAME_STALL_MAX));
        drop(begun);
        assert_eq!(connection.stall_max(100), None);
    }
}
