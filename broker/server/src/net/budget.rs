//! Back-pressure in bytes: what requests may occupy, per connection and on the whole broker. A request's
//! permits are given back when its answer has been written, those for its frame when it was answered. Frames draw on the budget of their size, so that
//! senders of large ones never hold up small requests. Those who never completed so large a frame share a part of
//! it, those whose frames are much work another: `standing` tells who is who. Whoever holds a place with half a frame
//! and does not send on loses it as soon as others wait for it. What answers occupy is in `answer_budget`, what all of
//! this may occupy together in `ceiling`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use broker_model::limits::{
    FRAME_BYTES_MAX, FRAME_STALL_MAX, FRAMES_INCOMPLETE_BYTES_MAX, IN_FLIGHT_BYTES_BATCHES,
    IN_FLIGHT_BYTES_LARGE, IN_FLIGHT_BYTES_PER_CONNECTION, IN_FLIGHT_BYTES_SMALL,
    IN_FLIGHT_BYTES_TINY, IN_FLIGHT_REQUESTS_PER_CONNECTION, LIST_REQUESTS_PER_CONNECTION,
    MEMORY_IN_COMMON, MEMORY_OWN_BATCHES, MEMORY_OWN_LARGE, MEMORY_OWN_SMALL,
    READ_BUFFER_TRUSTED_BYTES,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer_budget::{AnswerBudget, UnreadAnswers};
use super::ceiling::{Allowance, Ceiling, Drawn};
use super::changes::{Changes, ChangesOfConnection};
use super::list_requests::ListRequests;
use super::routing::Routing;
use super::standing::{InFlight, Sender, Standing};
use super::unfolding::Unfolding;
use super::waits::{Fetches, FetchesOfConnection};
use crate::background::Workers;
use crate::counted::Counted;

/// A frame up to this size is read before it takes its place.
pub(crate) const TINY_FRAME_BYTES: usize = 16 * 1024;
/// So much is read of one of whom nothing is known before its frame has a place.
pub(super) const NEWCOMER_READ_BYTES: usize = 4 * 1024;
/// Who may have fewer requests more under way is far ahead of their answers.
const FAR_AHEAD_FROM: usize = IN_FLIGHT_REQUESTS_PER_CONNECTION / 2;
/// A frame up to this size carries one batch of the default `message.max.bytes`, or two.
const BATCH_FRAME_BYTES: usize = 2 * 1024 * 1024;
/// With more frames waiting than this, a newcomer's that stands still loses its place sooner.
const WAITING_FRAMES_MANY: usize = 16;
/// How much sooner.
const HASTE: u32 = 4;
/// How much more the bytes of somebody count who is not known to send frames that are little work.
const CAUTION: usize = 4;
/// Which part of the places may be newcomers'.
const NEWCOMERS_PART: usize = 2;
/// Which part may be theirs whose frames are much work.
const COSTLY_PART: usize = 4;
/// Compiling a module takes so many times its bytes, about.
const COMPILED_TIMES: usize = 8;
/// It counts for so many at most: others need some of what is in common also while a large one is compiled, for which
/// it may take long to get a thread.
const COMPILING_BYTES_MAX: usize = MEMORY_IN_COMMON / 2;

/// The broker-wide budget; cheap to clone.
#[derive(Clone)]
pub(crate) struct RequestBudget {
    frames: Arc<Frames>,
    answers: UnreadAnswers,
    fetches: Fetches,
    lists: ListRequests,
    changes: Changes,
    unfolding: Unfolding,
    routing: Routing,
    modules: Arc<Semaphore>,
    compiling: Allowance,
}

/// A module's turn to be compiled; over when dropped.
#[derive(Debug)]
pub(crate) struct ModuleTurn {
    _turn: OwnedSemaphorePermit,
    _memory: Drawn,
}

/// Places for frames, by size, and the tiny frames that have begun and are not complete.
#[derive(Debug)]
pub(super) struct Frames {
    tiny: Places,
    small: Places,
    batches: Places,
    large: Places,
    incomplete_bytes: AtomicUsize,
}

/// Bytes that frames of one size may occupy. Of a connection that never did it is not known whether it will send
/// the other half of a frame, and frames that are much work keep their places long: those have to leave the rest
/// to others.
#[derive(Debug)]
pub(super) struct Places {
    all: Room,
    newcomers: Room,
    pub(super) costly: Room,
    /// Tiny frames draw on nothing else: they go on whatever others have.
    memory: Option<MemoryForFrames>,
}

/// What frames of one size draw on besides. What they have of their own is for known senders.
#[derive(Debug)]
struct MemoryForFrames {
    of_known: Allowance,
    of_others: Allowance,
}

/// Bytes, and how many frames wait for some.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) bytes: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Places {
    /// For frames up to `frame_bytes_max`, each of which fits every part.
    fn new(bytes: usize, frame_bytes_max: usize) -> Self {
        Self {
            all: Room::new(bytes),
            newcomers: Room::new(bytes / NEWCOMERS_PART),
            costly: Room::new((bytes / COSTLY_PART).max(frame_bytes_max)),
            memory: None,
        }
    }

    /// With so many bytes of their own of the memory that they share with everything else.
    fn below(self, ceiling: &Ceiling, own: usize, bytes: usize) -> Self {
        let memory = MemoryForFrames {
            of_known: ceiling.allowance(own, bytes),
            of_others: ceiling.allowance(0, bytes),
        };
        Self {
            memory: Some(memory),
            ..self
        }
    }

    fn memory(&self, sender: Sender) -> Option<&Allowance> {
        let memory = self.memory.as_ref()?;
        Some(match sender {
            Sender::Known => &memory.of_known,
            Sender::Newcomer | Sender::Costly => &memory.of_others,
        })
    }

    /// The part that a frame has to leave the rest alone for.
    fn part(&self, sender: Sender) -> Option<&Room> {
        match sender {
            Sender::Known => None,
            Sender::Newcomer => Some(&self.newcomers),
            Sender::Costly => Some(&self.costly),
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
                let _in_line = Counted::one_of(&self.waiting);
                acquire(&self.bytes, bytes).await
            }
        }
    }
}

impl Frames {
    pub(super) fn places(&self, frame_bytes: usize) -> &Places {
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
        let ceiling = Ceiling::default();
        let places =
            |own, all, frame_bytes_max| Places::new(all, frame_bytes_max).below(&ceiling, own, all);
        Self {
            frames: Arc::new(Frames {
                tiny: Places::new(IN_FLIGHT_BYTES_TINY, TINY_FRAME_BYTES),
                small: places(
                    MEMORY_OWN_SMALL,
                    IN_FLIGHT_BYTES_SMALL,
                    READ_BUFFER_TRUSTED_BYTES,
                ),
                batches: places(
                    MEMORY_OWN_BATCHES,
                    IN_FLIGHT_BYTES_BATCHES,
                    BATCH_FRAME_BYTES,
                ),
                large: places(MEMORY_OWN_LARGE, IN_FLIGHT_BYTES_LARGE, FRAME_BYTES_MAX),
                incomplete_bytes: AtomicUsize::new(0),
            }),
            answers: UnreadAnswers::below(&ceiling),
            fetches: Fetches::below(&ceiling),
            lists: ListRequests::below(&ceiling),
            changes: Changes::new(),
            unfolding: Unfolding::by(workers, &ceiling),
            routing: Routing::below(&ceiling),
            modules: Arc::new(Semaphore::new(1)),
            compiling: ceiling.allowance(0, COMPILING_BYTES_MAX),
        }
    }

    /// The share of one connection.
    pub(crate) fn for_connection(&self) -> ConnectionBudget {
        ConnectionBudget {
            standing: Arc::new(Standing::of_newcomer(self.frames.clone())),
            bytes: Arc::new(Semaphore::new(IN_FLIGHT_BYTES_PER_CONNECTION)),
            requests: Arc::new(Semaphore::new(IN_FLIGHT_REQUESTS_PER_CONNECTION)),
            answers: self.answers.for_connection(),
            fetches: self.fetches.for_connection(),
            lists: Arc::new(Semaphore::new(LIST_REQUESTS_PER_CONNECTION)),
            changes: self.changes.for_connection(),
        }
    }

    /// Waits until a plugin module of so many bytes may be compiled, which takes many times as much: one at a time. It
    /// waits for nothing else, for whoever asks holds memory already that he will not give back; but others have the
    /// less in common meanwhile.
    pub(crate) async fn module_turn(&self, module_bytes: usize) -> ModuleTurn {
        let turn = acquire(&self.modules, 1).await;
        let compiling = module_bytes.saturating_mul(COMPILED_TIMES);
        ModuleTurn {
            _turn: turn,
            _memory: self.compiling.charge(compiling.min(COMPILING_BYTES_MAX)),
        }
    }

    /// Memory for requests for lists.
    pub(crate) fn lists(&self) -> &ListRequests {
        &self.lists
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
    standing: Arc<Standing>,
    bytes: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    answers: AnswerBudget,
    fetches: FetchesOfConnection,
    lists: Arc<Semaphore>,
    changes: ChangesOfConnection,
}

/// A tiny frame that has begun and holds no place yet; counted as long as it lives.
pub(crate) struct Incomplete {
    frames: Arc<Frames>,
    bytes: usize,
}

impl Incomplete {
    /// So many bytes of it are there now.
    pub(crate) fn has(&mut self, bytes: usize) {
        let more = bytes.saturating_sub(self.bytes);
        self.frames
            .incomplete_bytes
            .fetch_add(more, Ordering::Relaxed);
        self.bytes += more;
    }
}

impl Drop for Incomplete {
    fn drop(&mut self) {
        self.frames
            .incomplete_bytes
            .fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl ConnectionBudget {
    /// Waits until a request with a frame of `frame_bytes` may be read.
    ///
    /// # Panics
    /// Never: the semaphores are not closed and a frame is below every budget.
    pub(crate) async fn acquire(&self, frame_bytes: usize) -> InFlight {
        let bytes = u32::try_from(frame_bytes).unwrap_or(u32::MAX);
        let standing = self.standing.clone();
        let request = acquire(&self.requests, 1).await;
        let own = acquire(&self.bytes, bytes).await;
        let places = standing.frames.places(frame_bytes);
        let sender = standing.sender(frame_bytes);
        let part = match places.part(sender) {
            None => None,
            Some(part) => Some(part.enter(bytes).await),
        };
        // Before the place, so that whoever has one waits for nothing more.
        let memory = match places.memory(sender) {
            None => None,
            Some(memory) => Some(memory.take(frame_bytes).await),
        };
        InFlight {
            _request: request,
            bytes: Some(own),
            total: Some(places.all.enter(bytes).await),
            memory,
            part,
            is_costly: sender == Sender::Costly,
            is_distrusted: false,
            standing,
            frame_bytes,
        }
    }

    /// Counts a tiny frame of which `bytes` have come.
    pub(crate) fn begin(&self, bytes: usize) -> Incomplete {
        let frames = self.standing.frames.clone();
        frames.incomplete_bytes.fetch_add(bytes, Ordering::Relaxed);
        Incomplete { frames, bytes }
    }

    /// How long a frame of this size may stand still just now; `None` while nobody minds.
    pub(crate) fn stall_max(&self, frame_bytes: usize) -> Option<Duration> {
        let frames = &self.standing.frames;
        if frame_bytes <= TINY_FRAME_BYTES {
            return self.holds_much_incomplete().then_some(FRAME_STALL_MAX);
        }
        let places = frames.places(frame_bytes);
        let sender = self.standing.sender(frame_bytes);
        let memory = places.memory(sender);
        let is_waited_for = memory.is_some_and(Allowance::is_waited_for);
        let waiting = places.all.waiting() + usize::from(is_waited_for);
        let Some(part) = places.part(sender) else {
            return (waiting > 0).then_some(FRAME_STALL_MAX);
        };
        match waiting + part.waiting() {
            0 => None,
            1..=WAITING_FRAMES_MANY => Some(FRAME_STALL_MAX),
            _ => Some(FRAME_STALL_MAX / HASTE),
        }
    }

    /// Whether the tiny frames that have begun and are not complete hold so much that no more is read of any of them
    /// but its start.
    pub(super) fn holds_much_incomplete(&self) -> bool {
        let begun = &self.standing.frames.incomplete_bytes;
        begun.load(Ordering::Relaxed) > FRAMES_INCOMPLETE_BYTES_MAX
    }

    /// How many bytes may be read before it is known that a frame needs no place, or it has one: few if nothing is
    /// known of the connection, because no frame of it was found to be little work, if what it sends next may have to
    /// wait for what it asked before, or if others hold much that is not complete. The rest stays in the socket.
    pub(crate) fn start_max(&self) -> usize {
        let is_far_ahead = self.requests.available_permits() < FAR_AHEAD_FROM;
        match self.standing.completed.load(Ordering::Relaxed) {
            0 => NEWCOMER_READ_BYTES,
            _ if is_far_ahead || self.holds_much_incomplete() => NEWCOMER_READ_BYTES,
            _ => usize::MAX,
        }
    }

    /// How many times their number the bytes of a frame of this size count while they are read. What a newcomer
    /// sends may be anything, and memory for it is touched for the first time.
    pub(crate) fn caution(&self, frame_bytes: usize) -> usize {
        match self.standing.sender(frame_bytes) {
            Sender::Known => 1,
            Sender::Newcomer | Sender::Costly => CAUTION,
        }
    }

    /// What its answers may occupy.
    pub(crate) fn answers(&self) -> &AnswerBudget {
        &self.answers
    }

    /// What its fetches may occupy, and its long polls wait for.
    pub(crate) fn fetches(&self) -> &FetchesOfConnection {
        &self.fetches
    }

    /// Its requests for lists that wait or are carried out.
    pub(crate) fn lists(&self) -> &Arc<Semaphore> {
        &self.lists
    }

    /// Its changes of metadata.
    pub(crate) fn changes(&self) -> &ChangesOfConnection {
        &self.changes
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
#[path = "budget_tests.rs"]
mod tests;
