//! `fetch`. Reads what is there and otherwise waits in its own task on the partitions' offset watches, never
//! in a mailbox. Stored batches leave as file regions; decoded records are built in memory, within the
//! broker's budget for answers. How many polls wait is bounded, too.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use broker_model::limits::{
    FETCH_BYTES_MAX, FETCH_PARTITIONS_MAX, FETCH_WAIT_MAX, WAITS_PER_CONNECTION,
};
use broker_protocol::api::fetch::{FetchAnswer, FetchForm, FetchFrame, FetchRequest};
use broker_protocol::{ErrorCode, FrameTooLarge, Request, WireError, error_frame};
use broker_storage::FileSlice;
use bytes::Bytes;
use tokio::time::Instant;

use super::fetch_partition::{Located, RECORDS_BYTES_MAX, RecordsRoom, Room, Wanted, locate, read};
use super::fetch_records::Asked;
use super::fetch_wait::{Watches, Woken};
use crate::arbiters::Shard;
use crate::background::Workers;
use crate::connection::{Asker, Session};
use crate::context::Context;
use crate::net::answer::{AnswerPiece, buffered};
use crate::net::apart::apart;
use crate::net::lane::Stint;
use crate::net::waits::{CarriedOut, FetchesFull, FetchesOfConnection, NoWait};
use crate::net::{Answer, AnswerBudget, AnswerMemory, AnswersFull};
use crate::topics::HostedPartition;

/// A fetch waits so long for memory, and one that was woken at least so long to look again.
const MEMORY_WAIT_MIN: Duration = Duration::from_secs(5);

/// What a fetch takes beside what was found while it waits for memory for its answer, about.
const TASK_BYTES: usize = 2 * 1024;

/// To write the answers about so many partitions is as much work as a small request.
const WRITTEN_AT_ONCE: usize = 16;

/// Arguments up to this size are taken apart on the thread of their connection.
const DECODED_HERE_BYTES: usize = 8 * 1024;

/// Starts a fetch in a task of its own. One of very many partitions is taken apart there, when there is memory for it.
pub(super) fn start(session: &Rc<Session>, args: Bytes, mut asker: Asker) {
    let fetch = Fetch {
        context: session.context().clone(),
        budget: session.budget().answers().clone(),
        fetches: session.budget().fetches().clone(),
        args_bytes: args.len(),
    };
    let Some(memory) = fetch.fetches.memory_at_once(args.len()) else {
        actix_rt::spawn(fetch.when_there_is_memory(apart(args), asker));
        return;
    };
    match decode(args, &mut asker) {
        Err(error) => asker.refuse(error),
        Ok(request) => {
            if let Some(shard) = common_shard(&fetch.context, &request) {
                session.note_shard(shard);
            }
            actix_rt::spawn(fetch.answer(request, memory, asker));
        }
    }
}

/// What a fetch works with.
pub(super) struct Fetch {
    pub(super) context: Arc<Context>,
    pub(super) budget: AnswerBudget,
    pub(super) fetches: FetchesOfConnection,
    args_bytes: usize,
}

/// Why a fetch got no memory.
enum NoMemory {
    /// Nobody reads an answer any more.
    NobodyAsks,
    /// Others had it for too long.
    Full,
}

impl Fetch {
    async fn decode(&self, args: Bytes, asker: &mut Asker) -> Result<FetchRequest, WireError> {
        let workers = self.context.arbiters.background().workers();
        let request = decode_apart(workers, args).await;
        let_frame_go(asker);
        request.and_then(check)
    }

    /// One that waits for memory takes little until it has some: there may be very many.
    #[expect(
        clippy::manual_async_fn,
        reason = "that has what it is given in memory twice"
    )]
    fn when_there_is_memory(self, args: Bytes, asker: Asker) -> impl Future<Output = ()> {
        async move {
            match self.memory(&asker, Instant::now() + MEMORY_WAIT_MIN).await {
                Err(NoMemory::NobodyAsks) => {}
                Err(NoMemory::Full) => asker.refuse(no_memory()),
                Ok(memory) => Box::pin(self.take_apart(args, memory, asker)).await,
            }
        }
    }

    async fn take_apart(self, args: Bytes, memory: CarriedOut, mut asker: Asker) {
        match self.decode(args, &mut asker).await {
            Err(error) => asker.refuse(error),
            Ok(request) => self.answer(request, memory, asker).await,
        }
    }

    /// Some of its memory is held until the answer is made.
    #[expect(
        clippy::manual_async_fn,
        reason = "that has what it is given in memory twice"
    )]
    fn answer(
        self,
        request: FetchRequest,
        mut memory: CarriedOut,
        asker: Asker,
    ) -> impl Future<Output = ()> {
        async move {
            let found = self.carry_out(&request, &mut memory, &asker).await;
            tell(&self.budget, asker, found).await;
            drop(memory);
        }
    }

    /// Memory to take it apart and look its partitions up, if there is some by then.
    async fn memory(&self, asker: &Asker, until: Instant) -> Result<CarriedOut, NoMemory> {
        tokio::select! {
            biased;
            memory = self.fetches.memory(self.args_bytes, until) => {
                memory.map_err(|FetchesFull| NoMemory::Full)
            }
            () = asker.gone() => Err(NoMemory::NobodyAsks),
        }
    }

    /// What is to be answered; nothing when nobody asks any more. There may be very many that wait: whatever goes
    /// from one step to the next by value is in memory twice.
    async fn carry_out(
        &self,
        request: &FetchRequest,
        memory: &mut CarriedOut,
        asker: &Asker,
    ) -> Result<Option<Read>, WireError> {
        let Some(found) = find(self, request, memory, asker).await? else {
            return Ok(None);
        };
        // What it was taken apart in is others' while it reads.
        let of_found: usize = found.iter().map(Located::occupies).sum();
        memory.keep(of_found + size_of_val(request.partitions.as_slice()) + TASK_BYTES);
        match request.form {
            FetchForm::Batch => {
                let mut unused_room = RecordsRoom::of(RECORDS_BYTES_MAX);
                let reading = read_all(found, &Wanted::Batches, &mut unused_room);
                let answers = Box::pin(reading).await;
                Ok(Some((answers, None)))
            }
            FetchForm::Records => {
                let asked = Asked {
                    fetch: self,
                    request,
                    asker,
                };
                asked.read(found).await
            }
        }
    }
}

/// What was read, and the memory that it takes if it is not in files.
pub(super) type Read = (Vec<FetchAnswer<FileSlice>>, Option<AnswerMemory>);

/// The request, which is all that stays of its frame: it may wait for long.
fn decode(args: Bytes, asker: &mut Asker) -> Result<FetchRequest, WireError> {
    let request = FetchRequest::decode(&args);
    drop(args);
    let_frame_go(asker);
    request.map_err(WireError::from).and_then(check)
}

/// The same on another thread, if it takes long.
async fn decode_apart(workers: &Workers, args: Bytes) -> Result<FetchRequest, WireError> {
    if args.len() <= DECODED_HERE_BYTES {
        return Ok(FetchRequest::decode(&args)?);
    }
    let decoding = workers.run_quick(move || FetchRequest::decode(&args));
    match Box::pin(decoding).await {
        Ok(decoded) => Ok(decoded?),
        Err(panicked) => Err(WireError::new(ErrorCode::Unknown, panicked.to_string())),
    }
}

fn let_frame_go(asker: &mut Asker) {
    if let Some(place) = asker.place() {
        place.let_frame_go();
    }
}

/// The shard that all the partitions asked for live on, if it is one.
fn common_shard(context: &Context, request: &FetchRequest) -> Option<Shard> {
    let mut shards = request.partitions.iter().map(|wanted| {
        let topic = context.topics.get(&wanted.topic)?;
        match topic.partition(wanted.partition)? {
            HostedPartition::Online(handle) => Some(handle.shard()),
            HostedPartition::Offline { .. } => None,
        }
    });
    let first = shards.next()??;
    shards.all(|shard| shard == Some(first)).then_some(first)
}

fn check(request: FetchRequest) -> Result<FetchRequest, WireError> {
    if request.decode && request.form == FetchForm::Batch {
        let message = "decode goes with form = records: stored batches are sent as they are";
        return Err(WireError::new(ErrorCode::InvalidRequest, message));
    }
    let partitions = request.partitions.len();
    if (1..=FETCH_PARTITIONS_MAX).contains(&partitions) {
        return Ok(request);
    }
    let message = format!("a fetch names 1 to {FETCH_PARTITIONS_MAX} partitions, not {partitions}");
    Err(WireError::new(ErrorCode::InvalidRequest, message))
}

/// What there is to read, once there is enough of it, time is up, or there is an error to tell; none when
/// nobody asks any more. While it waits it holds no `memory`: waits are counted by themselves.
async fn find(
    fetch: &Fetch,
    request: &FetchRequest,
    memory: &mut CarriedOut,
    asker: &Asker,
) -> Result<Option<Vec<Located>>, WireError> {
    let context = &*fetch.context;
    let wait = Duration::from_millis(u64::from(request.max_wait_ms)).min(FETCH_WAIT_MAX);
    let deadline = Instant::now() + wait;
    // First: whoever may not wait for very many partitions need not watch them.
    let place = (!wait.is_zero()).then(|| fetch.fetches.enter(request.partitions.len()));
    let mut time_is_up = !matches!(place, Some(Ok(_)));
    loop {
        if asker.is_gone() {
            return Ok(None);
        }
        let watches = match time_is_up {
            true => Watches::default(),
            false => Watches::on(context, request).await,
        };
        // Apart from the task, which is small while it waits: there may be very many.
        let located = Box::pin(locate_all(context, request, FETCH_BYTES_MAX)).await;
        let Some(missing) = missing(request, &located) else {
            return Ok(Some(located));
        };
        if time_is_up {
            return match place {
                Some(Err(NoWait::Connection)) => Err(too_many_waits()),
                _ => Ok(Some(located)),
            };
        }
        let watches = watches.counting_from(&located);
        drop(located);
        *memory = CarriedOut::default();
        match watches.wait(fetch, missing, deadline, asker).await {
            Woken::ByChange => {}
            Woken::ByTime | Woken::ByEnd => time_is_up = true,
            Woken::NobodyAsks => return Ok(None),
        }
        let patience = deadline.max(Instant::now() + MEMORY_WAIT_MIN);
        match fetch.memory(asker, patience).await {
            Ok(again) => *memory = again,
            Err(NoMemory::NobodyAsks) => return Ok(None),
            Err(NoMemory::Full) => return Err(no_memory()),
        }
    }
}

/// How many bytes are to come before it is answered; none if it is to be now, for there is enough of them, an error, or
/// no partition could give more.
fn missing(request: &FetchRequest, located: &[Located]) -> Option<u64> {
    let bytes: u64 = located.iter().map(Located::bytes).sum();
    let missing = u64::from(request.min_bytes).saturating_sub(bytes);
    let is_failed = located.iter().any(Located::is_failed);
    let may_grow = located.iter().any(Located::may_grow);
    (missing > 0 && !is_failed && may_grow).then_some(missing)
}

fn no_memory() -> WireError {
    WireError::new(ErrorCode::Busy, FetchesFull::MESSAGE)
}

fn too_many_waits() -> WireError {
    let message = format!(
        "the long polls of a connection wait for at most {WAITS_PER_CONNECTION} partitions at once"
    );
    WireError::new(ErrorCode::Busy, message)
}

pub(super) async fn locate_all(
    context: &Context,
    request: &FetchRequest,
    max_bytes: u32,
) -> Vec<Located> {
    let mut room = Room::new(request.max_bytes.min(max_bytes));
    let mut located = Vec::with_capacity(request.partitions.len());
    // Very many partitions are located in passes between which others run.
    let stint = Stint::of_task();
    for wanted in &request.partitions {
        let one = locate(context, wanted, request.form, &mut room);
        located.push(stint.take_in(pin!(one)).await);
    }
    located
}

/// Reads one after the other, up to the first that it is not the turn of.
pub(super) async fn read_all(
    located: Vec<Located>,
    form: &Wanted,
    room: &mut RecordsRoom,
) -> Vec<FetchAnswer<FileSlice>> {
    let mut answers = Vec::with_capacity(located.len());
    // What is in the page cache never waits for anything: much of it is decoded in passes.
    let stint = Stint::of_task();
    for partition in located {
        let reading = async {
            let (answer, decoded) = read(partition, form, room).await;
            stint.has_done(decoded).await;
            answer
        };
        answers.push(stint.take_in(pin!(reading)).await);
        if room.needs_turn() {
            break;
        }
    }
    answers
}

/// Answers, if anybody still asks, once there is memory for the answer as it is written: partitions of which nothing is
/// to be told take some, too.
async fn tell(budget: &AnswerBudget, asker: Asker, found: Result<Option<Read>, WireError>) {
    let (answers, memory) = match found {
        Ok(Some(read)) => read,
        Ok(None) => return,
        Err(error) => return asker.refuse(error),
    };
    let Some(id) = asker.id() else { return };
    let frame = written(id, answers).await;
    let bytes = frame.as_ref().map_or(0, |pieces| buffered(pieces));
    let Ok(memory) = budget.cover(memory, bytes).await else {
        return asker.refuse(WireError::new(ErrorCode::Busy, AnswersFull::MESSAGE));
    };
    asker.answer_with(|id, in_flight| match frame {
        Ok(pieces) => Answer {
            pieces,
            in_flight: Some(in_flight),
            memory,
        },
        Err(too_large) => {
            let frame = error_frame(Some(id), &too_large.into());
            Answer::bytes(frame, Some(in_flight))
        }
    });
}

/// Answers about very many partitions are written in passes between which others run.
async fn written(
    id: u64,
    answers: Vec<FetchAnswer<FileSlice>>,
) -> Result<Vec<AnswerPiece>, FrameTooLarge> {
    let mut frame = FetchFrame::begin(id, answers.len());
    let mut answers = answers.into_iter();
    let stint = Stint::of_task();
    while answers.len() > 0 {
        let writing = async {
            for answer in answers.by_ref().take(WRITTEN_AT_ONCE) {
                frame.push(answer);
            }
        };
        stint.take_in(pin!(writing)).await;
    }
    frame.finish()
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
