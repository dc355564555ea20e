//! What was produced is what is read: parts, order, nulls, timestamps and offsets. A stored body
//! that does not fit its header is an error, never a wrong record.

use broker_model::LeaderEpoch;
use proptest::prelude::*;

use super::*;
use crate::record_model::{
    ModelRecord, all_lengths, any_records, any_spelling, plain_body, write_body,
};
use crate::{Codec, MalformedReason, ProducedBatch};

const NOW: Timestamp = Timestamp::from_millis(1_000);

fn record(key: Option<&[u8]>, value: Option<&[u8]>) -> ModelRecord {
    ModelRecord {
        key: key.map(<[u8]>::to_vec),
        value: value.map(<[u8]>::to_vec),
        timestamp: None,
        headers: Vec::new(),
        offset_delta: None,
    }
}

/// A batch of this body at offset 40, with a right checksum whatever else the header says.
fn stored(body: Vec<u8>, change: impl FnOnce(&mut BatchHeader)) -> StoredBatch {
    let mut header = BatchHeader {
        base_offset: Offset::new(40),
        leader_epoch: LeaderEpoch::new(0),
        codec: Codec::None,
        timestamp_type: TimestampType::CreateTime,
        record_count: 1,
        last_offset_delta: 0,
        base_timestamp: NOW,
        max_timestamp: Timestamp::from_millis(9_000),
        producer: None,
        log_mark: crate::LogMark::default(),
        body_len: u32::try_from(body.len()).expect("small"),
        body_crc: crc32fast::hash(&body),
    };
    change(&mut header);
    StoredBatch {
        header,
        body: body.into(),
    }
}

fn first_error(batch: &StoredBatch) -> BatchError {
    match batch.records() {
        Err(error) => error,
        Ok(records) => {
            let mut read = records.iter();
            let error = read.by_ref().find_map(Result::err);
            assert!(
                read.next().is_none(),
                "the iteration went on after an error"
            );
            error.expect("one record has to be wrong")
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_was_produced_is_what_is_read(
        records in any_records(all_lengths(), 1..20),
        spelling in any_spelling(),
    ) {
        let body = Bytes::from(write_body(&records, spelling));
        let batch = ProducedBatch::plain(body, NOW).expect("the records are valid");
        let stored = StoredBatch { header: batch.header, body: batch.body };
        let read = stored.records().expect("the batch is valid");
        prop_assert_eq!(read.len(), records.len());
        let mut latest = Timestamp::MIN;
        for (index, (view, model)) in read.iter().zip(&records).enumerate() {
            let view = view.expect("the record is valid");
            prop_assert_eq!(view.offset.get(), index as u64);
            prop_assert_eq!(view.key, model.key.as_deref());
            prop_assert_eq!(view.value, model.value.as_deref());
            let own = model.timestamp.map(Timestamp::from_millis);
            prop_assert_eq!(view.timestamp, own.unwrap_or(NOW));
            latest = latest.max(view.timestamp);
            let headers = model.headers.iter();
            prop_assert!(view.headers().eq(headers.map(|(name, value)| (&name[..], value.as_deref()))));
        }
        prop_assert_eq!(stored.header.max_timestamp, latest);
    }
}

#[test]
fn null_and_empty_differ_in_key_and_value() {
    let records = [
        record(None, Some(b"")),
        record(Some(b""), None),
        record(None, None),
    ];
    let batch = stored(plain_body(&records), |header| {
        header.record_count = 3;
        header.last_offset_delta = 2;
    });
    let read = batch.records().expect("valid");
    let parts: Vec<_> = read
        .iter()
        .map(|record| record.map(|record| (record.key, record.value)))
        .collect();
    assert_eq!(
        parts,
        [
            Ok((None, Some(&b""[..]))),
            Ok((Some(&b""[..]), None)),
            Ok((None, None))
        ]
    );
}

#[test]
fn headers_keep_their_order_and_their_duplicates() {
    let headers = [
        ("b", Some(&b"1"[..])),
        ("a", None),
        ("b", Some(b"")),
        ("b", Some(b"1")),
    ];
    let owned = headers.map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)));
    let with_headers = ModelRecord {
        headers: owned.to_vec(),
        ..record(None, None)
    };
    let batch = stored(plain_body(&[with_headers]), |_| {});
    let records = batch.records().expect("valid");
    let view = records.iter().next().expect("one record").expect("valid");
    assert_eq!(view.headers().len(), 4);
    assert!(view.headers().eq(headers));
    let raw = &batch.body[1..];
    assert_eq!(view.raw(), raw);
}

#[test]
fn log_append_time_wins_over_the_records_own() {
    let own = ModelRecord {
        timestamp: Some(123),
        ..record(None, None)
    };
    let body = plain_body(&[own, record(None, None)]);
    let two = |header: &mut BatchHeader| {
        header.record_count = 2;
        header.last_offset_delta = 1;
    };
    let timestamps = |batch: &StoredBatch| -> Vec<_> {
        let records = batch.records().expect("valid");
        let read = records.iter().map(|record| record.expect("valid"));
        read.map(|record| record.timestamp.as_millis()).collect()
    };
    assert_eq!(timestamps(&stored(body.clone(), two)), [123, 1_000]);
    let appended = stored(body, |header| {
        two(header);
        header.timestamp_type = TimestampType::LogAppendTime;
    });
    assert_eq!(timestamps(&appended), [9_000, 9_000]);
}

#[test]
fn offsets_follow_the_deltas_of_a_compacted_batch() {
    let at = |delta| ModelRecord {
        offset_delta: Some(delta),
        ..record(None, None)
    };
    let spread = |last_offset_delta| {
        move |header: &mut BatchHeader| {
            header.record_count = 3;
            header.last_offset_delta = last_offset_delta;
        }
    };
    let batch = stored(plain_body(&[at(1), at(4), at(7)]), spread(9));
    let records = batch.records().expect("valid");
    let offsets: Vec<_> = records
        .iter()
        .map(|record| record.expect("valid").offset.get())
        .collect();
    assert_eq!(offsets, [41, 44, 47]);
    for (deltas, wrong) in [([1, 4, 10], 2), ([1, 1, 7], 1), ([-1, 4, 7], 0)] {
        let batch = stored(plain_body(&deltas.map(at)), spread(9));
        let claimed = deltas[wrong];
        let record = u32::try_from(wrong).expect("small");
        assert_eq!(
            first_error(&batch),
            InvalidBatch::OffsetDelta { record, claimed }.into()
        );
    }
}

#[test]
fn a_body_that_does_not_fit_its_header_is_an_error() {
    let two = plain_body(&[record(None, None), record(None, None)]);
    let miscounted = first_error(&stored(two.clone(), |_| {}));
    let expected = InvalidBatch::CountMismatch {
        claimed: 1,
        actual: 2,
    };
    assert_eq!(miscounted, expected.into());

    let mut longer = plain_body(&[record(None, None)]);
    longer.push(0xc0);
    let trailing = InvalidBatch::TrailingBytes {
        position: 4,
        bytes: 1,
    };
    assert_eq!(first_error(&stored(longer, |_| {})), trailing.into());

    let mut shorter = two;
    shorter.pop();
    let cut = first_error(&stored(shorter, |header| {
        header.record_count = 2;
        header.last_offset_delta = 1;
    }));
    let expected = InvalidBatch::Malformed {
        record: Some(1),
        position: 6,
        reason: MalformedReason::Truncated,
    };
    assert_eq!(cut, expected.into());

    let damaged = stored(plain_body(&[record(None, None)]), |header| {
        header.body_crc ^= 1;
    });
    assert!(matches!(first_error(&damaged), BatchError::BodyChecksum(_)));

    let unpacked = stored(plain_body(&[record(None, None)]), |header| {
        header.codec = Codec::Zstd;
    });
    let error = first_error(&unpacked);
    assert!(matches!(
        error,
        BatchError::Invalid(InvalidBatch::Decompression(_))
    ));
}

#[test]
fn a_fetched_record_is_five_elements_with_bin_for_bytes() {
    let mut record = record(Some(b"k"), None);
    record.timestamp = Some(-1);
    record.headers = vec![("h".to_owned(), Some(b"v".to_vec()))];
    let with_headers = plain_body(&[record]);
    // [[str "k", nil]]: a producer that writes str, and nothing it could leave out.
    let bare = vec![0x91, 0x92, 0xa1, b'k', 0xc0];
    for (body, expected) in [
        (
            with_headers,
            &b"\x95\x28\xff\xc4\x01k\xc0\x91\x92\xa1h\xc4\x01v"[..],
        ),
        (bare, b"\x95\x28\xcd\x03\xe8\xc4\x01k\xc0\x90"),
    ] {
        let batch = stored(body, |_| {});
        let records = batch.records().expect("valid");
        let mut out = vec![0xee];
        for record in &records {
            record.expect("valid").encode_fetched(&mut out);
        }
        assert_eq!(out[0], 0xee, "what was there stays");
        assert_eq!(&out[1..], expected);
    }
}
