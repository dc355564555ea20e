//! Every record arrives in the partition it was given, in its order and with its bytes, and each
//! partition's batch is as valid as if it had been produced by itself.

use broker_model::Offset;
use proptest::prelude::*;

use super::*;
use crate::record_model::{any_records, any_spelling, read_body, short_lengths, write_body};
use crate::{StoredBatch, Validation};

const NOW: Timestamp = Timestamp::from_millis(50);

fn partition(number: u32) -> PartitionId {
    PartitionId::new(number)
}

#[test]
fn partitions_may_have_any_number() {
    let body = [&[0x95][..], &[0x92, 0xc0, 0xc0].repeat(5)].concat();
    let routable = RoutableRecords::walk(body.into()).expect("valid");
    let numbers = [u32::MAX, 4095, 4096, u32::MAX, 0];
    let to = numbers.map(|number| Some(partition(number)));
    let batches = routable.regroup(&to, NOW).expect("small");
    let found: Vec<_> = batches
        .iter()
        .map(|group| (group.partition.get(), &group.indexes[..]))
        .collect();
    let expected = [
        (0, &[4][..]),
        (4095, &[1]),
        (4096, &[2]),
        (u32::MAX, &[0, 3]),
    ];
    assert_eq!(found, expected);
}

proptest! {
    #[test]
    fn every_record_arrives_where_it_was_sent(
        records in any_records(short_lengths(), 1..40),
        spelling in any_spelling(),
        seed in proptest::collection::vec(proptest::option::weighted(0.9, 0_u32..5), 40),
    ) {
        let body = Bytes::from(write_body(&records, spelling));
        let partitions: Vec<_> = seed[..records.len()]
            .iter()
            .map(|number| number.map(partition))
            .collect();
        let routable = RoutableRecords::walk(body).expect("valid");
        let batches = routable.regroup(&partitions, NOW).expect("small");
        let rising = batches.is_sorted_by(|a, b| a.partition < b.partition);
        prop_assert!(rising);
        let mut arrived = vec![None; records.len()];
        for PartitionBatch { partition, batch, indexes } in batches {
            let read = read_body(&batch.body).expect("valid by the letter of the format");
            prop_assert_eq!(read.len(), indexes.len());
            prop_assert!(indexes.is_sorted_by(|a, b| a < b));
            for (record, index) in read.iter().zip(&indexes) {
                let sent = &records[*index as usize];
                prop_assert_eq!(&record.key, &sent.key);
                prop_assert_eq!(&record.value, &sent.value);
                prop_assert_eq!(record.timestamp, sent.timestamp);
                prop_assert_eq!(&record.headers, &sent.headers);
                prop_assert_eq!(arrived[*index as usize].replace(partition), None);
            }
            let again = ProducedBatch::plain(batch.body.clone(), NOW);
            prop_assert_eq!(again, Ok(batch));
        }
        prop_assert_eq!(arrived, partitions);
    }
}

#[test]
fn a_request_for_one_partition_is_not_copied() {
    let body = Bytes::from_static(&[0x92, 0x92, 0xc0, 0xc0, 0x92, 0xc0, 0xc0]);
    let routable = RoutableRecords::walk(body.clone()).expect("valid");
    let batches = routable
        .regroup(&[Some(partition(3)); 2], NOW)
        .expect("small");
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].batch.body.as_ptr(), body.as_ptr());
    assert_eq!(batches[0].indexes, [0, 1]);
}

#[test]
fn an_offset_delta_does_not_travel_to_another_place() {
    let record = |value: u8, delta: u8| [0x95, 0xc0, 0xc4, 1, value, 7, 0xc0, delta];
    let body = [&[0x92][..], &record(b'a', 0), &record(b'b', 1)].concat();
    let routable = RoutableRecords::walk(body.into()).expect("valid");
    let batches = routable
        .regroup(&[Some(partition(0)), Some(partition(1))], NOW)
        .expect("small");
    let moved = &batches[1].batch;
    assert_eq!(moved.body[..], [0x91, 0x94, 0xc0, 0xc4, 1, b'b', 7, 0xc0]);
    let stored = StoredBatch {
        header: moved.header,
        body: moved.body.clone(),
    };
    let records = stored.records().expect("valid");
    let first = records.iter().next().expect("one").expect("valid");
    assert_eq!(first.offset, Offset::ZERO);
}

#[test]
fn records_that_go_nowhere_leave_no_batch() {
    let body = Bytes::from_static(&[0x92, 0x92, 0xc0, 0xc0, 0x92, 0xc0, 0xc0]);
    let routable = RoutableRecords::walk(body).expect("valid");
    assert_eq!(routable.regroup(&[None, None], NOW), Ok(Vec::new()));
}

#[test]
fn each_partition_has_its_own_timestamps() {
    // [[nil, nil, 7], [nil, nil], [nil, nil, 9]]
    let body = [
        0x93, 0x93, 0xc0, 0xc0, 7, 0x92, 0xc0, 0xc0, 0x93, 0xc0, 0xc0, 9,
    ];
    let routable = RoutableRecords::walk(Bytes::copy_from_slice(&body)).expect("valid");
    let to = [1, 0, 1].map(|number| Some(partition(number)));
    let batches = routable.regroup(&to, NOW).expect("small");
    let times: Vec<_> = batches
        .iter()
        .map(|group| group.batch.header)
        .map(|header| {
            let base = header.base_timestamp.as_millis();
            (base, header.max_timestamp.as_millis())
        })
        .collect();
    assert_eq!(times, [(50, 50), (7, 9)]);
}

#[test]
fn a_regrouped_batch_passes_for_an_opaque_one() {
    let body = Bytes::from_static(&[0x92, 0x92, 0xc0, 0xc0, 0x93, 0xc0, 0xc0, 9]);
    let routable = RoutableRecords::walk(body).expect("valid");
    let to = [Some(partition(0)), Some(partition(1))];
    for group in routable.regroup(&to, NOW).expect("small") {
        let header = group.batch.header;
        let claims = crate::OpaqueClaims {
            codec: header.codec,
            record_count: header.record_count,
            base_timestamp: header.base_timestamp,
            max_timestamp: header.max_timestamp,
            body_crc: header.body_crc,
            producer: None,
        };
        let body = group.batch.body.clone();
        let opaque = ProducedBatch::opaque(body, claims, Validation::Full);
        assert_eq!(opaque, Ok(group.batch));
    }
}
