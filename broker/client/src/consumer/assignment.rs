//! `Assignment`: which partitions a consumer reads, how far each was fetched, and what to fetch
//! next. Pure: what was fetched and what time it is come in, items for the consumer come out.
//!
//! A seek gives the partition a new generation; whatever was asked for in an older one is ignored
//! when it arrives.

use std::collections::BTreeMap;

use broker_model::{Offset, TopicId, TopicPartition};
use broker_protocol::ErrorCode;
use tokio::time::Instant;

use super::decode::{Asked, Decoded, Piece};
use super::record::FetchedBatch;
use super::reset::{OffsetReset, ResetPolicy};
use crate::cluster::{Backoff, BackoffBounds, is_unknown};
use crate::error::{Call, ClientError};

/// A topic may be unknown to a broker for a moment; after so many answers in a row it is gone.
const UNKNOWN_TOPIC_ATTEMPTS: u32 = 5;

/// Something for the consumer.
#[derive(Debug)]
pub(super) enum Item {
    Batch(FetchedBatch),
    Failed {
        partition: TopicPartition,
        generation: u64,
        error: ClientError,
    },
    /// A partition has come to its end: it may have been the last.
    CheckEnd,
}

/// How much is fetched ahead.
#[derive(Clone, Copy, Debug)]
pub(super) struct FetchBounds {
    /// Of all partitions together.
    pub(super) prefetch_bytes: usize,
    pub(super) backoff: BackoffBounds,
}

#[derive(Debug)]
struct Reading {
    topic_id: Option<TopicId>,
    generation: u64,
    /// `None` while the start is still to be found.
    fetch_at: Option<Offset>,
    /// Where reading began, or began again.
    start: Option<Offset>,
    high_watermark: Option<Offset>,
    end_at: Option<Offset>,
    under_way: bool,
    not_before: Option<Instant>,
    backoff: Option<Backoff>,
    unknown_topic: u32,
    /// Nothing more will come, unless somebody seeks.
    done: bool,
    /// When it last brought something; who has waited longest comes first, so that a partition with
    /// a lot to read does not use up every answer.
    served: u64,
}

#[derive(Debug)]
pub(super) struct Assignment {
    bounds: FetchBounds,
    policy: ResetPolicy,
    partitions: BTreeMap<TopicPartition, Reading>,
    buffered: usize,
    /// Items handed out and not taken in by the consumer yet.
    queued: usize,
    answers: u64,
    resets: Vec<OffsetReset>,
}

impl Assignment {
    pub(super) fn new(bounds: FetchBounds, policy: ResetPolicy) -> Self {
        Self {
            bounds,
            policy,
            partitions: BTreeMap::new(),
            buffered: 0,
            queued: 0,
            answers: 0,
            resets: Vec::new(),
        }
    }

    /// Adds a partition, unless it is there; without a start it waits for [`Assignment::place`].
    pub(super) fn add(
        &mut self,
        partition: TopicPartition,
        topic_id: Option<TopicId>,
        start: Option<Offset>,
        end_at: Option<Offset>,
    ) {
        let done = matches!((start, end_at), (Some(start), Some(end)) if start >= end);
        self.partitions.entry(partition).or_insert(Reading {
            topic_id,
            generation: 0,
            fetch_at: start,
            start,
            high_watermark: None,
            end_at,
            under_way: false,
            not_before: None,
            backoff: None,
            unknown_topic: 0,
            done,
            served: 0,
        });
    }

    pub(super) fn contains(&self, partition: &TopicPartition) -> bool {
        self.partitions.contains_key(partition)
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.partitions.keys()
    }

    /// Partitions whose start is to be found now; they count as under way.
    pub(super) fn take_unplaced(&mut self, now: Instant) -> Vec<Asked> {
        let mut taken = Vec::new();
        for (partition, reading) in &mut self.partitions {
            if reading.fetch_at.is_none() && reading.is_free(now) {
                reading.under_way = true;
                taken.push(Asked {
                    partition: partition.clone(),
                    generation: reading.generation,
                    offset: Offset::ZERO,
                });
            }
        }
        taken
    }

    /// The start of a partition was found.
    pub(super) fn place(&mut self, asked: &Asked, start: Offset) {
        if let Some(reading) = self.current(asked) {
            reading.under_way = false;
            reading.fetch_at.get_or_insert(start);
            reading.start = reading.fetch_at;
            reading.recovered();
        }
    }

    /// Partitions to be fetched now, the longest waiting first; none while enough is buffered.
    pub(super) fn ready(&self, now: Instant) -> Vec<(Asked, Option<TopicId>)> {
        if self.buffered >= self.bounds.prefetch_bytes {
            return Vec::new();
        }
        let mut ready: Vec<_> = self
            .partitions
            .iter()
            .filter(|(_, reading)| reading.is_free(now))
            .filter_map(|(partition, reading)| {
                let asked = Asked {
                    partition: partition.clone(),
                    generation: reading.generation,
                    offset: reading.fetch_at?,
                };
                Some((reading.served, asked, reading.topic_id))
            })
            .collect();
        ready.sort_by_key(|(served, _, _)| *served);
        let ready = ready.into_iter();
        ready
            .map(|(_, asked, topic_id)| (asked, topic_id))
            .collect()
    }

    /// These are being fetched.
    pub(super) fn sent(&mut self, asked: &[Asked]) {
        for asked in asked {
            if let Some(reading) = self.current(asked) {
                reading.under_way = true;
            }
        }
    }

    /// These can be asked for again.
    pub(super) fn freed(&mut self, asked: &[Asked]) {
        for asked in asked {
            if let Some(reading) = self.current(asked) {
                reading.under_way = false;
            }
        }
    }

    /// When the next partition's pause is over.
    pub(super) fn next_pause_end(&self) -> Option<Instant> {
        let waiting = self.partitions.values();
        let waiting = waiting.filter(|reading| !reading.done && !reading.under_way);
        waiting.filter_map(|reading| reading.not_before).min()
    }

    /// A request failed as a whole, for all it asked for.
    pub(super) fn failed(
        &mut self,
        asked: &[Asked],
        error: &ClientError,
        now: Instant,
    ) -> Vec<Item> {
        let failed = asked.iter().filter_map(|asked| {
            let bounds = self.bounds.backoff;
            let reading = self.current(asked)?;
            reading.under_way = false;
            reading.give_up_or_pause(asked, error, (bounds, now))
        });
        let items: Vec<Item> = failed.collect();
        self.hand_out(items)
    }

    /// What came back for one partition.
    pub(super) fn fetched(
        &mut self,
        asked: &Asked,
        decoded: Decoded,
        call: &Call,
        now: Instant,
    ) -> Vec<Item> {
        let bounds = self.bounds.backoff;
        let policy = self.policy;
        self.answers += 1;
        let answers = self.answers;
        let Some(reading) = self.current(asked) else {
            return Vec::new();
        };
        reading.under_way = false;
        let Some(error) = decoded.error else {
            reading.recovered();
            if !decoded.pieces.is_empty() {
                reading.served = answers;
            }
            reading.high_watermark = Some(decoded.high_watermark);
            let items = reading.take(asked, decoded);
            return self.hand_out(items);
        };
        let data = error.data.clone().unwrap_or_default();
        let item = match error.code {
            ErrorCode::OffsetOutOfRange => {
                let earliest = data.earliest.unwrap_or(decoded.log_start);
                let latest = data.latest.unwrap_or(decoded.high_watermark);
                match policy.reset(asked, earliest, latest) {
                    Ok(reset) => {
                        reading.reset_to(reset.now);
                        reading.start = Some(reset.now);
                        let ended = reading.done.then_some(Item::CheckEnd);
                        self.resets.push(reset);
                        ended
                    }
                    Err(error) => Some(reading.stop(asked, error)),
                }
            }
            ErrorCode::CorruptLog => {
                let error = ClientError::CorruptBatch {
                    partition: asked.partition.clone(),
                    offset: data.offset.unwrap_or(asked.offset),
                    next_offset: data.next_offset.filter(|next| *next > asked.offset),
                    file: data.file.map(Into::into),
                    position: data.position,
                    reason: error.message.into(),
                };
                Some(reading.skip_damage(asked, error))
            }
            _ => {
                let error = ClientError::Refused {
                    call: call.clone(),
                    error: std::sync::Arc::new(error),
                };
                reading.give_up_or_pause(asked, &error, (bounds, now))
            }
        };
        self.hand_out(item.into_iter().collect())
    }

    /// Goes on at another offset; what was fetched before it is void.
    pub(super) fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Option<u64> {
        let reading = self.partitions.get_mut(partition)?;
        reading.generation += 1;
        reading.fetch_at = Some(offset);
        reading.start = Some(offset);
        reading.under_way = false;
        reading.done = reading.end_at.is_some_and(|end| offset >= end);
        reading.recovered();
        Some(reading.generation)
    }

    pub(super) fn generation(&self, partition: &TopicPartition) -> Option<u64> {
        Some(self.partitions.get(partition)?.generation)
    }

    /// Where reading of a partition began: its position while nothing was handed out.
    pub(super) fn start_of(&self, partition: &TopicPartition) -> Option<Offset> {
        self.partitions.get(partition)?.start
    }

    pub(super) fn high_watermark(&self, partition: &TopicPartition) -> Option<Offset> {
        self.partitions.get(partition)?.high_watermark
    }

    /// The consumer has taken an item in.
    pub(super) fn taken(&mut self) {
        self.queued = self.queued.saturating_sub(1);
    }

    /// The consumer has finished with a batch, or thrown it away.
    pub(super) fn released(&mut self, bytes: usize) {
        self.buffered = self.buffered.saturating_sub(bytes);
    }

    /// Whether nothing more will come and everything was taken in.
    pub(super) fn is_at_end(&self) -> bool {
        self.queued == 0 && self.partitions.values().all(|reading| reading.done)
    }

    pub(super) fn take_resets(&mut self) -> Vec<OffsetReset> {
        std::mem::take(&mut self.resets)
    }

    fn current(&mut self, asked: &Asked) -> Option<&mut Reading> {
        let reading = self.partitions.get_mut(&asked.partition)?;
        (reading.generation == asked.generation).then_some(reading)
    }

    fn hand_out(&mut self, items: Vec<Item>) -> Vec<Item> {
        self.queued += items.len();
        for item in &items {
            if let Item::Batch(batch) = item {
                self.buffered += batch.bytes;
            }
        }
        items
    }
}

impl Reading {
    fn is_free(&self, now: Instant) -> bool {
        !self.done && !self.under_way && self.not_before.is_none_or(|until| now >= until)
    }

    fn recovered(&mut self) {
        self.not_before = None;
        self.backoff = None;
        self.unknown_topic = 0;
    }

    fn take(&mut self, asked: &Asked, decoded: Decoded) -> Vec<Item> {
        let mut items = Vec::with_capacity(decoded.pieces.len() + 1);
        let mut next = Some(decoded.next);
        for piece in decoded.pieces {
            match piece {
                Piece::Batch {
                    records,
                    next,
                    bytes,
                } => items.push(Item::Batch(FetchedBatch {
                    partition: asked.partition.clone(),
                    generation: asked.generation,
                    records,
                    from: asked.offset,
                    below: self.end_at,
                    next,
                    bytes,
                })),
                Piece::Damaged {
                    offset,
                    next: goes_on,
                    position,
                    reason,
                } => {
                    next = goes_on.and(next);
                    items.push(Item::Failed {
                        partition: asked.partition.clone(),
                        generation: asked.generation,
                        error: ClientError::CorruptBatch {
                            partition: asked.partition.clone(),
                            offset,
                            next_offset: goes_on,
                            file: None,
                            position: Some(position),
                            reason: reason.into(),
                        },
                    });
                }
            }
        }
        match next {
            Some(next) => self.reset_to(next),
            None => self.done = true,
        }
        if self.done {
            items.push(Item::CheckEnd);
        }
        items
    }

    fn reset_to(&mut self, offset: Offset) {
        self.fetch_at = Some(offset);
        self.done = self.end_at.is_some_and(|end| offset >= end);
    }

    /// Reads on behind the damage, or not at all when nobody knows where that is.
    fn skip_damage(&mut self, asked: &Asked, error: ClientError) -> Item {
        match error {
            ClientError::CorruptBatch {
                next_offset: Some(next),
                ..
            } => self.reset_to(next),
            _ => self.done = true,
        }
        Item::Failed {
            partition: asked.partition.clone(),
            generation: asked.generation,
            error,
        }
    }

    fn stop(&mut self, asked: &Asked, error: ClientError) -> Item {
        self.done = true;
        Item::Failed {
            partition: asked.partition.clone(),
            generation: asked.generation,
            error,
        }
    }

    fn give_up_or_pause(
        &mut self,
        asked: &Asked,
        error: &ClientError,
        (bounds, now): (BackoffBounds, Instant),
    ) -> Option<Item> {
        let unknown = is_unknown(error) && {
            self.unknown_topic += 1;
            self.unknown_topic < UNKNOWN_TOPIC_ATTEMPTS
        };
        if !unknown && !error.is_retriable() {
            return Some(self.stop(asked, error.clone()));
        }
        let backoff = self.backoff.get_or_insert_with(|| Backoff::new(bounds));
        self.not_before = Some(now + backoff.next_wait());
        None
    }
}

#[cfg(test)]
#[path = "assignment_tests.rs"]
mod tests;
