//! What is built is what the broker takes, in every codec, and what the builder says about sizes
//! holds.

use proptest::prelude::*;

use super::*;
use crate::record_model::{ModelRecord, all_lengths, any_records, read_body};
use crate::{ProducedBatch, Validation};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn headers_of(record: &ModelRecord) -> Vec<(&str, Option<&[u8]>)> {
    let headers = record.headers.iter();
    headers
        .map(|(name, value)| (&name[..], value.as_deref()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_is_built_is_taken_and_read_back(
        records in any_records(all_lengths(), 1..12),
        codec in proptest::sample::select(&Codec::ALL[..]),
    ) {
        let mut builder = BatchBuilder::new();
        let mut expected = Vec::new();
        for record in records {
            let timestamp = Timestamp::from_millis(record.timestamp.unwrap_or(9));
            let headers = headers_of(&record);
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            let most = BatchBuilder::record_bytes_max(key, value, headers.iter().copied());
            let before = builder.size_estimate();
            builder.push(key, value, timestamp, headers).expect("there is room");
            prop_assert!(builder.size_estimate() - before <= most);
            expected.push(ModelRecord {
                timestamp: Some(timestamp.as_millis()),
                offset_delta: None,
                ..record
            });
        }
        prop_assert_eq!(builder.len() as usize, expected.len());
        let estimate = builder.size_estimate();
        let (body, claims) = builder.build(codec).expect("there are records");
        let batch = ProducedBatch::opaque(body.clone(), claims, Validation::Full);
        prop_assert!(batch.is_ok(), "{:?}", batch);
        let mut plain = Vec::new();
        crate::compression::decompress(codec, &body, &mut plain).expect("just compressed");
        prop_assert!((plain.len()..=plain.len() + 4).contains(&estimate));
        prop_assert_eq!(read_body(&plain), Some(expected));
    }
}

#[test]
fn an_empty_batch_cannot_be_built() {
    let builder = BatchBuilder::default();
    assert!(builder.is_empty());
    assert_eq!(builder.build(Codec::None), Err(BuildError::Empty));
}

#[test]
fn a_record_that_does_not_fit_leaves_the_batch_unchanged() {
    let mut builder = BatchBuilder::new();
    builder
        .push(None, Some(b"v"), NOW, [])
        .expect("there is room");
    let before = builder.size_estimate();
    let huge = vec![0; BATCH_DECOMPRESSED_BYTES_MAX];
    let refused = builder.push(None, Some(&huge), NOW, []);
    assert!(matches!(refused, Err(PushError::TooLarge { .. })));
    let headers = RECORD_HEADERS_MAX + 1;
    let many = vec![("h", None); headers as usize];
    let refused = builder.push(None, None, NOW, many);
    assert_eq!(refused, Err(PushError::TooManyHeaders { headers }));
    assert_eq!((builder.len(), builder.size_estimate()), (1, before));
}

#[test]
fn a_full_batch_takes_no_more() {
    let mut builder = BatchBuilder::with_capacity(16 * 1024 * 1024);
    for _ in 0..BATCH_RECORDS_MAX {
        builder.push(None, None, NOW, []).expect("there is room");
    }
    let refused = builder.push(None, None, NOW, []);
    assert_eq!(refused, Err(PushError::TooManyRecords));
    let (body, claims) = builder.build(Codec::None).expect("full is fine");
    assert_eq!(claims.record_count, BATCH_RECORDS_MAX);
    assert!(ProducedBatch::opaque(body, claims, Validation::Full).is_ok());
}

#[test]
fn the_largest_timestamp_is_claimed_wherever_it_is() {
    let mut builder = BatchBuilder::new();
    for millis in [5, 9, 7] {
        let timestamp = Timestamp::from_millis(millis);
        builder
            .push(None, None, timestamp, [])
            .expect("there is room");
    }
    let (_, claims) = builder.build(Codec::None).expect("there are records");
    assert_eq!(claims.base_timestamp.as_millis(), 5);
    assert_eq!(claims.max_timestamp.as_millis(), 9);
}

#[test]
fn a_batch_the_broker_would_take_for_a_bomb_is_not_built() {
    let mut builder = BatchBuilder::new();
    builder
        .push(None, Some(&vec![0; 4 * 1024 * 1024]), NOW, [])
        .expect("there is room");
    let refused = builder.clone().build(Codec::Zstd);
    assert!(
        matches!(refused, Err(BuildError::TooCompressible { .. })),
        "{refused:?}"
    );
    assert!(builder.build(Codec::Lz4).is_ok());
}
