//! `produce` to a topic with serializers: values become stored bytes, or serialized bytes are checked, before
//! anything is routed or appended. Refused records are answered by index; nothing of them is stored but in
//! the dead-letter topic, if there is one.

use std::sync::{Arc, Mutex};

use broker_model::limits::{FRAME_BYTES_MAX, REFUSED_RECORDS_MAX};
use broker_model::{PartitionId, Timestamp};
use broker_protocol::api::produce::{
    Appended, Partial, Payload, ProduceRequest, ProduceResponse, Routed,
};
use broker_protocol::{DeadLetter, ErrorCode, ErrorData, RefusedRecord as WireRefused, WireError};
use broker_record::{FieldForm, InvalidBatch, ProducedBatch, SerializableRecords};
use bytes::Bytes;

use super::dead_letters::{Letters, Origin, letters};
use super::produce::{Answerer, Opaque, Terms, append};
use super::routed_produce::{RoutedRecords, route};
use super::{lookup, wire};
use crate::connection::Asker;
use crate::context::Context;
use crate::plugins::{RefusedRecord, Serialized};
use crate::topics::HostedTopic;

/// A request whose records went through the serializers.
pub(super) struct Prepared {
    records: SerializableRecords,
    refused: Vec<RefusedRecord>,
    partition: Option<PartitionId>,
    partial: Partial,
    accepted: Accepted,
    timestamp: Timestamp,
}

/// What of a request goes in.
enum Accepted {
    /// Nothing: every record was refused, or one and the producer wants all or none.
    Nothing,
    Batch(PartitionId, Box<ProducedBatch>),
    Routed(RoutedRecords),
}

/// A body that the producer built, with its records.
pub(super) struct Opened {
    batch: ProducedBatch,
    records: SerializableRecords,
}

/// Opens a body if it unfolds to at most so many bytes.
pub(super) fn open(opaque: &Opaque, unfolded_max: usize) -> Result<Opened, InvalidBatch> {
    let batch = opaque.check(unfolded_max)?;
    let records = SerializableRecords::opaque(&batch, unfolded_max)?;
    Ok(Opened { batch, records })
}

/// Runs the serializers and makes the batches that are to be appended. A compressed body is `opened` already.
pub(super) fn prepare(
    context: &Context,
    topic: &HostedTopic,
    (request, opened): (ProduceRequest, Option<Opened>),
    timestamp: Timestamp,
) -> Result<Prepared, WireError> {
    let invalid = |error: InvalidBatch| wire::invalid_batch(&error);
    let form = if request.encode {
        FieldForm::Value
    } else {
        FieldForm::Bytes
    };
    let mut opaque = None;
    let mut plain = None;
    let records = match request.payload {
        Payload::Plain(body) => {
            plain = Some(body.clone());
            SerializableRecords::plain(body, form, timestamp).map_err(invalid)?
        }
        Payload::Opaque(_) if request.encode => {
            let message = "encode goes with records, not with an encoded body";
            return Err(WireError::new(ErrorCode::InvalidRequest, message));
        }
        Payload::Opaque(_) if request.partition.is_none() => {
            let message = "an encoded body needs a partition: ask partition_for, or send records";
            return Err(WireError::new(ErrorCode::InvalidRequest, message));
        }
        Payload::Opaque(body) => {
            let opened = match opened {
                Some(opened) => opened,
                None => open(&Opaque::new(topic, body)?, FRAME_BYTES_MAX).map_err(invalid)?,
            };
            opaque = Some(opened.batch);
            opened.records
        }
    };
    let serialized = context.plugins.serialize(topic, &records, form);
    let serialized = serialized.map_err(|error| wire::slot_error(&error))?;
    let body = if serialized.is_unchanged() {
        plain.filter(|_| form == FieldForm::Bytes)
    } else {
        opaque = None;
        kept_body(&records, &serialized, request.partial)
    };
    let accepted = match (request.partition, opaque, body) {
        (Some(partition), Some(batch), _) => Accepted::Batch(partition, Box::new(batch)),
        (_, _, None) => Accepted::Nothing,
        (Some(partition), None, Some(body)) => {
            let batch = records.batch(body).map_err(invalid)?;
            Accepted::Batch(partition, Box::new(batch))
        }
        (None, _, Some(body)) => Accepted::Routed(route(context, topic, body, timestamp)?),
    };
    Ok(Prepared {
        records,
        refused: serialized.refused,
        partition: request.partition,
        partial: request.partial,
        accepted,
        timestamp,
    })
}

/// The records that go in; `None` when none do.
fn kept_body(
    records: &SerializableRecords,
    serialized: &Serialized,
    partial: Partial,
) -> Option<Bytes> {
    let refused = &serialized.refused;
    let too_many = refused.len() > REFUSED_RECORDS_MAX;
    if too_many || (partial == Partial::Refuse && !refused.is_empty()) {
        return None;
    }
    let keep = |index: u32| {
        refused
            .binary_search_by_key(&index, |refused| refused.index)
            .is_err()
    };
    match (&serialized.keys, &serialized.values) {
        (Some(keys), Some(values)) => records.rebuild(keys.rows(), values.rows(), keep),
        (Some(keys), None) => records.rebuild(keys.rows(), records.values(), keep),
        (None, Some(values)) => records.rebuild(records.keys(), values.rows(), keep),
        (None, None) => records.rebuild(records.keys(), records.values(), keep),
    }
}

impl Prepared {
    /// Sends what goes in to its partitions and the rest to the dead-letter topic, and answers when both
    /// have answered.
    pub(super) fn append(
        self,
        context: &Context,
        topic: &Arc<HostedTopic>,
        terms: Terms,
        asker: Asker,
    ) {
        if self.refused.is_empty() {
            return self.accepted.append(context, topic, terms, asker);
        }
        let letters = self.letters(context, topic);
        let waiting = Arc::new(Waiting(Mutex::new(Parts {
            refused: self.listed().iter().map(wire_refused).collect(),
            refused_count: self.refused.len(),
            records: self.records.len(),
            left: 1 + letters.len(),
            main: None,
            asker: Some(asker),
        })));
        let takes_none =
            self.partial == Partial::Accept && self.refused.len() <= REFUSED_RECORDS_MAX;
        match self.accepted {
            Accepted::Nothing if takes_none => waiting.main_is(Some(Ok(nothing(self.partition)))),
            Accepted::Nothing => waiting.main_is(None),
            accepted => accepted.append(context, topic, terms, MainPart(waiting.clone())),
        }
        let name = topic.config.dead_letters_of(topic.name.as_str());
        for Letters { indexes, body } in letters {
            let part = LettersPart {
                topic: name.unwrap_or_default().to_owned(),
                indexes,
                waiting: waiting.clone(),
            };
            let target = lookup::topic(context, &part.topic, None);
            let routed = target.and_then(|target| {
                let routed = route(context, &target, body, self.timestamp)?;
                Ok((target, routed))
            });
            match routed {
                Ok((target, routed)) => routed.append(context, &target, terms, part),
                Err(error) => part.answer(Err(error)),
            }
        }
    }

    /// The refused records that an answer may name. No more get into the dead-letter topic.
    fn listed(&self) -> &[RefusedRecord] {
        let listed = self.refused.get(..REFUSED_RECORDS_MAX);
        listed.unwrap_or(&self.refused)
    }

    /// What goes to the dead-letter topic, if there is one, in batches that it takes.
    fn letters(&self, context: &Context, topic: &HostedTopic) -> Vec<Letters> {
        let Some(name) = topic.config.dead_letters_of(topic.name.as_str()) else {
            return Vec::new();
        };
        let origin = Origin {
            topic: topic.name.as_str(),
            partition: self.partition.map(|partition| partition.get().to_string()),
        };
        let target = context.topics.get(name);
        let bytes_max = target.map_or(u32::MAX, |target| target.config.message_bytes_max);
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        letters(&self.records, self.listed(), &origin, bytes_max)
    }
}

impl Accepted {
    fn append(
        self,
        context: &Context,
        topic: &Arc<HostedTopic>,
        terms: Terms,
        asker: impl Answerer,
    ) {
        match self {
            Self::Nothing => {}
            Self::Routed(routed) => routed.append(context, topic, terms, asker),
            Self::Batch(partition, batch) => match lookup::partition(topic, partition) {
                Ok(handle) => append(handle, topic, partition, (*batch, terms), asker),
                Err(error) => asker.answer(Err(error)),
            },
        }
    }
}

/// The answer about no records at all.
fn nothing(partition: Option<PartitionId>) -> ProduceResponse {
    match partition {
        Some(partition) => ProduceResponse::Appended(Appended {
            partition,
            base_offset: None,
            record_count: 0,
            log_append_time_ms: None,
            log_start: None,
            refused: Vec::new(),
        }),
        None => ProduceResponse::Routed(Routed::default()),
    }
}

/// The code that tells a refused record's reason.
pub(super) fn refusal_code(refused: &RefusedRecord) -> ErrorCode {
    match refused.plugin {
        Some(_) => ErrorCode::PluginRejected,
        None => ErrorCode::InvalidRecord,
    }
}

fn wire_refused(refused: &RefusedRecord) -> WireRefused {
    WireRefused {
        index: refused.index,
        field: refused.field.name().to_owned(),
        code: refusal_code(refused).name().to_owned(),
        reason: refused.reason.clone(),
        plugin: refused.plugin.clone(),
        dead_letter: None,
    }
}

/// An answer of which parts are still to come.
struct Waiting(Mutex<Parts>);

struct Parts {
    refused: Vec<WireRefused>,
    /// As many as were refused, listed or not; a record may count for its key and for its value.
    refused_count: usize,
    /// How many records the request had.
    records: usize,
    left: usize,
    /// What became of the accepted records; none when there are none.
    main: Option<Result<ProduceResponse, WireError>>,
    asker: Option<Asker>,
}

struct MainPart(Arc<Waiting>);

impl Answerer for MainPart {
    fn answer(self, result: Result<ProduceResponse, WireError>) {
        self.0.main_is(Some(result));
    }
}

struct LettersPart {
    topic: String,
    indexes: Vec<u32>,
    waiting: Arc<Waiting>,
}

impl LettersPart {
    /// What became of each letter.
    fn fates(&self, result: Result<ProduceResponse, WireError>) -> Vec<DeadLetter> {
        let to = |partition, offset| DeadLetter {
            topic: self.topic.clone(),
            partition,
            offset,
            error: None,
        };
        let failed = |error: &WireError| DeadLetter {
            error: Some(error.clone()),
            ..to(None, None)
        };
        let letters = self.indexes.len();
        let routed = match result {
            Err(error) => return vec![failed(&error); letters],
            Ok(ProduceResponse::Appended(appended)) => {
                return vec![to(Some(appended.partition), None); letters];
            }
            Ok(ProduceResponse::Routed(routed)) => routed,
        };
        let rows = 0..letters;
        let place = |row: usize| {
            let partition = routed.partitions.get(row).copied().flatten();
            to(partition, routed.offsets.get(row).copied().flatten())
        };
        let mut fates: Vec<DeadLetter> = rows.map(place).collect();
        for errors in &routed.errors {
            for index in &errors.indexes {
                if let Some(fate) = fates.get_mut(*index as usize) {
                    *fate = failed(&errors.error);
                }
            }
        }
        fates
    }
}

impl Answerer for LettersPart {
    fn answer(self, result: Result<ProduceResponse, WireError>) {
        let fates = self.fates(result);
        self.waiting.part_done(|parts| {
            for refused in &mut parts.refused {
                if let Ok(row) = self.indexes.binary_search(&refused.index) {
                    refused.dead_letter = fates.get(row).cloned();
                }
            }
        });
    }
}

impl Waiting {
    fn main_is(&self, result: Option<Result<ProduceResponse, WireError>>) {
        self.part_done(|parts| parts.main = result);
    }

    fn part_done(&self, note: impl FnOnce(&mut Parts)) {
        let mut parts = self
            .0
            .lock()
            .expect("no code panics while it holds this lock");
        note(&mut parts);
        parts.left -= 1;
        if parts.left == 0
            && let Some(asker) = parts.asker.take()
        {
            asker.answer(parts.finish());
        }
    }
}

impl Parts {
    fn finish(&mut self) -> Result<ProduceResponse, WireError> {
        let refused = std::mem::take(&mut self.refused);
        match self.main.take() {
            None => Err(all_refused(refused, self.refused_count, self.records)),
            Some(Err(error)) => Err(error),
            Some(Ok(ProduceResponse::Appended(mut appended))) => {
                appended.refused = refused;
                Ok(ProduceResponse::Appended(appended))
            }
            Some(Ok(ProduceResponse::Routed(routed))) => Ok(ProduceResponse::Routed(
                in_request_order(routed, refused, self.records),
            )),
        }
    }
}

/// The answer about the kept records as an answer about all of them.
fn in_request_order(routed: Routed, refused: Vec<WireRefused>, records: usize) -> Routed {
    let is_refused = |index: &u32| {
        refused
            .binary_search_by_key(index, |refused| refused.index)
            .is_ok()
    };
    let all = 0..u32::try_from(records).unwrap_or(u32::MAX);
    let kept: Vec<u32> = all.clone().filter(|index| !is_refused(index)).collect();
    let mut partitions = vec![None; records];
    let mut offsets = vec![None; records];
    let places = routed.partitions.into_iter().zip(routed.offsets);
    for (index, (partition, offset)) in kept.iter().zip(places) {
        partitions[*index as usize] = partition;
        offsets[*index as usize] = offset;
    }
    let mut errors = routed.errors;
    for error in &mut errors {
        for index in &mut error.indexes {
            *index = kept.get(*index as usize).copied().unwrap_or(*index);
        }
    }
    Routed {
        partitions,
        offsets,
        errors,
        refused,
    }
}

fn all_refused(refused: Vec<WireRefused>, count: usize, records: usize) -> WireError {
    let first = refused.first();
    let detail = first.map_or_else(String::new, |first| {
        let by = first
            .plugin
            .as_ref()
            .map_or_else(String::new, |plugin| format!("{plugin}: "));
        format!(
            "; record {}, {}: {by}{}",
            first.index, first.field, first.reason
        )
    });
    let listed = match count.saturating_sub(refused.len()) {
        0 => String::new(),
        more => format!(" ({more} of them not listed)"),
    };
    let message = format!(
        "nothing was stored of {records} records: {count} keys and values were refused{listed}{detail}"
    );
    WireError::new(ErrorCode::RecordRefused, message).with_data(ErrorData {
        record: first.map(|first| first.index),
        refused_count: Some(count as u64),
        refused,
        ..ErrorData::default()
    })
}

#[cfg(test)]
mod tests {
    use broker_model::Offset;
    use broker_protocol::api::produce::RecordErrors;

    use super::*;

    #[test]
    fn each_letter_is_told_its_own_fate() {
        let part = LettersPart {
            topic: "dead".to_owned(),
            indexes: vec![3, 5, 8, 9],
            waiting: Arc::new(Waiting(Mutex::new(Parts {
                refused: Vec::new(),
                refused_count: 4,
                records: 10,
                left: 1,
                main: None,
                asker: None,
            }))),
        };
        let busy = WireError::new(ErrorCode::Busy, "too many requests are waiting");
        let (partition, offset) = (Some(PartitionId::new(1)), Some(Offset::new(70)));
        let routed = Routed {
            partitions: vec![partition, None, None, partition],
            offsets: vec![offset, None, None, offset],
            errors: vec![RecordErrors {
                indexes: vec![1, 2, 4],
                error: busy.clone(),
            }],
            refused: Vec::new(),
        };
        let fates = part.fates(Ok(ProduceResponse::Routed(routed)));
        let found = fates.iter().map(|fate| (fate.partition, fate.offset));
        let stored = (partition, offset);
        assert!(found.eq([stored, (None, None), (None, None), stored]));
        let errors: Vec<_> = fates.into_iter().map(|fate| fate.error).collect();
        assert_eq!(errors, [None, Some(busy.clone()), Some(busy.clone()), None]);
        let refused = part.fates(Err(busy.clone()));
        assert_eq!(refused.len(), 4);
        assert!(
            refused
                .iter()
                .all(|fate| fate.error.as_ref() == Some(&busy))
        );
    }
}
