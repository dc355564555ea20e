//! From the answer to a fetch to verified batches. Every checksum is verified and every body
//! unfolded here, in the fetching task; a damaged batch becomes an item of its own, with the place
//! where reading can go on.

use broker_model::{Offset, TopicPartition};
use broker_protocol::WireError;
use broker_protocol::api::fetch::{FetchForm, FetchedData, FetchedPartition};
use broker_record::Batches;
use bytes::Bytes;

use super::record::BatchRecords;

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
        records: BatchRecords,
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

/// Takes an answer in the form that was asked for apart.
pub(super) fn decode(asked: &Asked, fetched: FetchedPartition, form: FetchForm) -> Decoded {
    let mut decoded = Decoded {
        error: fetched.error,
        log_start: fetched.log_start,
        high_watermark: fetched.high_watermark,
        pieces: Vec::new(),
        next: fetched.next_offset.max(asked.offset),
    };
    match (fetched.data, form) {
        (data, _) if data.is_empty() || decoded.error.is_some() => {}
        (FetchedData::Batch(run), FetchForm::Batch) => decode_run(asked.offset, run, &mut decoded),
        (FetchedData::Records(records), FetchForm::Records) => decoded.pieces.push(Piece::Batch {
            next: decoded.next,
            bytes: records.as_bytes().len(),
            records: BatchRecords::Decoded(records),
        }),
        _ => decoded.pieces.push(Piece::Damaged {
            offset: asked.offset,
            next: None,
            position: 0,
            reason: "the broker answered in another form than was asked for".to_owned(),
        }),
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
                records: BatchRecords::Stored(records),
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
    use broker_protocol::api::fetch::{FetchedRecords, RecordsWriter};
    use broker_record::{BatchBuilder, Codec, ProducedBatch, StoredBatch, Validation};

    use super::super::record::FetchedBatch;
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

    fn asked(offset: u64) -> Asked {
        Asked {
            partition: TopicPartition::new(TopicName::new("t").unwrap(), PartitionId::new(0)),
            generation: 0,
            offset: Offset::new(offset),
        }
    }

    fn fetched(next: u64, run: Vec<u8>) -> FetchedPartition {
        FetchedPartition {
            next_offset: Offset::new(next),
            data: FetchedData::Batch(run.into()),
            ..FetchedPartition::default()
        }
    }

    fn decoded(offset: u64, run: Vec<u8>) -> Decoded {
        decode(&asked(offset), fetched(6, run), FetchForm::Batch)
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

    /// The first batch with one record left, a gap, and a batch without any from 6 to 8.
    fn compacted() -> Vec<u8> {
        let run = Bytes::from(run());
        let (first, length) = StoredBatch::parse(&run).unwrap();
        let kept = first.retain(|index| index == 1).unwrap().unwrap();
        let (second, _) = StoredBatch::parse(&run.slice(length..)).unwrap();
        let gone = StoredBatch::without_records(Offset::new(6), 2, second.header.leader_epoch);
        let mut out = Vec::new();
        for batch in [kept, gone] {
            out.extend_from_slice(&batch.header.encode());
            out.extend_from_slice(&batch.body);
        }
        out
    }

    fn offsets(asked: &Asked, pieces: Vec<Piece>) -> Vec<u64> {
        let mut offsets = Vec::new();
        for piece in pieces {
            let Piece::Batch {
                records,
                next,
                bytes,
            } = piece
            else {
                panic!("{piece:?}");
            };
            let batch = FetchedBatch {
                partition: asked.partition.clone(),
                generation: 0,
                records,
                from: asked.offset,
                below: None,
                next,
                bytes,
            };
            let (records, error) = batch.open();
            assert!(error.is_none(), "{error:?}");
            offsets.extend(records.iter().map(|record| record.offset.get()));
        }
        offsets
    }

    #[test]
    fn gaps_and_batches_without_records_are_read_over() {
        let decoded = decoded(0, compacted());
        let nexts = decoded.pieces.iter().map(|piece| match piece {
            Piece::Batch { next, .. } => next.get(),
            Piece::Damaged { reason, .. } => panic!("{reason}"),
        });
        assert_eq!(nexts.collect::<Vec<_>>(), [3, 9]);
        assert_eq!(offsets(&asked(0), decoded.pieces), [1]);
        // Of an answer of which everything is gone, only the place to go on is left.
        let nothing = super::decode(&asked(0), fetched(20, Vec::new()), FetchForm::Batch);
        assert!(nothing.pieces.is_empty());
        assert_eq!(nothing.next, Offset::new(20));
    }

    fn answered(records: &[&[u8]], form: FetchForm) -> Decoded {
        let mut writer = RecordsWriter::new();
        for record in records {
            writer.push_encoded(|out| out.extend_from_slice(record));
        }
        let records = FetchedRecords::new(writer.finish()).unwrap();
        let fetched = FetchedPartition {
            data: FetchedData::Records(records),
            ..fetched(20, Vec::new())
        };
        super::decode(&asked(5), fetched, form)
    }

    #[test]
    fn decoded_records_come_with_what_could_not_be_decoded() {
        let bad = b"\x96\x09\x01\xC0\xC4\x01{\x90\x81\xA5value\x81\xA4code\xA1x";
        let decoded = answered(
            &[b"\x95\x07\x01\x05\x81\xA1a\x01\x90", bad],
            FetchForm::Records,
        );
        let Some(Piece::Batch { records, next, .. }) = decoded.pieces.into_iter().next() else {
            panic!("no batch");
        };
        assert_eq!(next, Offset::new(20));
        let batch = FetchedBatch {
            partition: asked(5).partition,
            generation: 0,
            records,
            from: Offset::new(5),
            below: None,
            next,
            bytes: 1,
        };
        let (records, error) = batch.open();
        assert!(error.is_none());
        assert_eq!(records[0].key.as_deref(), Some(&b"\x05"[..]));
        assert_eq!(records[0].value.as_deref(), Some(&b"\x81\xA1a\x01"[..]));
        assert_eq!(records[0].undecoded, None);
        assert_eq!(records[1].value.as_deref(), Some(&b"{"[..]));
        let errors = records[1].undecoded.as_ref().unwrap();
        assert_eq!(errors.value.as_ref().unwrap().code, "x");
        assert_eq!(errors.key, None);
    }

    #[test]
    fn an_answer_in_another_form_is_not_taken_for_records() {
        let decoded = answered(&[b"\x95\x07\x01\xC0\xC0\x90"], FetchForm::Batch);
        assert!(matches!(
            decoded.pieces[..],
            [Piece::Damaged { next: None, .. }]
        ));
    }

    #[test]
    fn batches_before_the_offset_asked_for_are_passed_over() {
        let decoded = decoded(3, run());
        assert_eq!(decoded.pieces.len(), 1);
        assert_eq!(decoded.next, Offset::new(6));
    }
}
