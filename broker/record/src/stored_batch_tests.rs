//! Cutting runs of bytes into batches: where one ends the next starts, what is cut off is told from
//! what is damaged, and nothing is copied.

use broker_model::{Offset, Timestamp};

use super::*;
use crate::{BatchBuilder, Batches, Codec, ProducedBatch, Validation};

/// A stored batch of so many records, at an offset.
fn stored(base_offset: u64, records: u32, codec: Codec) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    for index in 0..records {
        let now = Timestamp::from_millis(i64::from(index));
        builder
            .push(None, Some(b"some value, some value"), now, [])
            .expect("there is room");
    }
    let (body, claims) = builder.build(codec).expect("there are records");
    let mut batch = ProducedBatch::opaque(body, claims, Validation::Full).expect("valid");
    batch.header.base_offset = Offset::new(base_offset);
    [&batch.header.encode()[..], &batch.body].concat()
}

#[test]
fn a_run_is_read_batch_by_batch() {
    let mut run = Vec::new();
    let mut starts = Vec::new();
    for (base, codec) in (0..).step_by(3).zip(Codec::ALL) {
        starts.push(run.len());
        run.extend_from_slice(&stored(base, 3, codec));
    }
    let mut batches = Batches::new(run.into());
    for (start, codec) in starts.into_iter().zip(Codec::ALL) {
        assert_eq!(batches.position(), start);
        let batch = batches.next().expect("one more").expect("valid");
        assert_eq!(batch.header.codec, codec);
        let records = batch.records().expect("valid");
        let offsets = records.iter().map(|record| record.expect("valid").offset);
        let base = batch.header.base_offset.get();
        assert!(offsets.eq((base..base + 3).map(Offset::new)));
    }
    assert!(batches.next().is_none());
    assert_eq!(batches.remaining(), 0);
}

#[test]
fn an_incomplete_last_batch_ends_the_run() {
    let first = stored(0, 2, Codec::None);
    let second = stored(2, 2, Codec::Lz4);
    for cut in 0..second.len() {
        let run = [&first[..], &second[..cut]].concat();
        let mut batches = Batches::new(run.into());
        assert!(batches.next().is_some_and(|batch| batch.is_ok()));
        assert!(batches.next().is_none());
        assert_eq!(batches.position(), first.len());
        assert_eq!(batches.remaining(), cut);
        assert!(batches.next().is_none());
    }
}

#[test]
fn a_damaged_header_ends_the_run_with_an_error() {
    let first = stored(0, 2, Codec::None);
    let mut run = [&first[..], &stored(2, 2, Codec::None)].concat();
    run[first.len() + 9] ^= 1;
    let mut batches = Batches::new(run.into());
    assert!(batches.next().is_some_and(|batch| batch.is_ok()));
    assert!(matches!(
        batches.next(),
        Some(Err(BatchError::Header(HeaderError::BadChecksum { .. })))
    ));
    assert_eq!(batches.position(), first.len());
    assert!(batches.next().is_none());
}

#[test]
fn how_many_bytes_are_missing_is_said() {
    let whole = Bytes::from(stored(0, 1, Codec::None));
    let incomplete = |needed, available| Err(BatchError::Incomplete { needed, available });
    assert_eq!(StoredBatch::parse(&whole.slice(..67)), incomplete(68, 67));
    let len = whole.len();
    assert_eq!(
        StoredBatch::parse(&whole.slice(..len - 1)),
        incomplete(len, len - 1)
    );
    let parsed = StoredBatch::parse(&whole);
    assert!(parsed.is_ok_and(|(_, consumed)| consumed == len));
}

#[test]
fn the_body_is_borrowed_and_not_copied() {
    let whole = Bytes::from(stored(0, 1, Codec::None));
    let (batch, _) = StoredBatch::parse(&whole).expect("valid");
    assert_eq!(batch.body.as_ptr(), whole[BatchHeader::LEN..].as_ptr());
}
