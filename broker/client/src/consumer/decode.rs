//! From the answer to a fetch to verified batches. Every checksum is verified and every body
//! unfolded here, in the fetching task; a damaged batch becomes an item of its own, with the place
//! where reading can go on.

use broker_model::{Offset, TopicPartition};
use broker_protocol::WireError;
use broker_protocol::api::fetch::{FetchedData, FetchedPartition};
use broker_record::{Batches, Records};
use bytes::Bytes;

/// A partition that was asked for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) partition: TopicPartition,
    pub(super) generation: u64,
    pub(super) offset: Offset,
}

/// What came back for it.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) error: Option<WireError>,
    pub(super) log_start: Offset,
    pub(super) high_watermark: Offset,
    pub(super) pieces: Vec<Piece>,
    /// Where to read on.
    pub(super) next: Offset,
}

/// A piece of what came back.
#[derive(Debug)]
pub(super) enum Piece {
    Batch {
        records: Records,
        next: Offset,
        bytes: usize,
    },
    Damaged {
        offset: Offset,
        next: Option<Offset>,
        /// Where in the answer's batches.
        position: u64,
        reason: String,
    },
}

pub(super) fn decode(asked: &Asked, fetched: FetchedPartition) -> Decoded {
    let mut decoded = Decoded {
        error: fetched.error,
        log_start: fetched.log_start,
        high_watermark: fetched.high_watermark,
        pieces: Vec::new(),
        next: fetched.next_offset.max(asked.offset),
    };
    match fetched.data {
        FetchedData::Batch(run) if decoded.error.is_none() => {
            decode_run(asked.offset, run, &mut decoded);
        }
        FetchedData::Records(records) if !records.is_empty() => {
            decoded.pieces.push(Piece::Damaged {
                offset: asked.offset,
                next: None,
                position: 0,
                reason: "the broker answered records where batches were asked for".to_owned(),
            });
        }
        _ => {}
    }
    decoded
}

fn decode_run(from: Offset, run: Bytes, decoded: &mut Decoded) {
    let length = run.len();
    let mut batches = Batches::new(run);
    let mut reached = from;
    loop {
        let position = batches.position();
        let batch = match batches.next() {
            Some(Ok(batch)) => batch,
            Some(Err(error)) => {
                // Without a header there is no telling where the next batch starts.
                decoded.pieces.push(Piece::Damaged {
                    offset: reached,
                    next: (decoded.next > reached).then_some(decoded.next),
                    position: position as u64,
                    reason: error.to_string(),
                });
                return;
            }
            None => break,
        };
        let next = batch.header.next_offset();
        if next <= from {
            continue;
        }
        reached = next;
        decoded.pieces.push(match batch.records() {
            Ok(records) => Piece::Batch {
                records,
                next,
                bytes: batch.header.batch_len(),
            },
            Err(error) => Piece::Damaged {
                offset: batch.header.base_offset,
                next: Some(next),
                position: position as u64,
                reason: error.to_string(),
            },
        });
    }
    if batches.remaining() > 0 {
        if decoded.pieces.is_empty() {
            decoded.pieces.push(Piece::Damaged {
                offset: from,
                next: (decoded.next > from).then_some(decoded.next),
                position: 0,
                reason: format!("{length} bytes hold no whole batch"),
            });
        } else {
            // A batch that was cut off is asked for again.
            decoded.next = reached;
        }
    }
}

#[cfg(test)]
mod tests {
    use broker_model::{PartitionId, Timestamp, TopicName};
    use broker_record::{BatchBuilder, Codec, ProducedBatch, Validation};

    use super::*;

    /// Two stored batches of three records each.
    fn run() -> Vec<u8> {
        let mut run = Vec::new();
        for first in [0, 3] {
            let mut builder = BatchBuilder::new();
            for _ in 0..3 {
                let time = Timestamp::from_millis(1);
                builder.push(None, Some(b"value"), time, []).unwrap();
            }
            let (body, claims) = builder.build(Codec::None).unwrap();
            let mut batch = ProducedBatch::opaque(body, claims, Validation::Full).unwrap();
            batch.header.base_offset = Offset::new(first);
            run.extend_from_slice(&batch.header.encode());
            run.extend_from_slice(&batch.body);
        }
        run
    }

    fn decoded(offset: u64, run: Vec<u8>) -> Decoded {
        let asked = Asked {
            partition: TopicPartition::new(TopicName::new("t").unwrap(), PartitionId::new(0)),
            generation: 0,
            offset: Offset::new(offset),
        };
        let fetched = FetchedPartition {
            next_offset: Offset::new(6),
            data: FetchedData::Batch(run.into()),
            ..FetchedPartition::default()
        };
        decode(&asked, fetched)
    }

    #[test]
    fn a_batch_that_was_cut_off_is_asked_for_again() {
        let mut cut = run();
        cut.truncate(cut.len() - 1);
        let decoded = decoded(0, cut);
        assert_eq!(decoded.pieces.len(), 1);
        assert_eq!(decoded.next, Offset::new(3));
    }

    #[test]
    fn bytes_without_one_whole_batch_are_not_asked_for_for_ever() {
        let mut cut = run();
        cut.truncate(80);
        let decoded = decoded(0, cut);
        assert!(matches!(
            decoded.pieces[..],
            [Piece::Damaged { next: Some(next), .. }] if next == Offset::new(6)
        ));
    }

    #[test]
    fn batches_before_the_offset_asked_for_are_passed_over() {
        let decoded = decoded(3, run());
        assert_eq!(decoded.pieces.len(), 1);
        assert_eq!(decoded.next, Offset::new(6));
    }
}
