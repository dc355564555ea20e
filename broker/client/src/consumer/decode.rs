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
