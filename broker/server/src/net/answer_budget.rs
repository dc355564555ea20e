//! What answers that nobody has read yet may occupy, per connection and on the whole broker. Every answer of
//! some size is counted until it is written. A large one reserves its memory before it is made, and gets the
//! less of it the more is used up: so there is always something left for a client that reads. Tiny ones are counted
//! when their socket takes no more, so that they cost nothing while it does. A connection that does not read while
//! others wait, or there is no memory for its tiny ones, is closed by its writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use broker_model::limits::{
    ANSWER_BYTES_PER_CONNECTION, ANSWER_BYTES_TOTAL, ANSWER_STALL_MAX,
    ANSWERS_OF_READERS_BYTES_MAX, ANSWERS_SMALL_BYTES_MAX, ANSWERS_TINY_BYTES_MAX,
    LIST_REQUESTS_MAX, MEMORY_OWN_ANSWERS,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::ceiling::{Allowance, Ceiling, Drawn};
use super::held::{Held, Looks};
use super::line::{Line, PlaceInLine};
use crate::counted::Counted;

/// Answers up to this size are counted by their number, and only when there are some that the socket does not take.
const TINY_ANSWER_BYTES: usize = 512;
/// What an answer takes while it waits for its socket, beside memory that is counted for it alone, about.
const ANSWER_WEIGHT: usize = 512;
/// So many of a connection are not counted.
const ANSWERS_FEW: usize = 4;
/// Memory for tiny ones is scarce when a part like this is free.
const SCARCE_PART: usize = 8;
/// The least that a reservation gets.
const SHARE_BYTES_MIN: usize = 64 * 1024;
/// Who wants no more than this need not wait for others to read theirs.
pub(crate) const SMALL_ANSWER_BYTES: usize = 256 * 1024;
/// A reservation gets at most this part of what is free.
const SHARE_OF_FREE: usize = 4;
/// So much is left to connections that hold nothing, by those that do.
const LEFT_TO_OTHERS: usize = 8 * 1024 * 1024;
/// Who has taken so much of its answers reads them: it is more than lies in sockets of somebody who does not.
const READ_BYTES_MIN: usize = 512 * 1024;
/// Who wants more than this is in a line of its own.
const LARGE_ANSWER_BYTES: usize = 1024 * 1024;
/// A connection with so much unread begins no further list.
const UNREAD_BYTES_BEFORE_LISTS: usize = 1024 * 1024;
/// A list that takes longer makes the next one of its connection wait among such, for half of the turns.
const LONG_LIST_TIME: Duration = Duration::from_millis(20);
/// How long a request waits for memory for its answer.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);

/// Answers of the whole broker that were not read yet; cheap to clone.
#[derive(Clone)]
pub(crate) struct UnreadAnswers(Arc<Unread>);

struct Unread {
    memory: Allowance,
    /// For those who have shown that they read, whatever newcomers hold.
    of_readers: Allowance,
    /// For small ones of those who read what they ask for.
    small: Allowance,
    /// For answers that are counted by their number.
    tiny: Allowance,
    waiting: AtomicUsize,
    /// Those that wait and hold nothing: who has not read what it got leaves what there is to them. Each of some size
    /// gets it in the order in which they came, whatever others of its size would make do with. Nobody who has shown
    /// that it reads is behind newcomers.
    with_nothing: Waiting,
    of_newcomers: Waiting,
    /// Those that wait to begin a list, for which little memory is enough.
    for_lists: Arc<Line>,
    lists: Arc<Semaphore>,
    /// Of these, for connections whose last one took long.
    long_lists: Arc<Semaphore>,
}

/// Those who want little, and those who want much.
type Waiting = [Arc<Line>; 2];

impl UnreadAnswers {
    /// None yet.
    pub(super) fn below(ceiling: &Ceiling) -> Self {
        Self(Arc::new(Unread {
            memory: ceiling.allowance(MEMORY_OWN_ANSWERS, ANSWER_BYTES_TOTAL),
            of_readers: ceiling
                .allowance(ANSWERS_OF_READERS_BYTES_MAX, ANSWERS_OF_READERS_BYTES_MAX),
            small: ceiling.allowance(ANSWERS_SMALL_BYTES_MAX, ANSWERS_SMALL_BYTES_MAX),
            tiny: ceiling.allowance(ANSWERS_TINY_BYTES_MAX, ANSWERS_TINY_BYTES_MAX),
            waiting: AtomicUsize::new(0),
            with_nothing: Default::default(),
            of_newcomers: Default::default(),
            for_lists: Arc::default(),
            lists: Arc::new(Semaphore::new(LIST_REQUESTS_MAX)),
            long_lists: Arc::new(Semaphore::new(LIST_REQUESTS_MAX / 2)),
        }))
    }

    /// The share of one connection.
    pub(super) fn for_connection(&self) -> AnswerBudget {
        AnswerBudget {
            total: self.clone(),
            own: Arc::new(Own {
                held: Held::default(),
                turn: Arc::new(Semaphore::new(1)),
                has_read: AtomicBool::new(false),
                lists_take_long: AtomicBool::new(false),
            }),
        }
    }
}

/// What answers of one connection may occupy; cheap to clone.
#[derive(Clone)]
pub(crate) struct AnswerBudget {
    total: UnreadAnswers,
    own: Arc<Own>,
}

struct Own {
    held: Held,
    /// One request of a connection at a time waits for memory, or makes a list.
    turn: Arc<Semaphore>,
    /// It has taken `READ_BYTES_MIN` once.
    has_read: AtomicBool,
    /// Its last list did.
    lists_take_long: AtomicBool,
}

/// The memory that an answer holds; given back when dropped.
pub(crate) struct AnswerMemory {
    own: Arc<Own>,
    drawn: Drawn,
}

/// The turn of a request whose answer may be large; over when dropped.
pub(crate) struct ListTurn {
    of: Arc<Own>,
    _own: OwnedSemaphorePermit,
    total: Option<(OwnedSemaphorePermit, Option<OwnedSemaphorePermit>)>,
    begun: Instant,
}

impl ListTurn {
    /// Lets requests of other connections go on, while those of its own still wait.
    pub(crate) fn let_others(&mut self) {
        if self.total.take().is_some() {
            let takes_long = self.begun.elapsed() > LONG_LIST_TIME;
            self.of.lists_take_long.store(takes_long, Ordering::Relaxed);
        }
    }
}

impl Drop for ListTurn {
    fn drop(&mut self) {
        self.let_others();
    }
}

/// Answers of a connection that its socket does not take, counted by their number.
#[derive(Default)]
pub(crate) struct UnreadCount(Option<Drawn>);

/// The memory for answers was used up for too long: others do not read theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AnswersFull;

impl AnswersFull {
    /// What the client is told.
    pub(crate) const MESSAGE: &str =
        "answers that clients do not read use up the memory for answers";
}

impl AnswerMemory {
    /// How much it is.
    pub(crate) fn bytes(&self) -> usize {
        self.drawn.bytes()
    }

    /// Keeps so much and gives the rest back.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let surplus = self.bytes().saturating_sub(bytes);
        self.drawn.shrink_to(bytes);
        self.own.held.give_back(surplus);
    }
}

impl Drop for AnswerMemory {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

impl AnswerBudget {
    /// Counts an answer that was made; none when it is tiny.
    pub(crate) fn charge(&self, bytes: usize) -> Option<AnswerMemory> {
        (bytes > TINY_ANSWER_BYTES).then(|| self.take(bytes))
    }

    /// Waits for memory for an answer: as much as is wanted, or less when others leave little. Of a small one to somebody
    /// who has read all others there is a part at once.
    ///
    /// # Errors
    /// When there is none for `ANSWER_WAIT_MAX`.
    pub(crate) async fn reserve(&self, wanted: usize) -> Result<AnswerMemory, AnswersFull> {
        let wanted = wanted.min(ANSWER_BYTES_PER_CONNECTION);
        let least = wanted.min(SHARE_BYTES_MIN);
        let enough = |own, free: usize| {
            let share = wanted.min(free / SHARE_OF_FREE).max(least);
            (own == 0 || own + share <= ANSWER_BYTES_PER_CONNECTION) && share <= free
        };
        if wanted <= SMALL_ANSWER_BYTES
            && !self.may_take(least, &enough)
            && let Some(small) = self.take_small(least)
        {
            return Ok(small);
        }
        self.wait_for(least, enough).await?;
        let share = wanted.min(self.free_for_this() / SHARE_OF_FREE);
        Ok(self.take(share.max(least)))
    }

    /// Waits for memory for an answer, all of it.
    ///
    /// # Errors
    /// When there is not enough for `ANSWER_WAIT_MAX`.
    pub(crate) async fn reserve_all(&self, wanted: usize) -> Result<AnswerMemory, AnswersFull> {
        let wanted = wanted.min(ANSWER_BYTES_PER_CONNECTION);
        let enough =
            |own, free| (own == 0 || own + wanted <= ANSWER_BYTES_PER_CONNECTION) && wanted <= free;
        self.wait_for(wanted, enough).await?;
        Ok(self.take(wanted))
    }

    /// Whether nobody has to wait for this client to read before it gets memory for another answer: it has read all
    /// others, or there is plenty.
    pub(crate) fn are_read(&self) -> bool {
        let largest = ANSWER_BYTES_PER_CONNECTION / 2;
        let held = self.held();
        held == 0 || held <= largest && self.free_for_this() >= largest
    }

    /// Waits for that.
    ///
    /// # Errors
    /// When it has not read for `ANSWER_WAIT_MAX`.
    pub(crate) async fn until_read(&self) -> Result<(), AnswersFull> {
        // Apart from the task: most do not wait.
        let waits = || Box::pin(self.own.held.within(ANSWER_WAIT_MAX, || self.are_read()));
        let are_read = self.are_read() || waits().await;
        are_read.then_some(()).ok_or(AnswersFull)
    }

    /// Counts an answer that was made, of which so much may have been counted before: one of some size waits until there
    /// is memory for it, unless what is missing is the smaller part.
    ///
    /// # Errors
    /// When there is not enough for `ANSWER_WAIT_MAX`.
    pub(crate) async fn cover(
        &self,
        counted: Option<AnswerMemory>,
        bytes: usize,
    ) -> Result<Option<AnswerMemory>, AnswersFull> {
        // Who waits holds none of what others wait for.
        let most = counted.filter(|memory| memory.bytes() >= bytes / 2);
        match most {
            Some(mut memory) => {
                let missing = bytes.saturating_sub(memory.bytes());
                memory.own.held.add(missing);
                memory.drawn.grow(missing);
                Ok(Some(memory))
            }
            None if bytes <= TINY_ANSWER_BYTES => Ok(None),
            None if bytes <= SHARE_BYTES_MIN => self.reserve(bytes).await.map(Some),
            None => self.reserve_all(bytes).await.map(Some),
        }
    }

    /// Waits until a request may be carried out whose answer may be large: one of a connection at a time, and
    /// a few of the broker.
    ///
    /// # Errors
    /// When there is no memory for answers for `ANSWER_WAIT_MAX`.
    pub(crate) async fn turn(&self) -> Result<ListTurn, AnswersFull> {
        let own = acquire(&self.own.turn).await;
        let enough = |own, _| own < UNREAD_BYTES_BEFORE_LISTS && self.free() > 0;
        if !self.may_take(0, &enough) {
            Box::pin(self.poll(0, enough)).await?;
        }
        // Whoever asks for little does not wait for all who ask for much.
        let long = match self.own.lists_take_long.load(Ordering::Relaxed) {
            true => Some(acquire(&self.total.0.long_lists).await),
            false => None,
        };
        let total = acquire(&self.total.0.lists).await;
        Ok(ListTurn {
            of: self.own.clone(),
            _own: own,
            total: Some((total, long)),
            begun: Instant::now(),
        })
    }

    /// Counts so many answers that wait for the socket, beyond a few. Answers whether there is memory for them.
    pub(crate) fn count(&self, answers: usize, counted: &mut UnreadCount) -> bool {
        let bytes = match answers {
            ..=ANSWERS_FEW => return true,
            _ => answers.saturating_mul(ANSWER_WEIGHT),
        };
        match &mut counted.0 {
            None => {
                counted.0 = self.total.0.tiny.try_take(bytes);
                counted.0.is_some()
            }
            Some(drawn) if bytes > drawn.bytes() => drawn.try_grow(bytes - drawn.bytes()),
            Some(drawn) => {
                drawn.shrink_to(bytes);
                true
            }
        }
    }

    /// How long the client may take no answers just now, of which some may be counted by their number; `None` while
    /// nobody minds.
    pub(crate) fn stall_max(&self, counted: &UnreadCount) -> Option<Duration> {
        let total = &self.total.0;
        let is_scarce = || total.tiny.free() < ANSWERS_TINY_BYTES_MAX / SCARCE_PART;
        if counted.0.is_some() && is_scarce() {
            return Some(ANSWER_STALL_MAX);
        }
        let waited_for = total.waiting.load(Ordering::Relaxed) > 0 || total.memory.is_waited_for();
        (waited_for && self.holds_some()).then_some(ANSWER_STALL_MAX)
    }

    async fn wait_for(
        &self,
        least: usize,
        enough: impl Fn(usize, usize) -> bool,
    ) -> Result<(), AnswersFull> {
        if self.may_take(least, &enough) {
            return Ok(());
        }
        let _turn = acquire(&self.own.turn).await;
        // Apart from the task: most do not wait.
        Box::pin(self.poll(least, enough)).await
    }

    async fn poll(
        &self,
        least: usize,
        enough: impl Fn(usize, usize) -> bool,
    ) -> Result<(), AnswersFull> {
        if self.may_take(least, &enough) {
            return Ok(());
        }
        let looks = Looks::within(ANSWER_WAIT_MAX);
        let mut in_the_way = None;
        let mut place: Option<PlaceInLine> = None;
        loop {
            let holds_less = self.own.held.gets_less();
            if place.is_some() == self.holds_some() {
                place = (!self.holds_some()).then(|| PlaceInLine::at_the_end_of(self.line(least)));
            }
            let goes_on = match &place {
                Some(place) => place.is_first() && enough(self.held(), self.free_for_this()),
                None => self.has(&enough),
            };
            if goes_on {
                return Ok(());
            }
            if looks.are_over() {
                return Err(AnswersFull);
            }
            // Who waits for its own answers to be read is in nobody's line, or leaves it when it comes to be the first.
            let others_are_in_the_way = !enough(0, self.free());
            if in_the_way.is_some() != others_are_in_the_way {
                let waiting = &self.total.0.waiting;
                in_the_way = others_are_in_the_way.then(|| Counted::one_of(waiting));
            }
            match &place {
                Some(place) if place.is_first() => sleep_until(looks.soon()).await,
                Some(place) => place.is_first_by(looks.end()).await,
                None => drop(timeout_at(looks.later(), holds_less).await),
            }
        }
    }

    /// Whether there is enough, and nobody came before.
    fn may_take(&self, least: usize, enough: &impl Fn(usize, usize) -> bool) -> bool {
        let is_in_turn = self.holds_some() || self.line(least).is_empty();
        is_in_turn && self.has(enough)
    }

    fn has(&self, enough: &impl Fn(usize, usize) -> bool) -> bool {
        let Unread {
            with_nothing,
            of_newcomers,
            ..
        } = &*self.total.0;
        let others_wait = || {
            let mut lines = with_nothing.iter().chain(of_newcomers);
            lines.any(|line| !line.is_empty())
        };
        let leaves_it = self.holds_some() && others_wait();
        !leaves_it && enough(self.held(), self.free_for_this())
    }

    /// Where those wait who hold nothing and want at least so much; nothing, to begin a list.
    fn line(&self, least: usize) -> &Arc<Line> {
        let [small, large] = match self.has_read() {
            true => &self.total.0.with_nothing,
            false => &self.total.0.of_newcomers,
        };
        match least {
            0 => &self.total.0.for_lists,
            1..=LARGE_ANSWER_BYTES => small,
            _ => large,
        }
    }

    /// What there is for this connection.
    fn free_for_this(&self) -> usize {
        match self.holds_some() {
            true => self.free().saturating_sub(LEFT_TO_OTHERS),
            false => self.free(),
        }
    }

    /// The client has taken so much of its answers.
    pub(crate) fn note_read(&self, bytes: usize) {
        if bytes >= READ_BYTES_MIN && !self.has_read() {
            self.own.has_read.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it has shown that it reads its answers.
    pub(crate) fn has_read(&self) -> bool {
        self.own.has_read.load(Ordering::Relaxed)
    }

    /// What answers of this connection occupy.
    pub(crate) fn held(&self) -> usize {
        self.own.held.bytes()
    }

    fn holds_some(&self) -> bool {
        self.held() > 0
    }

    fn free(&self) -> usize {
        self.source().1
    }

    fn take(&self, bytes: usize) -> AnswerMemory {
        self.hold(self.source().0.charge(bytes))
    }

    /// Where this connection gets memory, and how much is free there.
    fn source(&self) -> (&Allowance, usize) {
        let Unread {
            memory, of_readers, ..
        } = &*self.total.0;
        let of_all = (memory, memory.free());
        if !self.has_read() || of_all.1 >= ANSWERS_OF_READERS_BYTES_MAX {
            return of_all;
        }
        let own = (of_readers, of_readers.free());
        if own.1 > of_all.1 { own } else { of_all }
    }

    /// Takes so much of what is for small ones, if this connection holds nothing.
    fn take_small(&self, bytes: usize) -> Option<AnswerMemory> {
        let drawn = (!self.holds_some()).then(|| self.total.0.small.try_take(bytes))??;
        Some(self.hold(drawn))
    }

    fn hold(&self, drawn: Drawn) -> AnswerMemory {
        self.own.held.add(drawn.bytes());
        AnswerMemory {
            own: self.own.clone(),
            drawn,
        }
    }
}

async fn acquire(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    semaphore
        .clone()
        .acquire_owned()
        .await
        .expect("budgets are never closed")
}

#[cfg(test)]
#[path = "answer_budget_tests.rs"]
mod tests;
