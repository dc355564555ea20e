//! `Standstill`: whether an arbiter's thread is stuck in one thing, a call to a disk that hangs most of all. Nothing
//! on it goes on then until the call returns. So that nobody elsewhere waits for ever, what others ask it for is
//! refused, and what they have asked before is answered: that it was not done, or that this is not known.
//! What is counted tells: the event loop goes to sleep, or has worked and looks at its sockets, or a call to a disk has
//! ended. Looks are counted, not time, so that a process that was stopped finds nobody stuck.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::ThreadId;
use std::time::Duration;

use crossbeam_queue::SegQueue;
use tokio::runtime;
use tracing::{info, warn};

use crate::arbiters::DiskWait;
use crate::partition::PartitionError;
use crate::reply::Reply;

/// How often the threads are looked at, about.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After so many looks at which it had done nothing since the one before, a thread stands still.
const LOOKS: u32 = 20;
/// Which is about as long.
pub(crate) const STUCK_AFTER: Duration = LOOK_EVERY.saturating_mul(LOOKS);
/// Whoever asks looks at so many of those that are remembered, and forgets those that were used: more than one, or
/// they would become ever more.
const LOOKED_AT: usize = 2;

/// Whether one arbiter's thread stands still; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Standstill(Arc<State>);

#[derive(Default)]
struct State {
    /// Whose it is.
    thread: OnceLock<ThreadId>,
    is_stuck: AtomicBool,
    /// Replies that others wait for, or have got. Without a lock over what is done with them, for a thread of low
    /// priority may ask, too: while such a one held it and had no core, every event loop that asks would wait.
    asked: SegQueue<Weak<dyn GiveUp>>,
}

/// A reply that may be given from elsewhere as well; whoever is first gives it. With it goes what was handed over,
/// which is withdrawn then unless the thread has taken it.
struct Shared<T, W> {
    open: Mutex<Open<T, W>>,
    otherwise: fn(String) -> PartitionError,
}

struct Open<T, W> {
    reply: Option<Reply<T, PartitionError>>,
    work: Option<W>,
}

trait GiveUp: Send + Sync {
    /// Answers that nobody knows when, or whether at all, for this reason.
    fn give_up(&self, reason: &str);
}

impl<T, W> Shared<T, W> {
    fn open(&self) -> MutexGuard<'_, Open<T, W>> {
        // Nothing panics while it is held.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send, W: Send> GiveUp for Shared<T, W> {
    fn give_up(&self, reason: &str) {
        let (reply, work) = {
            let mut open = self.open();
            let Some(reply) = open.reply.take() else {
                return;
            };
            (reply, open.work.take())
        };
        let reason = reason.to_owned();
        let error = match work.is_some() {
            true => PartitionError::NotYet { reason },
            false => (self.otherwise)(reason),
        };
        // Before the answer, which gives back the place that it has in memory.
        drop(work);
        reply.send(Err(error));
    }
}

/// What is handed over to a thread together with a reply, until the thread takes it.
pub(crate) struct Handed<T, W>(Held<T, W>);

enum Held<T, W> {
    Here(Option<W>),
    Shared(Arc<Shared<T, W>>),
}

impl<T, W> Handed<T, W> {
    /// Takes it; `None` if it was withdrawn. From now on it is not.
    pub(crate) fn take(&mut self) -> Option<W> {
        match &mut self.0 {
            Held::Here(work) => work.take(),
            Held::Shared(shared) => shared.open().work.take(),
        }
    }
}

impl Standstill {
    /// Says that the thread that calls this is the one; once.
    pub(crate) fn is_of_this_thread(&self) {
        let _ = self.0.thread.set(std::thread::current().id());
    }

    /// Whether it stands still, as far as that is known.
    pub(crate) fn is_stuck(&self) -> bool {
        self.0.is_stuck.load(Ordering::Relaxed)
    }

    /// What to say of it, if it does. On the thread itself it does not: it has gone on, and was not looked at since.
    pub(crate) fn reason(&self) -> Option<String> {
        (self.is_stuck() && !self.is_this_thread()).then(reason)
    }

    fn is_this_thread(&self) -> bool {
        self.0.thread.get() == Some(&std::thread::current().id())
    }

    /// A reply for that thread to give, which becomes this error if the thread stands still before that. Of the
    /// thread itself it is given as it is: whoever asks there is stuck, too.
    pub(crate) fn or_give_up<T: Send + 'static>(
        &self,
        reply: Reply<T, PartitionError>,
        otherwise: fn(String) -> PartitionError,
    ) -> Reply<T, PartitionError> {
        if self.is_this_thread() {
            return reply;
        }
        self.share(reply, None::<()>, otherwise).0
    }

    /// The same with something that thread is to take: as long as it has not, it is withdrawn instead, and nothing of
    /// it is done or stays in memory. The error is for what was taken.
    pub(crate) fn or_withdraw<T: Send + 'static, W: Send + 'static>(
        &self,
        work: W,
        reply: Reply<T, PartitionError>,
        otherwise: fn(String) -> PartitionError,
    ) -> (Handed<T, W>, Reply<T, PartitionError>) {
        if self.is_this_thread() {
            return (Handed(Held::Here(Some(work))), reply);
        }
        let (reply, shared) = self.share(reply, Some(work), otherwise);
        (Handed(Held::Shared(shared)), reply)
    }

    fn share<T: Send + 'static, W: Send + 'static>(
        &self,
        reply: Reply<T, PartitionError>,
        work: Option<W>,
        otherwise: fn(String) -> PartitionError,
    ) -> (Reply<T, PartitionError>, Arc<Shared<T, W>>) {
        let open = Open {
            reply: Some(reply),
            work,
        };
        let shared = Arc::new(Shared {
            open: Mutex::new(open),
            otherwise,
        });
        let weak: Weak<Shared<T, W>> = Arc::downgrade(&shared);
        self.remember(weak);
        let given = shared.clone();
        let reply = Reply::new(move |result| {
            let reply = given.open().reply.take();
            if let Some(reply) = reply {
                reply.send(result);
            }
        });
        (reply, shared)
    }

    fn remember(&self, reply: Weak<dyn GiveUp>) {
        let asked = &self.0.asked;
        for _ in 0..LOOKED_AT {
            match asked.pop() {
                // One that is missed by whoever gives up just now is found at the next look.
                Some(waiting) if waiting.strong_count() > 0 => asked.push(waiting),
                Some(_) => {}
                None => break,
            }
        }
        asked.push(reply);
    }

    /// Answers everybody who waits.
    pub(crate) fn give_up_all(&self) {
        let asked = &self.0.asked;
        let reason = reason();
        // Those who come meanwhile are for the next time, or this might not end.
        for reply in (0..asked.len()).map_while(|_| asked.pop()) {
            if let Some(reply) = reply.upgrade() {
                reply.give_up(&reason);
            }
        }
    }
}

fn reason() -> String {
    format!(
        "the broker's thread that it lives on has been stuck for {} s or more, in a call to a disk if one hangs; see the broker's log",
        STUCK_AFTER.as_secs()
    )
}

/// What a thread has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    /// It sleeps when this is odd.
    sleeps_and_wakes: u64,
    worked: Duration,
    /// Calls that may have had to wait for a disk. The event loop submits what it counts when it looks at its sockets,
    /// after some dozens of tasks: with as many calls to a slow disk that takes longer than a thread is given.
    disk_calls: u64,
}

/// Looks at one thread now and then.
pub(crate) struct ThreadWatch {
    /// For the log: which one it is, and what it means to others that it is stuck.
    name: String,
    until_then: &'static str,
    runtime: runtime::Handle,
    disk_wait: DiskWait,
    standstill: Standstill,
    last: Counts,
    /// At so many in a row it had not got on.
    looks: u32,
}

impl ThreadWatch {
    /// Of the thread that runs this event loop, and notes there that it waits for a disk.
    pub(crate) fn new(
        (name, until_then): (String, &'static str),
        (runtime, disk_wait): (runtime::Handle, DiskWait),
        standstill: Standstill,
    ) -> Self {
        Self {
            name,
            until_then,
            runtime,
            disk_wait,
            standstill,
            last: Counts::default(),
            looks: 0,
        }
    }

    /// Looks whether it has got on. `disks` says which disks have been at one call for a while, for the log.
    pub(crate) fn look(&mut self, disks: impl Fn() -> String) {
        let metrics = self.runtime.metrics();
        self.note(Counts {
            sleeps_and_wakes: metrics.worker_park_unpark_count(0),
            worked: metrics.worker_total_busy_duration(0),
            disk_calls: self.disk_wait.ended(),
        });
        let (thread, until_then) = (&self.name, self.until_then);
        let was_stuck = self.standstill.is_stuck();
        let is_stuck = self.looks >= LOOKS;
        self.standstill
            .0
            .is_stuck
            .store(is_stuck, Ordering::Relaxed);
        match (was_stuck, is_stuck) {
            (false, true) => {
                let (since, disks) = (STUCK_AFTER, disks());
                warn!(
                    thread,
                    ?since,
                    disks,
                    "a thread is stuck in one call or piece of work: {until_then} until it goes on"
                );
            }
            (true, false) => info!(thread, "a thread that was stuck goes on"),
            _ => {}
        }
        if is_stuck {
            // Also those who have asked since the last look, not knowing it yet.
            self.standstill.give_up_all();
        }
    }

    fn note(&mut self, now: Counts) {
        let sleeps = now.sleeps_and_wakes % 2 == 1;
        self.looks = match now == self.last && !sleeps {
            true => self.looks.saturating_add(1),
            false => 0,
        };
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn otherwise(reason: String) -> PartitionError {
        PartitionError::NotYet { reason }
    }

    fn asked(standstill: &Standstill) -> impl Future<Output = Result<u8, PartitionError>> {
        let (reply, answer) = Reply::channel();
        let reply = standstill.or_give_up(reply, otherwise);
        // What a thread that is stuck does with it.
        std::mem::forget(reply);
        answer
    }

    fn watch() -> ThreadWatch {
        let runtime = (runtime::Handle::current(), DiskWait::default());
        let name = ("one".to_owned(), "others wait");
        ThreadWatch::new(name, runtime, Standstill::default())
    }

    #[actix_rt::test]
    async fn a_thread_that_does_not_get_on_is_stuck_and_one_that_sleeps_is_not() {
        let mut watch = watch();
        let at = |sleeps_and_wakes, worked| Counts {
            sleeps_and_wakes,
            worked: Duration::from_millis(worked),
            disk_calls: 0,
        };
        watch.note(at(4, 1));
        (0..LOOKS).for_each(|_| watch.note(at(4, 1)));
        assert_eq!(watch.looks, LOOKS);
        watch.note(at(4, 2));
        assert_eq!(watch.looks, 0, "it has looked at its sockets");
        (0..LOOKS).for_each(|_| watch.note(at(5, 2)));
        assert_eq!(watch.looks, 0, "it sleeps");
    }

    #[actix_rt::test]
    async fn a_thread_whose_calls_to_the_disk_end_is_not_stuck() {
        // This thread does not look at its sockets meanwhile.
        let mut watch = watch();
        for _ in 0..2 * LOOKS {
            watch.disk_wait.during(|| ());
            watch.look(String::new);
            assert!(!watch.standstill.is_stuck());
        }
        let disk_wait = watch.disk_wait.clone();
        disk_wait.during(|| (0..=LOOKS).for_each(|_| watch.look(String::new)));
        assert!(watch.standstill.is_stuck(), "this one does not end");
    }

    #[actix_rt::test]
    async fn who_waits_for_a_thread_that_is_stuck_is_answered() {
        // This thread does not get on while it looks.
        let mut watch = watch();
        let standstill = watch.standstill.clone();
        let before = asked(&standstill);
        (0..=LOOKS).for_each(|_| watch.look(String::new));
        let afterwards = asked(&standstill);
        watch.look(String::new);
        assert!(standstill.reason().is_some());
        for answer in [before.await, afterwards.await] {
            assert!(
                matches!(answer, Err(PartitionError::NotYet { .. })),
                "{answer:?}"
            );
        }
        // It has, meanwhile.
        tokio::time::sleep(Duration::from_millis(5)).await;
        watch.look(String::new);
        assert_eq!(standstill.reason(), None);
    }

    #[actix_rt::test]
    async fn an_answer_that_comes_first_counts() {
        let mut watch = watch();
        let (reply, answer) = Reply::channel();
        watch.standstill.or_give_up(reply, otherwise).send(Ok(7_u8));
        (0..=LOOKS).for_each(|_| watch.look(String::new));
        assert_eq!(answer.await, Ok(7));
    }

    #[test]
    fn what_was_not_taken_is_withdrawn_and_gone_and_what_was_is_not() {
        let standstill = Standstill::default();
        let hand_over = |work: &Arc<()>| {
            let (reply, answer) = Reply::<u8, _>::channel();
            let unanswered = |reason| PartitionError::Unanswered { reason };
            let (handed, reply) = standstill.or_withdraw(work.clone(), reply, unanswered);
            (handed, reply, answer)
        };
        let (left, begun) = (Arc::new(()), Arc::new(()));
        let (mut left_there, _later, left_answer) = hand_over(&left);
        let (mut begun_there, _later, begun_answer) = hand_over(&begun);
        let taken = begun_there.take();
        standstill.give_up_all();
        assert_eq!(Arc::strong_count(&left), 1, "nothing of it is in memory");
        assert_eq!(left_there.take(), None, "it will not be done");
        assert!(taken.is_some());
        let (left, begun) = (left_answer.now_or_never(), begun_answer.now_or_never());
        assert!(matches!(left, Some(Err(PartitionError::NotYet { .. }))));
        assert!(matches!(
            begun,
            Some(Err(PartitionError::Unanswered { .. }))
        ));
    }

    #[test]
    fn what_was_answered_is_forgotten_and_who_waits_is_not() {
        let standstill = Standstill::default();
        let waiting: Vec<_> = (0..10).map(|_| asked(&standstill)).collect();
        for _ in 0..1_000 {
            let reply: Reply<u8, _> = standstill.or_give_up(Reply::ignored(), otherwise);
            reply.send(Ok(7));
        }
        let remembered = standstill.0.asked.len();
        assert!(remembered <= 3 * waiting.len(), "{remembered}");
        standstill.give_up_all();
        assert!(standstill.0.asked.is_empty());
        let answers = waiting.into_iter().map(FutureExt::now_or_never);
        assert!(
            answers
                .into_iter()
                .all(|answer| matches!(answer, Some(Err(_))))
        );
    }

    #[test]
    fn who_asks_on_the_thread_itself_costs_nothing_and_is_not_refused() {
        let standstill = Standstill::default();
        standstill.is_of_this_thread();
        let _reply: Reply<u8, _> = standstill.or_give_up(Reply::ignored(), otherwise);
        assert!(standstill.0.asked.is_empty());
        standstill.0.is_stuck.store(true, Ordering::Relaxed);
        assert_eq!(standstill.reason(), None);
        let elsewhere = standstill.clone();
        let refused = std::thread::spawn(move || elsewhere.reason().is_some());
        assert!(refused.join().expect("it ends"), "others are");
    }
}
