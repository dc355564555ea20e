//! `Sending`: takes what the reader hands over, gives it to the producer, and looks at what became
//! of each record. Stops at the first thing that went wrong, or counts and goes on; whatever was
//! handed to the producer is waited for in any case.

use std::collections::VecDeque;
use std::sync::Arc;

use broker_client::model::{PartitionId, Timestamp};
use broker_client::protocol::api::produce::Partial;
use broker_client::{ClientError, Delivery, Header, Producer, ProducerRecord, RecordMetadata};
use bytes::Bytes;
use clap::ValueEnum;
use futures::FutureExt;
use tokio::sync::mpsc;

use super::refusals::{Refusals, Verdict};
use super::tally::Tally;
use crate::exit_status::ExitStatus;
use crate::failure::Failure;
use crate::input::{Chunk, Draft, Feed, SourceLine};
use crate::output::{Progress, number};
use crate::runtime::interrupted;
use crate::session::Session;

/// What to do about a bad line or a refused record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OnError {
    /// End with an error that names the line.
    Stop,
    /// Count it and go on.
    Skip,
}

/// What is done about records that are not stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) on_error: OnError,
    pub(super) partial: Partial,
}

/// What all records of a run have in common.
#[derive(Debug)]
pub(super) struct RecordTemplate {
    pub(super) topic: Arc<str>,
    pub(super) partition: Option<u32>,
    pub(super) key: Option<Bytes>,
    pub(super) headers: Vec<Header>,
    pub(super) timestamp: Option<Timestamp>,
}

/// A record on its way.
struct UnderWay {
    line: SourceLine,
    bytes: u64,
    delivery: Delivery,
}

/// Why the run ended before its input did.
enum Stop {
    BadLine {
        line: SourceLine,
        reason: String,
    },
    NotStored {
        line: SourceLine,
        error: ClientError,
    },
    /// A serializer refused records, and nothing of their batch was stored.
    Refused,
    Interrupted,
}

/// A run of `broker produce`.
pub(super) struct Sending {
    producer: Producer,
    template: RecordTemplate,
    on_error: OnError,
    under_way: VecDeque<UnderWay>,
    tally: Tally,
    /// The first refused record of a run that goes on.
    first_refused: Option<(SourceLine, ClientError)>,
    /// Those that a serializer refused.
    refusals: Refusals,
    stop: Option<Stop>,
}

impl Sending {
    pub(super) fn new(producer: Producer, template: RecordTemplate, rules: Rules) -> Self {
        Self {
            producer,
            template,
            on_error: rules.on_error,
            under_way: VecDeque::new(),
            tally: Tally::new(),
            first_refused: None,
            refusals: Refusals::new(rules.partial),
            stop: None,
        }
    }

    /// Sends everything and says what became of it.
    pub(super) async fn run(
        mut self,
        mut feeds: mpsc::Receiver<Feed>,
        session: &Session,
        total: Option<u64>,
    ) -> Result<(), Failure> {
        let progress = session.output.progress(total);
        let was_interrupted = tokio::select! {
            () = self.feed_all(&mut feeds, &progress) => false,
            () = interrupted() => true,
        };
        // The reader ends when it finds nobody listening.
        drop(feeds);
        if was_interrupted {
            self.stop = Some(Stop::Interrupted);
        }
        tokio::select! {
            () = self.settle_all() => {}
            // Ctrl-C again: no more patience.
            () = interrupted() => self.tally.not_stored += self.under_way.len() as u64,
        }
        progress.clear();
        self.report(session)
    }

    async fn feed_all(&mut self, feeds: &mut mpsc::Receiver<Feed>, progress: &Progress) {
        while self.stop.is_none() {
            let Some(feed) = feeds.recv().await else {
                return;
            };
            match feed {
                Feed::Records { input, chunk } => {
                    let bytes_read = chunk.bytes_read;
                    self.send_chunk(&input, chunk).await;
                    progress.at(bytes_read, self.tally.stored);
                }
                Feed::BadLine { line, reason } => self.bad_line(line, reason),
                Feed::Unreadable { line, error } => {
                    self.stop = Some(Stop::BadLine {
                        line,
                        reason: error.to_string(),
                    });
                }
            }
        }
    }

    async fn send_chunk(&mut self, input: &Arc<str>, chunk: Chunk) {
        self.tally.blank_lines += chunk.blank_lines;
        for (line, draft) in chunk.records {
            let line = SourceLine {
                input: input.clone(),
                line,
            };
            let record = self.template.record(draft);
            let key = record.key.as_ref().map_or(0, Bytes::len);
            let bytes = (key + record.value.as_ref().map_or(0, Bytes::len)) as u64;
            match self.producer.enqueue(record).await {
                Ok(delivery) => self.under_way.push_back(UnderWay {
                    line,
                    bytes,
                    delivery,
                }),
                Err(error) => self.failed(line, error),
            }
            self.settle_ready();
            if self.stop.is_some() {
                return;
            }
        }
    }

    /// Counts the records at the front of the line that have been answered.
    fn settle_ready(&mut self) {
        while let Some(first) = self.under_way.front_mut() {
            let Some(outcome) = (&mut first.delivery).now_or_never() else {
                return;
            };
            self.settle_first(outcome);
        }
    }

    /// Waits for everything that was handed over.
    async fn settle_all(&mut self) {
        // Its error is that of a delivery, which is looked at below.
        let _ = self.producer.flush().await;
        while let Some(first) = self.under_way.front_mut() {
            let outcome = (&mut first.delivery).await;
            self.settle_first(outcome);
        }
    }

    fn settle_first(&mut self, outcome: Result<RecordMetadata, ClientError>) {
        let Some(first) = self.under_way.pop_front() else {
            return;
        };
        match outcome {
            Ok(place) => self.tally.stored(&place, first.bytes),
            Err(error) => self.failed(first.line, error),
        }
    }

    fn bad_line(&mut self, line: SourceLine, reason: String) {
        match self.on_error {
            OnError::Skip => self.tally.bad_lines += 1,
            OnError::Stop => self.stop = Some(Stop::BadLine { line, reason }),
        }
    }

    /// A record was not stored, or perhaps not. What is wrong with the record alone can be skipped;
    /// what is wrong with the connection or the broker cannot.
    fn failed(&mut self, line: SourceLine, error: ClientError) {
        self.tally.not_stored += 1;
        self.tally.uncertain += u64::from(!error.is_definite());
        if self.refusals.take(&line, &error) != Verdict::Other {
            let goes_on = self.refusals.others_are_stored() || self.on_error == OnError::Skip;
            if !goes_on && self.stop.is_none() {
                self.stop = Some(Stop::Refused);
            }
            return;
        }
        let is_about_record = error.is_definite()
            && !error.is_retriable()
            && matches!(
                error,
                ClientError::Refused { .. }
                    | ClientError::RecordTooLarge { .. }
                    | ClientError::Invalid(_)
            );
        if self.on_error == OnError::Skip && is_about_record {
            self.first_refused.get_or_insert((line, error));
            return;
        }
        // The first reason counts; what fails after it often does so because of it.
        if !matches!(self.stop, Some(Stop::NotStored { .. })) {
            self.stop = Some(Stop::NotStored { line, error });
        }
    }

    fn report(self, session: &Session) -> Result<(), Failure> {
        let summary = self.tally.summary(&self.template.topic, &self.refusals);
        self.refusals.show(&session.output);
        match session.output.is_json() {
            true => session.output.json_line(&summary)?,
            false => session.output.note(summary.text()),
        }
        let stored = self.tally.stored;
        match self.failure() {
            None => Ok(()),
            Some(failure) if stored > 0 && failure.status() == ExitStatus::Failed => {
                Err(failure.with_status(ExitStatus::Partial))
            }
            Some(failure) => Err(failure),
        }
    }

    /// Why the run did not go well.
    fn failure(self) -> Option<Failure> {
        let stored = number(self.tally.stored);
        let so_far = self.tally.so_far();
        let refused = self.refusals.first().map(|first| {
            let count = number(self.refusals.count);
            format!("{count} record(s) were refused, first {}", first.text())
        });
        let failure = match (self.stop, self.first_refused) {
            (Some(Stop::Interrupted), _) => {
                let what = format!("interrupted; {stored} record(s) were stored");
                Failure::new(ExitStatus::Interrupted, what)
            }
            (Some(Stop::BadLine { line, reason }), _) => {
                Failure::failed(format!("{line}: {reason}; {so_far}"))
                    .with_hint("--on-error skip goes on behind bad lines and counts them")
            }
            (Some(Stop::NotStored { line, error }), _) => {
                Failure::from(error).after(format!("{line} ({so_far})"))
            }
            (Some(Stop::Refused), _) => {
                let refused = refused.unwrap_or_else(|| "records were refused".to_owned());
                Failure::failed(format!("{refused}; {so_far}"))
                    .with_hint("--partial accept stores the others and lists what was refused")
            }
            (None, Some((line, error))) => Failure::from(error).after(format!(
                "{} record(s) were refused, first {line}",
                number(self.tally.not_stored)
            )),
            (None, None) => match refused {
                Some(refused) => Failure::failed(refused),
                None if self.tally.bad_lines > 0 => {
                    let bad = number(self.tally.bad_lines);
                    Failure::failed(format!("{bad} line(s) were no records and were skipped"))
                }
                None => return None,
            },
        };
        Some(failure)
    }
}

impl RecordTemplate {
    fn record(&self, draft: Draft) -> ProducerRecord {
        let mut headers = self.headers.clone();
        headers.extend(draft.headers);
        ProducerRecord {
            topic: self.topic.clone(),
            partition: self.partition.map(PartitionId::new),
            key: draft.key.or_else(|| self.key.clone()),
            value: draft.value,
            headers,
            timestamp: draft.timestamp.or(self.timestamp),
        }
    }
}
