//! What is taken out is gone, what stays is as it was: offset, timestamp, parts, order; under every
//! codec, for both timestamp types, and again when a batch is rewritten a second time.

use broker_model::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::record_model::{any_records, any_spelling, short_lengths, write_body};
use crate::{BatchBuilder, InvalidBatch, OpaqueClaims, ProducedBatch, ProducerState, Validation};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A record as a reader sees it.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    offset: u64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

fn seen(batch: &StoredBatch) -> Vec<Seen> {
    let records = batch.records().expect("the batch is valid");
    let read = records.iter().map(|record| {
        let record = record.expect("the record is valid");
        let headers = record.headers();
        Seen {
            offset: record.offset.get(),
            timestamp: record.timestamp.as_millis(),
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)))
                .collect(),
        }
    });
    read.collect()
}

/// A stored batch of this body at offset 40.
fn stored(body: Vec<u8>, codec: Codec, timestamp_type: TimestampType) -> StoredBatch {
    let plain = ProducedBatch::plain(body.clone().into(), NOW).expect("the records are valid");
    let body = Bytes::from(compress(codec, &body).expect("it compresses"));
    let claims = OpaqueClaims {
        codec,
        record_count: plain.header.record_count,
        base_timestamp: plain.header.base_timestamp,
        max_timestamp: plain.header.max_timestamp,
        body_crc: crc32fast::hash(&body),
        producer: Some(ProducerState {
            id: 7,
            epoch: 2,
            base_sequence: 90,
        }),
    };
    let mut batch = ProducedBatch::opaque(body, claims, Validation::Full).expect("valid");
    batch.header.base_offset = Offset::new(40);
    batch.header.leader_epoch = LeaderEpoch::new(3);
    batch.header.timestamp_type = timestamp_type;
    if timestamp_type == TimestampType::LogAppendTime {
        batch.header.max_timestamp = Timestamp::from_millis(1_800_000_000_000);
    }
    StoredBatch {
        header: batch.header,
        body: batch.body,
    }
}

fn check_header(rewritten: &StoredBatch, original: &StoredBatch, left: &[Seen]) {
    let (header, before) = (rewritten.header, original.header);
    let max = match before.timestamp_type {
        TimestampType::LogAppendTime => before.max_timestamp.as_millis(),
        TimestampType::CreateTime => left
            .iter()
            .map(|record| record.timestamp)
            .max()
            .unwrap_or(0),
    };
    let wanted = BatchHeader {
        record_count: u32::try_from(left.len()).expect("few"),
        max_timestamp: Timestamp::from_millis(max),
        codec: header.codec,
        body_len: u32::try_from(rewritten.body.len()).expect("small"),
        body_crc: crc32fast::hash(&rewritten.body),
        ..before
    };
    assert_eq!(header, wanted);
    let bytes = [&header.encode()[..], &rewritten.body].concat().into();
    let (read, len) = StoredBatch::parse(&bytes).expect("it can be read back");
    assert_eq!((&read, len), (rewritten, bytes.len()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_stays_is_as_it_was(
        records in any_records(short_lengths(), 1..20),
        spelling in any_spelling(),
        codec in select(&Codec::ALL[..]),
        append_time in any::<bool>(),
        first in vec(any::<bool>(), 20),
        second in vec(any::<bool>(), 20),
    ) {
        let timestamp_type = match append_time {
            true => TimestampType::LogAppendTime,
            false => TimestampType::CreateTime,
        };
        let original = stored(write_body(&records, spelling), codec, timestamp_type);
        let mut batch = original.clone();
        for keep in [first, second] {
            let before = seen(&batch);
            let left: Vec<Seen> = before
                .iter()
                .zip(&keep)
                .filter(|(_, keep)| **keep)
                .map(|(record, _)| record.clone())
                .collect();
            let rewritten = batch.retain(|index| keep[index]).expect("the batch is sound");
            let Some(rewritten) = rewritten else {
                prop_assert!(left.is_empty());
                return Ok(());
            };
            prop_assert_eq!(seen(&rewritten), left.clone());
            prop_assert_eq!(rewritten.header.codec, codec);
            if left.len() == before.len() {
                prop_assert_eq!(&rewritten, &batch);
            } else {
                check_header(&rewritten, &batch, &left);
            }
            batch = rewritten;
        }
    }
}

#[test]
fn a_body_that_would_look_like_a_bomb_is_not_compressed_any_more() {
    let mut builder = BatchBuilder::new();
    // Eight bytes that cannot be guessed keep the ratio within bounds; without them it is not.
    let noise: Vec<u8> = (0_u32..20_000)
        .flat_map(|number| crc32fast::hash(&number.to_le_bytes()).to_le_bytes())
        .collect();
    let zeros = vec![0; 48 << 20];
    for value in [&noise, &zeros] {
        builder
            .push(None, Some(value), NOW, [])
            .expect("there is room");
    }
    let (body, claims) = builder.build(Codec::Zstd).expect("it compresses");
    let batch = ProducedBatch::opaque(body, claims, Validation::Full).expect("valid");
    let batch = StoredBatch {
        header: batch.header,
        body: batch.body,
    };
    let rewritten = batch
        .retain(|index| index == 1)
        .expect("sound")
        .expect("one stays");
    assert_eq!(rewritten.header.codec, Codec::None);
    let records = rewritten.records().expect("it can be read");
    let record = records.iter().next().expect("one").expect("sound");
    assert_eq!(record.value.map(<[u8]>::len), Some(zeros.len()));
    assert_eq!(record.offset, Offset::new(1));
}

#[test]
fn a_batch_without_records_is_read_and_covers_its_offsets() {
    let empty = StoredBatch::without_records(Offset::new(40), 9, LeaderEpoch::new(3));
    let bytes = [&empty.header.encode()[..], &empty.body].concat().into();
    let (read, _) = StoredBatch::parse(&bytes).expect("it can be read back");
    assert_eq!(read, empty);
    assert_eq!(read.header.next_offset(), Offset::new(50));
    let records = read.records().expect("it is sound");
    assert!(records.is_empty() && records.iter().next().is_none());
    assert_eq!(read.retain(|_| true), Ok(Some(empty.clone())));
    assert_eq!(read.retain(|_| false), Ok(Some(empty)));
}

#[test]
fn a_batch_without_records_has_nothing_behind_its_array() {
    let mut empty = StoredBatch::without_records(Offset::new(40), 9, LeaderEpoch::new(3));
    empty.body = Bytes::from_static(&[0x90, 0xc0]);
    empty.header.body_len = 2;
    empty.header.body_crc = crc32fast::hash(&empty.body);
    let error = empty.records().map(|records| records.len());
    let wanted = InvalidBatch::TrailingBytes {
        position: 1,
        bytes: 1,
    };
    assert_eq!(error, Err(wanted.into()));
}

#[test]
fn a_batch_without_records_is_not_taken_from_a_producer() {
    let body = Bytes::from_static(EMPTY_BODY);
    assert_eq!(
        ProducedBatch::plain(body.clone(), NOW),
        Err(InvalidBatch::Empty)
    );
    for validation in [Validation::Full, Validation::Trust] {
        let claims = OpaqueClaims {
            codec: Codec::None,
            record_count: 0,
            base_timestamp: NOW,
            max_timestamp: NOW,
            body_crc: crc32fast::hash(&body),
            producer: None,
        };
        let refused = ProducedBatch::opaque(body.clone(), claims, validation);
        assert_eq!(refused, Err(InvalidBatch::Empty));
    }
}

#[test]
fn a_damaged_batch_is_not_rewritten() {
    let records = vec![0x92, 0x92, 0xc0, 0xc4, 1, b'a', 0x92, 0xc0, 0xc4, 1, b'b'];
    let mut batch = stored(records, Codec::None, TimestampType::CreateTime);
    let mut body = batch.body.to_vec();
    body[5] ^= 1;
    batch.body = body.into();
    assert!(matches!(
        batch.retain(|index| index == 0),
        Err(BatchError::BodyChecksum(_))
    ));
}
