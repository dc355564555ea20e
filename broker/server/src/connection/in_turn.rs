//! When requests other than produce and fetch are carried out: small ones at once, as long as there is memory for
//! them. Those that are much work or whose answers may be large in the background, when it is their turn: one of a
//! connection at a time, and a few of the broker. How many wait is bounded, too.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use broker_protocol::{ErrorCode, Method, Request, WireError};
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};

use super::session::{Asker, Session, Weight, WorkInOrder};
use crate::background::Workers;
use crate::context::Context;
use crate::controller::Share;
use crate::net::AnswersFull;
use crate::net::answer_budget::ListTurn;
use crate::net::apart::apart;
use crate::net::ceiling::Drawn;
use crate::net::changes::ChangesFull;
use crate::net::list_requests::{LIST_BYTES, ListRequests};
use crate::net::waits::{CarriedOut, FetchesFull};
use crate::request;

/// A list that takes longer than this, for something it asks does not answer, lets those of others go on.
const LIST_TURN_MAX: Duration = Duration::from_millis(500);

/// So long a request waits for memory to be carried out.
const MEMORY_WAIT_MAX: Duration = Duration::from_secs(5);

impl Session {
    /// Decodes arguments and runs `handler` in a task of its own; what is much work when it is its turn.
    pub(crate) fn spawn<R, F>(
        self: &Rc<Self>,
        (args, weight): (Bytes, Weight),
        asker: Asker,
        handler: impl FnOnce(Arc<Context>, R) -> F + Send + 'static,
    ) -> Option<WorkInOrder>
    where
        R: Request + Send + 'static,
        F: Future<Output = Result<R::Response, WireError>> + 'static,
    {
        if weight != Weight::Light {
            return self.spawn_in_turn((args, weight), asker, handler);
        }
        let context = self.context().clone();
        let go = move |args: Bytes, memory: CarriedOut, asker: Asker| match R::decode(&args) {
            Err(invalid) => asker.refuse(invalid.into()),
            Ok(request) => {
                // Apart from the task, which would have it in memory three times.
                let work = Box::pin(handler(context, request));
                actix_rt::spawn(async move {
                    if let Some(done) = unless_gone(&asker, R::METHOD, work).await {
                        asker.answer(done);
                    }
                    drop(memory);
                });
            }
        };
        let requests = self.budget().fetches().clone();
        if let Some(memory) = requests.memory_at_once(args.len()) {
            go(args, memory, asker);
            return None;
        }
        // There may be very many: it takes little while it waits, and the next of its connection waits with it.
        let args = apart(args);
        Some(Box::pin(async move {
            tokio::select! {
                memory = requests.memory(args.len(), Instant::now() + MEMORY_WAIT_MAX) => match memory {
                    Ok(memory) => go(args, memory, asker),
                    Err(FetchesFull) => {
                        asker.refuse(WireError::new(ErrorCode::Busy, FetchesFull::MESSAGE));
                    }
                },
                () = asker.gone() => {}
            }
        }))
    }

    /// The same for a change of metadata, which waits for those that its connection asked for before.
    pub(crate) fn spawn_change<R, F>(
        self: &Rc<Self>,
        call: (Bytes, Weight),
        asker: Asker,
        handler: impl FnOnce(Arc<Context>, R, Share) -> F + Send + 'static,
    ) -> Option<WorkInOrder>
    where
        R: Request + Send + 'static,
        F: Future<Output = Result<R::Response, WireError>> + 'static,
    {
        let changes = self.budget().changes().clone();
        self.spawn(call, asker, move |context, request| async move {
            let turn = changes.turn().await;
            let _turn =
                turn.map_err(|ChangesFull| WireError::new(ErrorCode::Busy, ChangesFull::MESSAGE))?;
            handler(context, request, changes.share()).await
        })
    }

    /// Decodes arguments and runs `handler` in the background, when it is its
    /// turn: one of a connection at a time, and a few of the broker. Until then only its frame is in memory. A
    /// connection that has many of them waits with the next.
    pub(crate) fn spawn_in_turn<R, F>(
        self: &Rc<Self>,
        (args, weight): (Bytes, Weight),
        asker: Asker,
        handler: impl FnOnce(Arc<Context>, R) -> F + Send + 'static,
    ) -> Option<WorkInOrder>
    where
        R: Request + Send + 'static,
        F: Future<Output = Result<R::Response, WireError>> + 'static,
    {
        let own = self.budget().lists().clone();
        let Some(waiting) = self.context().requests.lists().enter(&own) else {
            let error = WireError::new(ErrorCode::Busy, ListRequests::MESSAGE);
            self.refuse_much(args, asker, error);
            return None;
        };
        let (context, answers) = (self.context().clone(), self.budget().answers().clone());
        let args = apart(args);
        let go = move |asker: Asker, own: OwnedSemaphorePermit| {
            let background = context.arbiters.background().clone();
            background.spawn(move || async move {
                let turn = tokio::select! {
                    turn = answers.turn() => turn,
                    () = asker.gone() => return,
                };
                let Ok(turn) = turn else {
                    return asker.refuse(WireError::new(ErrorCode::Busy, AnswersFull::MESSAGE));
                };
                // Apart from the task, which is small while it waits: there may be very many.
                let work = carry_out(context, (args, weight), (turn, &asker), handler);
                if let Some(done) = Box::pin(work).await {
                    asker.answer(done);
                }
                drop((waiting, own));
            });
        };
        if let Ok(own) = self.budget().lists().clone().try_acquire_owned() {
            go(asker, own);
            return None;
        }
        Some(Box::pin(async move {
            tokio::select! {
                Ok(place) = own.acquire_owned() => go(asker, place),
                () = asker.gone() => {}
            }
        }))
    }
}

/// Carries out a request whose turn it is, when there is memory for it. None if nobody asks any more when there is, or
/// later if it changes nothing: a change that was begun is carried through.
async fn carry_out<R, F>(
    context: Arc<Context>,
    (args, weight): (Bytes, Weight),
    (mut turn, asker): (ListTurn, &Asker),
    handler: impl FnOnce(Arc<Context>, R) -> F,
) -> Option<Result<R::Response, WireError>>
where
    R: Request + Send + 'static,
    F: Future<Output = Result<R::Response, WireError>>,
{
    let lists = context.requests.lists().clone();
    let kept = args.len().min(LIST_BYTES);
    let mut memory = tokio::select! {
        memory = memory_for(&lists, args.len(), &mut turn) => memory,
        () = asker.gone() => return None,
    };
    let workers = context.arbiters.background().workers().clone();
    let work = async move {
        let request = match weight {
            Weight::Light => R::decode(&args)?,
            Weight::Large | Weight::Heavy => decode_on(&workers, args).await?,
        };
        handler(context, request).await
    };
    let mut work = std::pin::pin!(unless_gone(asker, R::METHOD, Box::pin(work)));
    match timeout(LIST_TURN_MAX, &mut work).await {
        Ok(done) => done,
        Err(_) => {
            turn.let_others();
            memory.shrink_to(kept);
            work.await
        }
    }
}

/// Does `work` to the end, or as long as somebody can read an answer if its method changes nothing; none if nobody can.
pub(super) async fn unless_gone<T>(
    asker: &Asker,
    method: Method,
    work: impl Future<Output = T>,
) -> Option<T> {
    if !request::only_asks(method) {
        return Some(work.await);
    }
    tokio::select! {
        biased;
        done = work => Some(done),
        () = asker.gone() => None,
    }
}

/// Waits for memory for arguments of so many bytes, and lets others go on if there is none for long.
async fn memory_for(lists: &ListRequests, args_bytes: usize, turn: &mut ListTurn) -> Drawn {
    let mut memory = std::pin::pin!(lists.memory(args_bytes));
    match timeout(LIST_TURN_MAX, &mut memory).await {
        Ok(memory) => memory,
        Err(_) => {
            turn.let_others();
            memory.await
        }
    }
}

/// Decodes arguments of very many values or bytes where nobody waits for it.
async fn decode_on<R: Request + Send + 'static>(
    workers: &Workers,
    args: Bytes,
) -> Result<R, WireError> {
    match workers.run(move || R::decode(&args)).await {
        Ok(decoded) => Ok(decoded?),
        Err(panicked) => Err(WireError::new(ErrorCode::Unknown, panicked.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;
    use crate::net::{AnswerSink, RequestBudget};

    #[actix_rt::test]
    async fn what_changes_nothing_ends_when_nobody_can_read_its_answer() {
        let budget = RequestBudget::new(Workers::start()).for_connection();
        let (sink, answers) = AnswerSink::channel(budget.answers().clone());
        let asker = Asker::new(Some(1), sink, budget.acquire(10).await);
        let asked = unless_gone(&asker, Method::ListOffsets, ready(7)).await;
        assert_eq!(asked, Some(7));
        drop(answers);
        let asking = unless_gone(&asker, Method::ListOffsets, pending::<u8>());
        let ended = timeout(Duration::from_secs(30), asking).await;
        assert_eq!(ended, Ok(None));
        let changed = unless_gone(&asker, Method::DeleteRecords, async {
            tokio::task::yield_now().await;
            7
        });
        assert_eq!(changed.await, Some(7), "it is carried through");
    }
}
