//! `Session`: what a connection's requests share, and the step from a frame to a handler. This is the one
//! place between decoding and acting, where a request can be refused for who sent it.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use broker_model::limits::{LIGHT_FRAME_BYTES_MAX, LIGHT_FRAME_VALUES_MAX};
use broker_protocol::{
    BadEnvelope, Envelope, ErrorCode, Method, WireError, error_frame, response_frame,
};
use bytes::Bytes;
use tracing::debug;

use super::affinity::Affinity;
use super::moving::SessionState;
use crate::arbiters::Shard;
use crate::context::Context;
use crate::net::routing::RoutingRoom;
use crate::net::{Answer, AnswerSink, ConnectionBudget, InFlight};
use crate::request;
use crate::solitude::{self, Resident};

/// Taking arguments apart is so many times as much work as other work on as many bytes.
const ARGUMENTS_TIMES: usize = 16;

/// One connection's side of its requests.
pub(crate) struct Session {
    context: Arc<Context>,
    sink: AnswerSink,
    budget: ConnectionBudget,
    greeted: Cell<bool>,
    affinity: RefCell<Affinity>,
    /// Bytes that were worked on for requests, beyond taking them in.
    worked_on: Cell<usize>,
    _resident: Resident,
}

/// Work that has to be done before the connection's next request is looked at.
pub(crate) type WorkInOrder = Pin<Box<dyn Future<Output = ()>>>;

/// What the reader does after a request was started.
pub(super) enum Next {
    Continue,
    After(WorkInOrder),
    /// To be started by [`Session::start_heavy`].
    Heavy(Bytes, InFlight),
    Close,
}

/// Whether a request is looked at where its connection lives, or in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    Light,
    /// In the background, for its bytes alone.
    Large,
    Heavy,
}

/// What a frame asks for, sharing its memory.
enum Parsed {
    Call {
        /// None for a notification.
        id: Option<u64>,
        method: Result<Method, WireError>,
        args: Bytes,
        /// The whole of it, if nobody has walked it yet.
        unwalked: Option<Bytes>,
    },
    Refused {
        id: Option<u64>,
        error: WireError,
    },
}

impl Parsed {
    /// Of a frame that is not light.
    fn weighed(body: &Bytes) -> (Self, Weight) {
        let light_frames = body.len().div_ceil(LIGHT_FRAME_BYTES_MAX);
        let values_max = u64::try_from(light_frames)
            .unwrap_or(u64::MAX)
            .saturating_mul(LIGHT_FRAME_VALUES_MAX);
        match Envelope::parse_within(body, values_max) {
            Some(parsed) => (Self::from(parsed, body), Weight::Large),
            None => (Self::from(Envelope::parse(body), body), Weight::Heavy),
        }
    }

    fn from(parsed: Result<Envelope<'_>, BadEnvelope>, body: &Bytes) -> Self {
        let (id, method, args) = match parsed {
            Ok(Envelope::Request { id, method, args }) => (Some(id), method, args),
            Ok(Envelope::Notification { method, args }) => (None, method, args),
            Ok(Envelope::Response { .. }) => {
                let message = "a response was not asked for";
                let error = WireError::new(ErrorCode::MalformedRequest, message);
                return Self::Refused { id: None, error };
            }
            Err(BadEnvelope { id, error }) => return Self::Refused { id, error },
        };
        Self::Call {
            id,
            method: Method::parse(method),
            args: body.slice_ref(args),
            unwalked: None,
        }
    }

    /// Of a frame that has so few bytes that it is light whatever is in it, if it asks to produce: its records are read
    /// to the end anyway, so it is not walked before.
    fn light_produce(body: &Bytes) -> Option<Self> {
        if body.len() as u64 > LIGHT_FRAME_VALUES_MAX {
            return None;
        }
        match Envelope::unchecked(body)? {
            Envelope::Request { id, method, args } if method == Method::Produce.name() => {
                Some(Self::Call {
                    id: Some(id),
                    method: Ok(Method::Produce),
                    args: body.slice_ref(args),
                    unwalked: Some(body.clone()),
                })
            }
            _ => None,
        }
    }
}

/// Where the answer to a request goes. One that is dropped unanswered, because a handler panicked, answers
/// that the outcome is unknown.
pub(crate) struct Asker {
    sink: AnswerSink,
    /// None for a notification, which gets no answer.
    id: Option<u64>,
    /// Its place, which a notification holds as long as a request would; none once it was answered.
    in_flight: Option<InFlight>,
    /// What its records occupy until then.
    room: RoutingRoom,
    /// The frame that it came in, if nobody has walked it yet.
    unwalked: Option<Bytes>,
}

impl Asker {
    pub(super) fn new(id: Option<u64>, sink: AnswerSink, in_flight: InFlight) -> Self {
        Self {
            sink,
            id,
            in_flight: Some(in_flight),
            room: RoutingRoom::default(),
            unwalked: None,
        }
    }

    /// All of its frame was read, and nothing is wrong with it.
    pub(crate) fn was_walked(&mut self) {
        self.unwalked = None;
    }

    /// Walks its frame, if nobody has.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn walk(&mut self) -> Result<(), WireError> {
        let Some(body) = self.unwalked.take() else {
            return Ok(());
        };
        let checked = Envelope::parse(&body);
        checked.map(drop).map_err(|bad| bad.error)
    }

    /// Keeps the room of its records until it is answered.
    pub(crate) fn keep(&mut self, room: RoutingRoom) {
        self.room = room;
    }

    /// The place it holds, until it is answered.
    pub(crate) fn place(&mut self) -> Option<&mut InFlight> {
        self.in_flight.as_mut()
    }

    /// What its answer is told by; none for a notification, which gets none.
    pub(crate) fn id(&self) -> Option<u64> {
        self.id
    }

    /// Answers with a result or an error; a notification gets neither.
    pub(crate) fn answer<R: broker_protocol::Response>(self, result: Result<R, WireError>) {
        match result {
            Err(error) => self.refuse(error),
            Ok(response) => self.answer_with(|id, in_flight| {
                Answer::bytes(response_frame(id, &response), Some(in_flight))
            }),
        }
    }

    /// Answers with an error, or with what is wrong with its frame, which comes first.
    pub(crate) fn refuse(mut self, error: WireError) {
        let error = self.walk().err().unwrap_or(error);
        debug!(%error, "request failed");
        self.answer_with(|id, in_flight| {
            Answer::bytes(error_frame(Some(id), &error), Some(in_flight))
        });
    }

    /// Answers with a frame that the handler builds itself.
    pub(crate) fn answer_with(mut self, build: impl FnOnce(u64, InFlight) -> Answer) {
        if let (Some(id), Some(in_flight)) = (self.id, self.in_flight.take()) {
            self.sink.send(build(id, in_flight));
        }
    }

    /// Waits until nobody can read an answer any more.
    pub(crate) async fn gone(&self) {
        self.sink.closed().await;
    }

    /// Whether nobody can read an answer any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.sink.is_closed()
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        if let (Some(id), Some(in_flight)) = (self.id, self.in_flight.take()) {
            let message = "the request ended without an answer; see the broker's log";
            let error = WireError::new(ErrorCode::Unknown, message);
            self.sink.send(Answer::bytes(
                error_frame(Some(id), &error),
                Some(in_flight),
            ));
        }
    }
}

/// How many bytes of work it is here to take arguments of so many bytes apart.
fn work_on_arguments(method: Method, weight: Weight, bytes: usize) -> usize {
    match (method, weight) {
        // Records stay as they are, and what is heavy is taken apart elsewhere.
        (Method::Produce, _) | (_, Weight::Large | Weight::Heavy) => 0,
        _ => bytes.saturating_mul(ARGUMENTS_TIMES),
    }
}

impl Session {
    /// Goes on with what a connection brought along, on the shard it came to.
    pub(super) fn resume(context: Arc<Context>, state: SessionState, shard: Shard) -> Self {
        Self {
            context,
            sink: state.sink,
            budget: state.budget,
            greeted: Cell::new(state.greeted),
            affinity: RefCell::new(Affinity::new(shard)),
            worked_on: Cell::new(0),
            _resident: Resident::enter(),
        }
    }

    /// What goes along to another shard.
    pub(super) fn into_state(self) -> SessionState {
        SessionState {
            sink: self.sink,
            budget: self.budget,
            greeted: self.greeted.get(),
        }
    }

    /// A request is for a partition that lives on `shard`.
    pub(crate) fn note_shard(&self, shard: Shard) {
        self.affinity.borrow_mut().note(shard);
    }

    /// So many bytes were worked on for a request, beyond taking it in.
    pub(crate) fn note_work(&self, bytes: usize) {
        self.worked_on
            .set(self.worked_on.get().saturating_add(bytes));
    }

    /// The bytes that were worked on since this was asked last.
    pub(super) fn take_work(&self) -> usize {
        self.worked_on.take()
    }

    /// The shard the connection should move to, if there is one.
    pub(super) fn better_shard(&self) -> Option<Shard> {
        self.affinity
            .borrow_mut()
            .better_shard(&self.context.arbiters)
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub(super) fn sink(&self) -> &AnswerSink {
        &self.sink
    }

    pub(crate) fn budget(&self) -> &ConnectionBudget {
        &self.budget
    }

    /// Whether `hello` was answered.
    pub(super) fn is_greeted(&self) -> bool {
        self.greeted.get()
    }

    /// Takes a frame's body apart and starts what it asks for, unless that is much work.
    pub(super) fn start_request(self: &Rc<Self>, body: Bytes, in_flight: InFlight) -> Next {
        solitude::note_request(Rc::as_ptr(self).addr());
        if self.is_greeted()
            && let Some(produce) = Parsed::light_produce(&body)
        {
            return self.start_parsed(produce, Weight::Light, in_flight);
        }
        let values_max = match body.len() {
            ..=LIGHT_FRAME_BYTES_MAX => LIGHT_FRAME_VALUES_MAX,
            _ => 0,
        };
        match Envelope::parse_within(&body, values_max) {
            None => Next::Heavy(body, in_flight),
            Some(parsed) => {
                let parsed = Parsed::from(parsed, &body);
                self.start_parsed(parsed, Weight::Light, in_flight)
            }
        }
    }

    /// The same for a frame of very many values or bytes: it is looked at in the background.
    pub(super) async fn start_heavy(self: &Rc<Self>, body: Bytes, in_flight: InFlight) -> Next {
        let workers = self.context.arbiters.background().workers();
        match workers.run(move || Parsed::weighed(&body)).await {
            Ok((parsed, weight)) => self.start_parsed(parsed, weight, in_flight),
            Err(panicked) => {
                let error = WireError::new(ErrorCode::Unknown, panicked.to_string());
                self.refuse(None, &error, in_flight)
            }
        }
    }

    fn start_parsed(
        self: &Rc<Self>,
        parsed: Parsed,
        weight: Weight,
        mut in_flight: InFlight,
    ) -> Next {
        let (id, method, args, unwalked) = match parsed {
            Parsed::Call {
                id,
                method,
                args,
                unwalked,
            } => (id, method, args, unwalked),
            Parsed::Refused { id, error } => return self.refuse(id, &error, in_flight),
        };
        let known = match method {
            Ok(known) => known,
            Err(error) => return self.refuse_unless_notification(id, &error, in_flight),
        };
        if known != Method::Hello && !self.is_greeted() {
            let message = format!("send hello before {known}");
            let error = WireError::new(ErrorCode::HelloRequired, message);
            return self.refuse_unless_notification(id, &error, in_flight);
        }
        self.note_work(work_on_arguments(known, weight, args.len()));
        let has_room = match (known, weight) {
            // What becomes of it says more than its envelope.
            (Method::Produce, Weight::Light | Weight::Large) => true,
            (Method::Produce, Weight::Heavy) => {
                in_flight.distrust();
                true
            }
            (Method::Fetch, Weight::Light) => {
                in_flight.trust();
                true
            }
            (_, Weight::Light) => in_flight.doubt(),
            (_, Weight::Large | Weight::Heavy) => in_flight.distrust(),
        };
        if !has_room {
            let message = "too many requests that are much work are under way";
            let error = WireError::new(ErrorCode::Busy, message);
            self.refuse_much(args, Asker::new(id, self.sink.clone(), in_flight), error);
            return Next::Continue;
        }
        let mut asker = Asker::new(id, self.sink.clone(), in_flight);
        asker.unwalked = unwalked;
        match request::start(self, known, (args, weight), asker) {
            None => Next::Continue,
            Some(work) => Next::After(work),
        }
    }

    /// Refuses a request whose arguments may be many bytes: to give those back to the system takes long, which nobody
    /// waits for on another thread.
    pub(super) fn refuse_much(&self, args: Bytes, asker: Asker, error: WireError) {
        if args.len() <= LIGHT_FRAME_BYTES_MAX {
            return asker.refuse(error);
        }
        // Not of low priority: others wait for its place.
        drop(actix_rt::task::spawn_blocking(move || {
            // Before its place is given back.
            drop(args);
            asker.refuse(error);
        }));
    }

    /// Larger frames and every method are allowed from now on.
    pub(crate) fn greet(&self) {
        self.greeted.set(true);
    }

    fn refuse(&self, id: Option<u64>, error: &WireError, in_flight: InFlight) -> Next {
        debug!(%error, "request refused");
        if id.is_some() {
            self.sink
                .send(Answer::bytes(error_frame(id, error), Some(in_flight)));
            return Next::Continue;
        }
        // Without an id nobody knows which request failed: the stream cannot go on.
        self.sink.send_last(error_frame(None, error));
        Next::Close
    }

    fn refuse_unless_notification(
        &self,
        id: Option<u64>,
        error: &WireError,
        in_flight: InFlight,
    ) -> Next {
        match id {
            Some(_) => self.refuse(id, error, in_flight),
            None => {
                debug!(%error, "notification dropped");
                Next::Continue
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_frame_is_weighed_by_its_values() {
        let body = |values: u32| {
            let mut body = vec![0x93, 2, 0xa1, b'm', 0xdd];
            body.extend((values + 1).to_be_bytes());
            body.extend((0..values).map(|_| 0xc0));
            body.push(0xc6);
            let blob = u32::try_from(3 * LIGHT_FRAME_BYTES_MAX).unwrap();
            body.extend(blob.to_be_bytes());
            body.resize(body.len() + 3 * LIGHT_FRAME_BYTES_MAX, 0);
            Bytes::from(body)
        };
        let weight = |values| Parsed::weighed(&body(values)).1;
        assert_eq!(weight(10), Weight::Large);
        assert_eq!(weight(50_000), Weight::Large);
        assert_eq!(weight(150_000), Weight::Heavy);
    }

    #[test]
    fn arguments_that_are_taken_apart_here_are_work_and_records_are_not() {
        let work = |method, weight| work_on_arguments(method, weight, 1_000);
        assert!(work(Method::Fetch, Weight::Light) > 1_000);
        assert_eq!(work(Method::Produce, Weight::Light), 0);
        assert_eq!(work(Method::Fetch, Weight::Heavy), 0);
    }
}
