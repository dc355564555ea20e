//! Decoding produce requests: what is borrowed, what is refused, and both shapes of the result.
//! The bytes are written out, so that the encoder cannot hide a fault of the decoder.

use broker_model::{Offset, PartitionId, Timestamp, TopicId};
use bytes::Bytes;

use super::{
    Acks, Appended, OpaqueBody, Partial, Payload, ProduceRequest, ProduceResponse, ProducerFields,
    RecordErrors, Routed,
};
use crate::call::{Request, Response};
use crate::envelope::{Envelope, request_frame};
use crate::error_code::ErrorCode;
use crate::frame::FRAME_HEADER_LEN;
use crate::refused_record::{DeadLetter, RefusedRecord};
use crate::wire_error::WireError;

const RECORDS: &[u8] = b"\x92\x92\xC0\xC4\x01a\x92\xC4\x01k\xC4\x01b";

fn plain() -> ProduceRequest {
    ProduceRequest::new("orders", Payload::Plain(Bytes::from_static(RECORDS)))
}

fn typed() -> ProduceRequest {
    let records = Bytes::from_static(b"\x91\x92\x07\x81\xA1a\xC3");
    ProduceRequest {
        encode: true,
        partial: Partial::Accept,
        ..ProduceRequest::new("orders", Payload::Plain(records))
    }
}

fn opaque() -> ProduceRequest {
    let payload = Payload::Opaque(OpaqueBody {
        body: Bytes::from_static(RECORDS),
        codec: "zstd".to_owned(),
        record_count: 2,
        base_timestamp_ms: Timestamp::from_millis(-5),
        max_timestamp_ms: Timestamp::from_millis(1 << 40),
        crc: u32::MAX,
        producer: Some(ProducerFields {
            id: 7,
            epoch: -1,
            base_sequence: 9,
        }),
    });
    ProduceRequest {
        topic_id: Some(TopicId::from_bytes([7; 16])),
        partition: Some(PartitionId::new(3)),
        acks: Acks::Leader,
        timeout_ms: 1,
        timestamp_ms: Some(Timestamp::from_millis(123)),
        ..ProduceRequest::new("orders", payload)
    }
}

fn encoded(request: &ProduceRequest) -> Bytes {
    let mut out = Vec::new();
    request.encode(&mut out);
    out.into()
}

fn message(args: &'static [u8]) -> String {
    ProduceRequest::decode(&Bytes::from_static(args))
        .unwrap_err()
        .to_string()
}

#[test]
fn all_forms_come_back_as_they_were_sent() {
    for request in [plain(), typed(), opaque()] {
        assert_eq!(ProduceRequest::decode(&encoded(&request)), Ok(request));
    }
}

#[test]
fn records_and_body_share_the_memory_of_the_frame() {
    for request in [plain(), opaque()] {
        let args = encoded(&request);
        let decoded = ProduceRequest::decode(&args).unwrap();
        let (Payload::Plain(bytes) | Payload::Opaque(OpaqueBody { body: bytes, .. })) =
            decoded.payload;
        assert!(args.as_ptr_range().contains(&bytes.as_ptr()));
    }
}

#[test]
fn the_records_may_stand_anywhere_in_the_map() {
    let args = [&b"\x82\xA7records"[..], RECORDS, b"\xA5topic\xA6orders"].concat();
    assert_eq!(ProduceRequest::decode(&args.into()), Ok(plain()));
}

#[test]
fn what_is_missing_or_nil_has_its_default() {
    let args = b"\x84\xA5topic\xA1t\xA9partition\xC0\xA4acks\xC0\xA7records\x90";
    let request = ProduceRequest::decode(&Bytes::from_static(args)).unwrap();
    assert_eq!(request.partition, None);
    assert_eq!(request.acks, Acks::All);
    assert_eq!(request.timeout_ms, 30_000);
    assert_eq!(request.timestamp_ms, None);
    assert_eq!((request.encode, request.partial), (false, Partial::Refuse));
}

#[test]
fn unknown_keys_are_stepped_over() {
    let args = [
        &b"\x83\xA5later\x81\xA1x\x93\x01\x02\x03\xA5topic\xA6orders\xA7records"[..],
        RECORDS,
    ];
    assert_eq!(ProduceRequest::decode(&args.concat().into()), Ok(plain()));
}

#[test]
fn what_is_wrong_is_said() {
    assert_eq!(
        message(b"\x81\xA5topic\xA1t"),
        "missing field `records` (or `body`)"
    );
    assert_eq!(message(b"\x81\xA7records\x90"), "missing field `topic`");
    assert_eq!(
        message(b"\x83\xA5topic\xA1t\xA4body\xA0\xA7records\x90"),
        "give either `records` or `body`, not both"
    );
    assert_eq!(
        message(b"\x82\xA5topic\xA1t\xA4body\xA0"),
        "missing field `record_count`"
    );
    assert_eq!(
        message(b"\x81\xA7records\xC4\x01a"),
        "`records`: expected an array of records, found binary"
    );
    assert_eq!(
        message(b"\x81\xA4acks\xA3two"),
        "`acks`: \"two\" is none of \"none\", \"leader\", \"all\""
    );
    assert_eq!(
        message(b"\x81\xA9partition\xFF"),
        "`partition`: -1 is out of range for a partition number"
    );
    assert_eq!(
        message(b"\x82\xA5topic\xA1t\xA5topic\xA1u"),
        "`topic`: the key is given twice"
    );
    assert_eq!(
        message(b"\x81\xA8topic_id\xA1x"),
        "`topic_id`: \"x\" is not a UUID"
    );
    assert_eq!(
        message(b"\x81\xA7partial\xA5maybe"),
        "`partial`: \"maybe\" is none of \"refuse\", \"accept\""
    );
    assert_eq!(
        message(b"\x83\xA5topic\xA1t\xA4body\xA0\xA6encode\xC3"),
        "`encode` goes with `records`, not with `body`"
    );
    assert_eq!(message(b"\x90"), "expected a map, found an array");
}

#[test]
fn a_frame_in_two_parts_is_the_frame_in_one() {
    for request in [plain(), opaque()] {
        let [head, tail] = request.request_frame_parts(77).unwrap();
        let whole = request_frame(77, &request).unwrap();
        assert_eq!([head, tail].concat(), whole);
        let [head, tail] = request.notification_frame_parts().unwrap();
        let whole = [head, tail].concat();
        let Ok(Envelope::Notification { method, .. }) = Envelope::parse(&whole[FRAME_HEADER_LEN..])
        else {
            panic!("not a notification");
        };
        assert_eq!(method, "produce");
    }
}

fn refused(dead_letter: Option<DeadLetter>) -> RefusedRecord {
    RefusedRecord {
        index: 2,
        field: "value".to_owned(),
        code: "PLUGIN_REJECTED".to_owned(),
        reason: "no JSON".to_owned(),
        plugin: Some("json".to_owned()),
        dead_letter,
    }
}

#[test]
fn both_results_come_back_as_they_were_sent() {
    let appended = Appended {
        partition: PartitionId::new(0),
        base_offset: Some(Offset::new(1 << 40)),
        record_count: 2,
        log_append_time_ms: None,
        log_start: Some(Offset::ZERO),
        refused: Vec::new(),
    };
    let some_refused = Appended {
        refused: vec![refused(Some(DeadLetter {
            topic: "refused".to_owned(),
            partition: Some(PartitionId::new(0)),
            offset: Some(Offset::new(7)),
            error: None,
        }))],
        ..appended.clone()
    };
    let accepted = Appended {
        base_offset: None,
        log_start: None,
        ..appended.clone()
    };
    let routed = Routed {
        partitions: vec![Some(PartitionId::new(1)), Some(PartitionId::new(0)), None],
        offsets: vec![Some(Offset::new(5)), None, None],
        errors: vec![RecordErrors {
            indexes: vec![1],
            error: WireError::new(ErrorCode::Busy, "full"),
        }],
        refused: vec![refused(None)],
    };
    for response in [
        ProduceResponse::Appended(appended),
        ProduceResponse::Appended(accepted),
        ProduceResponse::Appended(some_refused),
        ProduceResponse::Routed(routed),
        ProduceResponse::Routed(Routed::default()),
    ] {
        let mut out = Vec::new();
        response.encode(&mut out);
        assert_eq!(ProduceResponse::decode(&out.into()), Ok(response));
    }
}
