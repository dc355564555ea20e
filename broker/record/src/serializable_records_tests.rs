//! Records on their way through serializers: taken apart, and put together again without the refused ones.

use broker_model::Timestamp;
use bytes::Bytes;

use super::*;
use crate::StoredBatch;

const NOW: Timestamp = Timestamp::from_millis(77);

/// `[["k", {1: 2}, 5, [["h", "v"]], 0], [nil, nil], ["x", bin "ab", nil]]`
const VALUES: &[u8] =
    b"\x93\x95\xa1k\x81\x01\x02\x05\x91\x92\xa1h\xa1v\x00\x92\xc0\xc0\x93\xa1x\xc4\x02ab\xc0";

fn values() -> SerializableRecords {
    SerializableRecords::plain(Bytes::from_static(VALUES), FieldForm::Value, NOW).unwrap()
}

#[test]
fn values_are_taken_with_their_markers_and_nil_is_null() {
    let records = values();
    let keys: Vec<_> = records.keys().collect();
    assert_eq!(keys, [Some(&b"\xa1k"[..]), None, Some(b"\xa1x")]);
    let found: Vec<_> = records.values().collect();
    assert_eq!(
        found,
        [Some(&b"\x81\x01\x02"[..]), None, Some(b"\xc4\x02ab")]
    );
    assert_eq!(bytes_in_value(b"\xc4\x02ab"), Some(&b"ab"[..]));
    assert_eq!(bytes_in_value(b"\xa1k"), Some(&b"k"[..]));
    assert_eq!(bytes_in_value(b"\x81\x01\x02"), None);
    assert_eq!(records.timestamp(0), Some(Timestamp::from_millis(5)));
    assert_eq!(records.timestamp(1), Some(NOW));
    let headers: Vec<_> = records.headers(0).collect();
    assert_eq!(headers, [("h", Some(&b"v"[..]))]);
    assert_eq!(records.headers(2).count(), 0);
}

#[test]
fn a_rebuilt_batch_has_the_kept_records_with_their_timestamps_and_headers() {
    let records = values();
    let stored = [Some(&b"K"[..]), None, Some(b"X")];
    let values = [Some(&b"one"[..]), None, Some(b"three")];
    let body = records
        .rebuild(stored.into_iter(), values.into_iter(), |index| index != 1)
        .unwrap();
    let batch = records.batch(body).unwrap();
    let batch = StoredBatch {
        header: batch.header,
        body: batch.body,
    };
    let opened = batch.records().unwrap();
    let got: Vec<_> = opened.iter().map(Result::unwrap).collect();
    assert_eq!(got.len(), 2);
    assert_eq!(
        (got[0].key, got[0].value),
        (Some(&b"K"[..]), Some(&b"one"[..]))
    );
    assert_eq!(got[0].timestamp, Timestamp::from_millis(5));
    assert_eq!(got[0].headers().count(), 1);
    assert_eq!((got[1].value, got[1].timestamp), (Some(&b"three"[..]), NOW));
    assert!(
        records
            .rebuild(stored.into_iter(), values.into_iter(), |_| false)
            .is_none()
    );
}

#[test]
fn a_compressed_batch_stays_compressed_and_keeps_its_base_timestamp() {
    let body: &[u8] = b"\x92\x92\xa1a\xa1b\x93\xc0\xa1c\x09";
    for codec in Codec::ALL {
        let packed = crate::compression::compress(codec, body).unwrap();
        let claims = OpaqueClaims {
            codec,
            record_count: 2,
            base_timestamp: NOW,
            max_timestamp: NOW,
            body_crc: crc32fast::hash(&packed),
            producer: None,
        };
        let batch = ProducedBatch::opaque(packed.into(), claims, Validation::Full).unwrap();
        let records = SerializableRecords::opaque(&batch, usize::MAX).unwrap();
        let within = SerializableRecords::opaque(&batch, 3);
        let lacks_room = within.is_err_and(|error| error.is_for_lack_of_room());
        assert_eq!(lacks_room, codec != Codec::None, "{codec:?}");
        let rebuilt = records
            .rebuild(records.keys(), records.values(), |index| index == 0)
            .unwrap();
        let batch = records.batch(rebuilt).unwrap();
        assert_eq!(batch.header.codec, codec);
        assert_eq!(batch.header.record_count, 1);
        assert_eq!(batch.header.base_timestamp, NOW);
        let batch = StoredBatch {
            header: batch.header,
            body: batch.body,
        };
        let opened = batch.records().unwrap();
        assert_eq!(
            opened.iter().next().unwrap().unwrap().value,
            Some(&b"b"[..])
        );
    }
}

#[test]
fn what_is_wrong_is_named_by_record() {
    let broken = |bytes: &'static [u8], form| {
        SerializableRecords::plain(Bytes::from_static(bytes), form, NOW).unwrap_err()
    };
    let error = broken(b"\x91\x92\x81\x01\x02\xc0", FieldForm::Bytes).to_string();
    assert!(
        error.contains("record 0") && error.contains("bin, str or nil"),
        "{error}"
    );
    let error = broken(b"\x91\x92\xd4\x01\x02\xc0", FieldForm::Value).to_string();
    assert!(error.contains("ext types are not allowed"), "{error}");
    assert_eq!(broken(b"\x90", FieldForm::Value), InvalidBatch::Empty);
    assert!(matches!(
        broken(b"\x91\x95\xc0\xc0\xc0\xc0\x01", FieldForm::Value),
        InvalidBatch::OffsetDelta {
            record: 0,
            claimed: 1
        }
    ));
    assert!(matches!(
        broken(b"\x91\x92\xc0\xc0\x01", FieldForm::Value),
        InvalidBatch::TrailingBytes { bytes: 1, .. }
    ));
}
