//! Everything a producer can get wrong has an error that says what and where; everything it gets
//! right is stored as it came.

use broker_model::limits::RECORD_HEADERS_MAX;
use proptest::prelude::*;

use super::*;
use crate::record_model::{all_lengths, any_records, any_spelling, write_body};
use crate::{Expected, MalformedReason};

const NOW: Timestamp = Timestamp::from_millis(50);

/// Claims that are true for a body of one record at `NOW`.
fn claims(body: &[u8]) -> OpaqueClaims {
    OpaqueClaims {
        codec: Codec::None,
        record_count: 1,
        base_timestamp: NOW,
        max_timestamp: NOW,
        body_crc: crc32fast::hash(body),
        producer: None,
    }
}

/// What is wrong with a body, as both ways to produce and both ways to walk see it.
fn refused(body: &[u8]) -> InvalidBatch {
    let body = Bytes::copy_from_slice(body);
    let plain = ProducedBatch::plain(body.clone(), NOW);
    let routed = crate::RoutableRecords::walk(body.clone());
    assert_eq!(routed.map(drop), plain.clone().map(drop));
    let keyless = ProducedBatch::keyless(body.clone(), NOW);
    if keyless != Ok(None) {
        assert_eq!(keyless.map(drop), plain.clone().map(drop));
    }
    let opaque = ProducedBatch::opaque(body.clone(), claims(&body), Validation::Full);
    assert_eq!(opaque.map(drop), plain.clone().map(drop));
    plain.expect_err("the body is wrong")
}

fn malformed(record: u32, position: usize, reason: MalformedReason) -> InvalidBatch {
    InvalidBatch::Malformed {
        record: Some(record),
        position,
        reason,
    }
}

/// One of the ways in which a producer can misstate a batch.
fn misstate(claims: &OpaqueClaims, which: u8, by: u32) -> OpaqueClaims {
    let moved = |timestamp: Timestamp, by: i64| {
        Timestamp::from_millis(timestamp.as_millis().wrapping_add(by))
    };
    let mut lie = *claims;
    match which {
        0 => lie.record_count += by,
        1 => lie.base_timestamp = moved(lie.base_timestamp, by.into()),
        2 => lie.base_timestamp = moved(lie.base_timestamp, -i64::from(by)),
        3 => lie.max_timestamp = moved(lie.max_timestamp, by.into()),
        4 => lie.max_timestamp = moved(lie.max_timestamp, -i64::from(by)),
        _ => lie.body_crc ^= by,
    }
    lie
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn plain_and_opaque_end_in_the_same_batch(
        records in any_records(all_lengths(), 1..12),
        spelling in any_spelling(),
        codec in proptest::sample::select(&Codec::ALL[..]),
    ) {
        let body = Bytes::from(write_body(&records, spelling));
        let plain = ProducedBatch::plain(body.clone(), NOW).expect("valid");
        prop_assert_eq!(&plain.body, &body);
        prop_assert_eq!(plain.size(), 68 + body.len());
        let has_keys = records.iter().any(|record| record.key.is_some());
        let keyless = ProducedBatch::keyless(body.clone(), NOW);
        prop_assert_eq!(keyless, Ok((!has_keys).then(|| plain.clone())));
        let packed = Bytes::from(compression::compress(codec, &body).expect("small"));
        let claims = OpaqueClaims {
            codec,
            record_count: plain.header.record_count,
            base_timestamp: plain.header.base_timestamp,
            max_timestamp: plain.header.max_timestamp,
            body_crc: crc32fast::hash(&packed),
            producer: None,
        };
        for validation in [Validation::Full, Validation::Trust] {
            let opaque = ProducedBatch::opaque(packed.clone(), claims, validation);
            let opaque = opaque.expect("the claims are true");
            prop_assert_eq!(&opaque.body, &packed);
            if codec == Codec::None {
                prop_assert_eq!(&opaque, &plain);
            }
        }
    }

    #[test]
    fn every_lie_is_caught(
        records in any_records(all_lengths(), 1..12),
        which in 0..6_u8,
        by in 1..4_u32,
    ) {
        let body = Bytes::from(crate::record_model::plain_body(&records));
        let header = ProducedBatch::plain(body.clone(), NOW).expect("valid").header;
        let truth = OpaqueClaims {
            record_count: header.record_count,
            base_timestamp: header.base_timestamp,
            max_timestamp: header.max_timestamp,
            ..claims(&body)
        };
        let mut lie = misstate(&truth, which, by);
        let some_without = records.iter().any(|record| record.timestamp.is_none());
        if matches!(which, 1 | 2) && some_without {
            // Records without a timestamp follow the base, wherever it is; the max has to as well.
            let own = records.iter().filter_map(|record| record.timestamp).max();
            let own = own.map_or(Timestamp::MIN, Timestamp::from_millis);
            lie.max_timestamp = own.max(lie.base_timestamp);
            prop_assert!(ProducedBatch::opaque(body, lie, Validation::Full).is_ok());
        } else {
            prop_assert!(ProducedBatch::opaque(body, lie, Validation::Full).is_err());
        }
    }
}

#[test]
fn records_without_a_timestamp_get_the_default_and_others_keep_theirs() {
    // [[nil, nil, 7], [nil, nil]]
    let body = Bytes::from_static(&[0x92, 0x93, 0xc0, 0xc0, 7, 0x92, 0xc0, 0xc0]);
    let header = ProducedBatch::plain(body, NOW).expect("valid").header;
    assert_eq!(header.base_timestamp, NOW);
    assert_eq!(header.max_timestamp, NOW);
    // [[nil, nil, 70], [nil, nil, 60]]
    let body = Bytes::from_static(&[0x92, 0x93, 0xc0, 0xc0, 70, 0x93, 0xc0, 0xc0, 60]);
    let header = ProducedBatch::plain(body, NOW).expect("valid").header;
    assert_eq!(header.base_timestamp.as_millis(), 70);
    assert_eq!(header.max_timestamp.as_millis(), 70);
}

#[test]
fn records_without_keys_end_in_the_same_batch_and_the_first_key_ends_the_walk() {
    let keyless = |body: &[u8]| ProducedBatch::keyless(Bytes::copy_from_slice(body), NOW);
    // [[nil, nil, 7], [nil, "a"]]
    let body = [0x92, 0x93, 0xc0, 0xc0, 7, 0x92, 0xc0, 0xc4, 1, b'a'];
    let plain = ProducedBatch::plain(Bytes::copy_from_slice(&body), NOW);
    assert_eq!(keyless(&body), plain.map(Some));
    // An empty key is a key; what is wrong behind it is for the other walk to say.
    let empty_key = [0x92, 0x92, 0xc4, 0, 0xc0, 0xc1];
    assert_eq!(keyless(&empty_key), Ok(None));
    let wrong_before = [0x92, 0x92, 0xc0, 7, 0x92, 0xc4, 0, 0xc0];
    let error = keyless(&wrong_before).expect_err("a value is bytes or nil");
    assert!(matches!(
        error,
        InvalidBatch::Malformed {
            record: Some(0),
            ..
        }
    ));
}

#[test]
fn a_body_is_one_array_and_nothing_else() {
    let around = |reason| InvalidBatch::Malformed {
        record: None,
        position: 0,
        reason,
    };
    let not_array = |marker| {
        around(MalformedReason::WrongType {
            expected: Expected::Array,
            marker,
        })
    };
    assert_eq!(refused(&[0x81, 0, 0]), not_array(0x81));
    assert_eq!(refused(&[0xc7, 0, 0]), not_array(0xc7));
    assert_eq!(refused(&[0xdd, 0, 0]), around(MalformedReason::Truncated));
    assert_eq!(refused(&[0x90]), InvalidBatch::Empty);
    let trailing = InvalidBatch::TrailingBytes {
        position: 4,
        bytes: 2,
    };
    assert_eq!(refused(&[0x91, 0x92, 0xc0, 0xc0, 0x92, 0xc0]), trailing);
}

#[test]
fn a_count_that_lies_is_refused_before_anything_is_allocated_for_it() {
    let million_and_one = refused(&[0xdd, 0, 0x0f, 0x42, 0x41, 0x92, 0xc0, 0xc0]);
    let records = 1_000_001;
    assert_eq!(million_and_one, InvalidBatch::TooManyRecords { records });
    let four_billion = refused(&[0xdd, 0xff, 0xff, 0xff, 0xff, 0x92, 0xc0, 0xc0]);
    let records = u32::MAX;
    assert_eq!(four_billion, InvalidBatch::TooManyRecords { records });
    let million = refused(&[0xdd, 0, 0x0f, 0x42, 0x40, 0x92, 0xc0, 0xc0]);
    assert_eq!(million, malformed(1, 8, MalformedReason::Truncated));
}

#[test]
fn a_record_has_two_to_five_elements() {
    for elements in [0, 1, 6, 15] {
        let body = [0x92, 0x92, 0xc0, 0xc0, 0x90 | elements, 0xc0, 0xc0];
        let elements = u32::from(elements);
        let reason = MalformedReason::RecordElements { elements };
        assert_eq!(refused(&body), malformed(1, 4, reason));
    }
}

#[test]
fn every_element_of_a_record_has_its_type() {
    let wrong = |expected, marker| MalformedReason::WrongType { expected, marker };
    for (body, position, reason) in [
        // the record, key, value, timestamp, headers, offset delta
        (&[0x91, 0x80][..], 1, wrong(Expected::Array, 0x80)),
        (&[0x91, 0x92, 7, 0xc0], 2, wrong(Expected::BytesOrNil, 7)),
        (
            &[0x91, 0x92, 0xc0, 0xd4, 0, 0],
            3,
            wrong(Expected::BytesOrNil, 0xd4),
        ),
        (
            &[0x91, 0x93, 0xc0, 0xc0, 0xcb, 0, 0, 0, 0, 0, 0, 0, 0],
            4,
            wrong(Expected::IntegerOrNil, 0xcb),
        ),
        (
            &[0x91, 0x93, 0xc0, 0xc0, 0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0],
            4,
            MalformedReason::IntegerRange,
        ),
        (
            &[0x91, 0x94, 0xc0, 0xc0, 0xc0, 0x80],
            5,
            wrong(Expected::Array, 0x80),
        ),
        (
            &[0x91, 0x95, 0xc0, 0xc0, 0xc0, 0xc0, 0xc2],
            6,
            wrong(Expected::IntegerOrNil, 0xc2),
        ),
        // a header: the pair, its name, its value
        (
            &[0x91, 0x94, 0xc0, 0xc0, 0xc0, 0x91, 0xc0],
            6,
            wrong(Expected::Array, 0xc0),
        ),
        (
            &[0x91, 0x94, 0xc0, 0xc0, 0xc0, 0x91, 0x93, 0xa0, 0xc0, 0xc0],
            6,
            MalformedReason::HeaderElements { elements: 3 },
        ),
        (
            &[0x91, 0x94, 0xc0, 0xc0, 0xc0, 0x91, 0x92, 0xc4, 0, 0xc0],
            7,
            wrong(Expected::Text, 0xc4),
        ),
        (
            &[0x91, 0x94, 0xc0, 0xc0, 0xc0, 0x91, 0x92, 0xa1, 0xff, 0xc0],
            7,
            MalformedReason::NotUtf8,
        ),
        (
            &[0x91, 0x94, 0xc0, 0xc0, 0xc0, 0x91, 0x92, 0xa0, 1],
            8,
            wrong(Expected::BytesOrNil, 1),
        ),
    ] {
        assert_eq!(refused(body), malformed(0, position, reason), "{body:x?}");
    }
}

#[test]
fn a_body_cut_anywhere_is_refused() {
    let body = [
        0x91, 0x95, 0xc4, 1, b'k', 0xc5, 0, 1, b'v', 0xcd, 1, 0, 0x91, 0x92, 0xa1, b'h', 0xc0, 0,
    ];
    assert!(ProducedBatch::plain(Bytes::copy_from_slice(&body), NOW).is_ok());
    for len in 1..body.len() {
        let error = refused(&body[..len]);
        let is_cut = matches!(
            error,
            InvalidBatch::Malformed {
                record: Some(0),
                reason: MalformedReason::Truncated,
                ..
            }
        );
        assert!(is_cut, "cut at {len}: {error}");
    }
}

#[test]
fn too_many_headers_are_refused_by_their_count() {
    let headers = RECORD_HEADERS_MAX + 1;
    let [_, _, high, low] = headers.to_be_bytes();
    let body = [0x91, 0x94, 0xc0, 0xc0, 0xc0, 0xdc, high, low];
    let reason = MalformedReason::TooManyHeaders { headers };
    assert_eq!(refused(&body), malformed(0, 5, reason));
}

#[test]
fn an_offset_delta_is_the_records_index() {
    let body = |second| {
        let record = |delta| [0x95, 0xc0, 0xc0, 50, 0xc0, delta];
        [&[0x92][..], &record(0), &record(second)].concat()
    };
    assert!(ProducedBatch::plain(body(1).into(), NOW).is_ok());
    assert!(ProducedBatch::plain(body(0xc0).into(), NOW).is_ok());
    for (second, claimed) in [(0, 0), (2, 2), (0xff, -1)] {
        let error = InvalidBatch::OffsetDelta { record: 1, claimed };
        assert_eq!(refused(&body(second)), error);
    }
}

#[test]
fn claims_that_lie_are_refused_by_name() {
    // [[nil, nil, 50]]
    let body = Bytes::from_static(&[0x91, 0x93, 0xc0, 0xc0, 50]);
    let truth = claims(&body);
    let check = |claims| ProducedBatch::opaque(body.clone(), claims, Validation::Full).map(drop);
    assert_eq!(check(truth), Ok(()));

    let record_count = 2;
    let mismatch = InvalidBatch::CountMismatch {
        claimed: 2,
        actual: 1,
    };
    assert_eq!(
        check(OpaqueClaims {
            record_count,
            ..truth
        }),
        Err(mismatch)
    );
    let record_count = 0;
    assert_eq!(
        check(OpaqueClaims {
            record_count,
            ..truth
        }),
        Err(InvalidBatch::Empty)
    );
    let record_count = 1_000_001;
    let too_many = InvalidBatch::TooManyRecords {
        records: record_count,
    };
    assert_eq!(
        check(OpaqueClaims {
            record_count,
            ..truth
        }),
        Err(too_many)
    );

    let body_crc = truth.body_crc ^ 1;
    let checksum = InvalidBatch::BadChecksum {
        expected: body_crc,
        actual: truth.body_crc,
    };
    assert_eq!(check(OpaqueClaims { body_crc, ..truth }), Err(checksum));

    for (id, epoch, base_sequence) in [(-1, 0, 0), (0, -1, 0), (0, 0, -1)] {
        let producer = ProducerState {
            id,
            epoch,
            base_sequence,
        };
        let claims = OpaqueClaims {
            producer: Some(producer),
            ..truth
        };
        assert_eq!(check(claims), Err(InvalidBatch::Producer { producer }));
    }
}

#[test]
fn timestamps_that_lie_are_refused_by_name() {
    // [[nil, nil, 50]]
    let body = Bytes::from_static(&[0x91, 0x93, 0xc0, 0xc0, 50]);
    let truth = claims(&body);
    let check = |claims| ProducedBatch::opaque(body.clone(), claims, Validation::Full).map(drop);
    let lie = Timestamp::from_millis(49);
    let wrong = |which| InvalidBatch::TimestampMismatch {
        which,
        claimed: lie,
        actual: NOW,
    };
    let base = OpaqueClaims {
        base_timestamp: lie,
        ..truth
    };
    assert_eq!(check(base), Err(wrong("base")));
    let max = OpaqueClaims {
        max_timestamp: lie,
        ..truth
    };
    assert_eq!(check(max), Err(wrong("max")));
}

#[test]
fn trust_checks_the_checksum_and_nothing_inside() {
    let body = Bytes::from_static(b"not a body");
    let trusted = claims(&body);
    assert!(ProducedBatch::opaque(body.clone(), trusted, Validation::Trust).is_ok());
    assert!(ProducedBatch::opaque(body.clone(), trusted, Validation::Full).is_err());
    let damaged = OpaqueClaims {
        body_crc: 0,
        ..trusted
    };
    assert!(matches!(
        ProducedBatch::opaque(body, damaged, Validation::Trust),
        Err(InvalidBatch::BadChecksum { .. })
    ));
    let empty = Bytes::new();
    let claims = claims(&empty);
    let refused = ProducedBatch::opaque(empty, claims, Validation::Trust);
    assert_eq!(refused, Err(InvalidBatch::Empty));
}

#[test]
fn what_went_wrong_is_said_in_plain_words() {
    let error = refused(&[0x91, 0x92, 7, 0xc0]).to_string();
    let expected =
        "batch body is malformed at byte 2 (record 0): expected bin, str or nil, found marker 0x07";
    assert_eq!(error, expected);
    let error = refused(&[0x80]).to_string();
    let expected = "batch body is malformed at byte 0: expected an array, found marker 0x80";
    assert_eq!(error, expected);
}
