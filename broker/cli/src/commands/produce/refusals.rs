//! `Refusals`: the records that a serializer of the topic refused, with the lines they came from.
//! Where nothing of a batch is stored because of some, the others fail with the same error: they are
//! told apart by their place in the batch.

use std::sync::Arc;

use broker_client::ClientError;
use broker_client::protocol::api::produce::Partial;
use broker_client::protocol::{DeadLetter, RefusedRecord, WireError};
use serde::Serialize;

use crate::input::SourceLine;
use crate::output::{Output, number};

/// How many refused records are remembered with their reasons.
const LISTED_MAX: usize = 1_000;
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
    /// The answer for the batch that is being settled, and how many of its records were.
    batch: Option<(Arc<WireError>, u32)>,
}

impl Refusals {
    pub(super) fn new(partial: Partial) -> Self {
        Self {
            partial,
            count: 0,
            listed: Vec::new(),
            batch: None,
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

    /// All records of a batch share one answer.
    fn index_in_batch(&mut self, answer: &Arc<WireError>) -> u32 {
        match &mut self.batch {
            Some((same, settled)) if Arc::ptr_eq(same, answer) => {
                *settled += 1;
                *settled
            }
            other => {
                *other = Some((Arc::clone(answer), 0));
                0
            }
        }
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
