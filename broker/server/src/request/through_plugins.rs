//! `produce` of records that plugins look at before they are appended: serializers, the partitioner, or both.
//! Such a request has to have room for its records, however small they are, until its partitions have
//! answered. When there is none at once, it waits, and with it the requests behind it on its connection. So do
//! they while a request with many records is seen to in the background.

use std::sync::{Arc, Mutex, PoisonError};

use broker_model::Timestamp;
use broker_model::limits::{FRAME_BYTES_MAX, PLUGIN_BATCH_RECORDS_MAX};
use broker_protocol::api::produce::{OpaqueBody, Payload, ProduceRequest};
use broker_protocol::{ErrorCode, WireError};
use broker_record::{Codec, InvalidBatch, count_for_plugins};

use super::produce::{Opaque, Terms};
use super::serialized_produce::Opened;
use super::{routed_produce, serialized_produce, wire};
use crate::connection::{Asker, WorkInOrder};
use crate::context::Context;
use crate::topics::HostedTopic;

/// Requests of up to so many records go through plugins where their connection lives, others in the background.
const RECORDS_AT_ONCE: u32 = 1_000;
/// And of up to so many bytes: as much as a topic takes by default if they are only divided among partitions,
const ROUTED_AT_ONCE_BYTES: usize = 1 << 20;
/// and two calls of a serializer, which looks at every byte. None do for a topic whose plugins are slow.
const SERIALIZED_AT_ONCE_BYTES: usize = 64 * 1024;

/// A request whose records are still as they came.
pub(super) struct ThroughPlugins {
    pub(super) context: Arc<Context>,
    pub(super) topic: Arc<HostedTopic>,
    pub(super) request: ProduceRequest,
    pub(super) terms: Terms,
    /// What records without a timestamp get.
    pub(super) timestamp: Timestamp,
}

impl ThroughPlugins {
    /// Whether a request for this topic takes this way.
    pub(super) fn is_for(topic: &HostedTopic, request: &ProduceRequest) -> bool {
        request.partition.is_none() || request.encode || topic.plugins.serializes()
    }

    /// Does it at once, or gives back what has to be waited for.
    pub(super) fn start(self, mut asker: Asker) -> Option<WorkInOrder> {
        // The values of records are given to serializers as they are.
        if self.serializes()
            && let Err(error) = asker.walk()
        {
            asker.refuse(error);
            return None;
        }
        let records = match record_count(&self.request.payload) {
            Ok(records) => records,
            Err(invalid) => {
                asker.refuse(wire::invalid_batch(&invalid));
                return None;
            }
        };
        let routing = self.context.requests.routing().clone();
        let bytes = bytes(&self.request.payload);
        let bytes_at_once = match self.serializes() {
            true => SERIALIZED_AT_ONCE_BYTES,
            false => ROUTED_AT_ONCE_BYTES,
        };
        let is_slow = self.topic.plugins.is_slow();
        let is_little = records <= RECORDS_AT_ONCE && bytes <= bytes_at_once && !is_slow;
        let folded = self.folded();
        if is_little
            && folded.is_none()
            && let Some(room) = routing.try_room(records)
        {
            asker.keep(room);
            if let Some(place) = asker.place() {
                place.trust();
            }
            self.go(None, asker);
            return None;
        }
        if let Some(place) = asker.place() {
            place.set_aside();
        }
        Some(Box::pin(async move {
            tokio::select! {
                room = routing.room(records) => asker.keep(room),
                () = asker.gone() => return,
            }
            if let Some(place) = asker.place() {
                place.judge(usize::try_from(records).unwrap_or(usize::MAX), bytes);
            }
            if let Some(folded) = folded {
                return self.unfold(folded, asker).await;
            }
            if is_little {
                return self.go(None, asker);
            }
            let workers = self.context.arbiters.background().workers().clone();
            // A panic has answered through the asker.
            let _ = workers.run(move || self.go(None, asker)).await;
        }))
    }

    /// A compressed body that serializers are to look at.
    fn folded(&self) -> Option<OpaqueBody> {
        match &self.request.payload {
            Payload::Opaque(opaque) if self.request.partition.is_some() && !self.request.encode => {
                let codec = Codec::from_name(&opaque.codec);
                (codec != Ok(Codec::None)).then(|| opaque.clone())
            }
            _ => None,
        }
    }

    /// Goes on with a body once it is unfolded, in the background and when there is memory for that.
    async fn unfold(self, folded: OpaqueBody, asker: Asker) {
        let opaque = match Opaque::new(&self.topic, folded) {
            Ok(opaque) => opaque,
            Err(error) => return asker.refuse(error),
        };
        let unfolding = self.context.requests.unfolding().clone();
        let waiting = Arc::new(Mutex::new(Some((self, asker))));
        let work = move |unfolded_max: usize| {
            let unfolded_max = unfolded_max.min(FRAME_BYTES_MAX);
            let opened = serialized_produce::open(&opaque, unfolded_max);
            let lacks_room = matches!(&opened, Err(error) if error.is_for_lack_of_room());
            let is_too_low = lacks_room && unfolded_max < FRAME_BYTES_MAX;
            if !is_too_low {
                let waiting = waiting
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take();
                if let Some((request, asker)) = waiting {
                    match opened {
                        Ok(opened) => request.go(Some(opened), asker),
                        Err(invalid) => asker.refuse(wire::invalid_batch(&invalid)),
                    }
                }
            }
            is_too_low
        };
        // A panic has answered through the asker.
        let _ = unfolding.in_steps(work, |is_too_low| *is_too_low).await;
    }

    fn serializes(&self) -> bool {
        self.topic.plugins.serializes() || self.request.encode
    }

    fn go(self, opened: Option<Opened>, mut asker: Asker) {
        let serializes = self.serializes();
        let (context, topic, terms) = (self.context, self.topic, self.terms);
        if serializes {
            let of = (self.request, opened);
            match serialized_produce::prepare(&context, &topic, of, self.timestamp) {
                Ok(serialized) => serialized.append(&context, &topic, terms, asker),
                Err(error) => asker.refuse(error),
            }
            return;
        }
        let routed = match self.request.payload {
            Payload::Plain(records) => {
                routed_produce::route(&context, &topic, records, self.timestamp)
            }
            Payload::Opaque(_) => {
                let message =
                    "an encoded body needs a partition: ask partition_for, or send records";
                Err(WireError::new(ErrorCode::InvalidRequest, message))
            }
        };
        match routed {
            Ok(routed) => {
                asker.was_walked();
                routed.append(&context, &topic, terms, asker);
            }
            Err(error) => asker.refuse(error),
        }
    }
}

/// How many records a request says that it has.
fn record_count(payload: &Payload) -> Result<u32, InvalidBatch> {
    match payload {
        Payload::Plain(records) => count_for_plugins(records),
        Payload::Opaque(opaque) => match opaque.record_count {
            records @ ..=PLUGIN_BATCH_RECORDS_MAX => Ok(records),
            records => Err(InvalidBatch::TooManyForPlugins { records }),
        },
    }
}

fn bytes(payload: &Payload) -> usize {
    match payload {
        Payload::Plain(records) => records.len(),
        Payload::Opaque(opaque) => opaque.body.len(),
    }
}
