//! `Refusals`: the records that a serializer of the topic refused, with the lines they came from.
//! Where nothing of a batch is stored because of some, the others fail with the same error: they are
//! told apart by their place in the batch.

use std::collections::VecDeque;
use std::sync::Arc;

use broker_client::ClientError;
use broker_client::protocol::api::produce::Partial;
use broker_client::protocol::{DeadLetter, RefusedRecord, WireError};
use serde::Serialize;

use crate::input::SourceLine;
use crate::output::{Output, number};

/// How many refused records are remembered with their reasons.
const LISTED_MAX: usize = 1_000;
/// How many batches may be settled by turns.
const BATCHES_MAX: usize = 64;
/// How many of them are shown to people.
const SHOWN_MAX: usize = 20;

/// A refused record and the line it came from.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RefusedLine {
    input: String,
    line: u64,
    field: String,
    code: String,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter: Option<DeadLetter>,
}

/// What a failed delivery was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its record was refused.
    Refused,
    /// Its record was not stored because others of its batch were refused.
    BesideRefused,
    /// Something else went wrong.
    Other,
}

/// The refused records of a run.
#[derive(Debug)]
pub(super) struct Refusals {
    partial: Partial,
    pub(super) count: u64,
    listed: Vec<RefusedLine>,
    /// The answers for batches that are being settled, and the index of the last settled record.
    batches: VecDeque<(Arc<WireError>, u32)>,
}

impl Refusals {
    pub(super) fn new(partial: Partial) -> Self {
        Self {
            partial,
            count: 0,
            listed: Vec::new(),
            batches: VecDeque::new(),
        }
    }

    /// Whether the others of a batch are stored.
    pub(super) fn others_are_stored(&self) -> bool {
        self.partial == Partial::Accept
    }

    /// Looks at a failed delivery; deliveries come in the order of their records.
    pub(super) fn take(&mut self, line: &SourceLine, error: &ClientError) -> Verdict {
        let ClientError::Refused { error, .. } = error else {
            return Verdict::Other;
        };
        let refused = match &error.data {
            Some(data) if !data.refused.is_empty() => &data.refused,
            _ => return Verdict::Other,
        };
        let found = match self.partial {
            Partial::Accept => refused.first(),
            Partial::Refuse => {
                let index = self.index_in_batch(error);
                refused.iter().find(|record| record.index == index)
            }
        };
        let Some(record) = found else {
            return Verdict::BesideRefused;
        };
        self.count += 1;
        if self.listed.len() < LISTED_MAX {
            self.listed.push(RefusedLine::new(line, record));
        }
        Verdict::Refused
    }

    /// All records of a batch share one answer, and those of several batches may take turns.
    fn index_in_batch(&mut self, answer: &Arc<WireError>) -> u32 {
        let known = self
            .batches
            .iter_mut()
            .find(|(same, _)| Arc::ptr_eq(same, answer));
        if let Some((_, settled)) = known {
            *settled += 1;
            return *settled;
        }
        if self.batches.len() == BATCHES_MAX {
            self.batches.pop_front();
        }
        self.batches.push_back((Arc::clone(answer), 0));
        0
    }

    /// The first one.
    pub(super) fn first(&self) -> Option<&RefusedLine> {
        self.listed.first()
    }

    /// Those that are remembered.
    pub(super) fn listed(&self) -> &[RefusedLine] {
        &self.listed
    }

    /// Shows them to people, on standard error.
    pub(super) fn show(&self, output: &Output) {
        if output.is_json() {
            return;
        }
        for refused in self.listed.iter().take(SHOWN_MAX) {
            output.warn(format_args!("refused: {}", refused.text()));
        }
        let more = self.count.saturating_sub(SHOWN_MAX as u64);
        if more > 0 {
            output.warn(format_args!(
                "and {} more; --json lists {LISTED_MAX}",
                number(more)
            ));
        }
    }
}

impl RefusedLine {
    fn new(line: &SourceLine, record: &RefusedRecord) -> Self {
        Self {
            input: line.input.to_string(),
            line: line.line,
            field: record.field.clone(),
            code: record.code.clone(),
            reason: record.reason.clone(),
            plugin: record.plugin.clone(),
            dead_letter: record.dead_letter.clone(),
        }
    }

    /// Line, field, reason, plugin, and where it went instead.
    pub(super) fn text(&self) -> String {
        let line = SourceLine {
            input: self.input.as_str().into(),
            line: self.line,
        };
        let mut text = format!("{line}: {}: {}", self.field, self.reason);
        if let Some(plugin) = &self.plugin {
            text.push_str(&format!(" ({plugin})"));
        }
        if let Some(dead) = &self.dead_letter {
            let went = match (&dead.error, dead.partition, dead.offset) {
                (Some(error), ..) => format!("; it could not be kept in {}: {error}", dead.topic),
                (None, Some(partition), Some(offset)) => {
                    format!("; kept in {}-{partition} at offset {offset}", dead.topic)
                }
                (None, ..) => format!("; kept in {}", dead.topic),
            };
            text.push_str(&went);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use broker_client::protocol::{ErrorCode, ErrorData};

    use super::*;

    fn refused(index: u32) -> RefusedRecord {
        RefusedRecord {
            index,
            field: "value".to_owned(),
            reason: format!("reason {index}"),
            ..RefusedRecord::default()
        }
    }

    /// The answer for a batch of which these records were refused.
    fn answer(indexes: &[u32]) -> Arc<WireError> {
        let data = ErrorData {
            refused: indexes.iter().copied().map(refused).collect(),
            ..ErrorData::default()
        };
        Arc::new(WireError::new(ErrorCode::RecordRefused, "no").with_data(data))
    }

    fn take(refusals: &mut Refusals, line: u64, answer: &Arc<WireError>) -> Verdict {
        let call = broker_client::Call {
            address: "broker:7420".into(),
            method: "produce",
        };
        let line = SourceLine {
            input: "a.txt".into(),
            line,
        };
        let error = ClientError::Refused {
            call,
            error: Arc::clone(answer),
        };
        refusals.take(&line, &error)
    }

    #[test]
    fn records_of_a_refused_batch_are_told_apart_by_their_place_also_when_batches_take_turns() {
        let mut refusals = Refusals::new(Partial::Refuse);
        let (one, other) = (answer(&[1]), answer(&[0, 2]));
        let mut verdicts = Vec::new();
        for line in 0..3 {
            verdicts.push(take(&mut refusals, line * 2 + 1, &one));
            verdicts.push(take(&mut refusals, line * 2 + 2, &other));
        }
        use Verdict::{BesideRefused, Refused};
        assert_eq!(
            verdicts,
            [
                BesideRefused,
                Refused,
                Refused,
                BesideRefused,
                BesideRefused,
                Refused
            ]
        );
        let lines: Vec<_> = refusals
            .listed()
            .iter()
            .map(|refused| refused.line)
            .collect();
        assert_eq!((lines, refusals.count), (vec![2, 3, 6], 3));
        assert_eq!(refusals.listed()[1].text(), "a.txt:3: value: reason 1");
    }

    #[test]
    fn a_record_that_alone_was_refused_is_its_own_whatever_its_index() {
        let mut refusals = Refusals::new(Partial::Accept);
        assert_eq!(take(&mut refusals, 9, &answer(&[8])), Verdict::Refused);
        let other = Arc::new(WireError::new(ErrorCode::InvalidRecord, "no"));
        assert_eq!(take(&mut refusals, 10, &other), Verdict::Other);
    }
}
