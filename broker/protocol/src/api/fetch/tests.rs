//! Fetch requests and answers: defaults, both forms, and frames in pieces. A frame in pieces has to
//! be the very bytes of the frame in one.

use broker_model::{Offset, PartitionId, Timestamp};
use bytes::Bytes;

use super::{
    FetchAnswer, FetchData, FetchForm, FetchPartition, FetchRequest, FetchResponse, FetchedData,
    FetchedPartition, FetchedRecords, Piece, RecordsWriter,
};
use crate::call::{Request, Response};
use crate::envelope::{Answer, response_frame};
use crate::error_code::ErrorCode;
use crate::frame::{FRAME_HEADER_LEN, FrameTooLarge};
use crate::wire_error::WireError;

fn partition(number: u32, data: FetchedData) -> FetchedPartition {
    FetchedPartition {
        topic: "orders".to_owned(),
        partition: PartitionId::new(number),
        error: None,
        log_start: Offset::new(1),
        high_watermark: Offset::new(300),
        log_end: Offset::new(70_000),
        next_offset: Offset::new(1 << 40),
        data,
    }
}

fn records() -> Bytes {
    let mut writer = RecordsWriter::new();
    let headers: [(&str, Option<&[u8]>); 3] = [("a", Some(b"1")), ("a", None), ("b", Some(b""))];
    let time = Timestamp::from_millis(-1);
    writer.push(Offset::new(7), time, Some(b""), None, headers.into_iter());
    writer.push(Offset::new(9), time, None, Some(b"v"), std::iter::empty());
    writer.finish()
}

fn answer(number: u32, data: FetchData<&'static str>) -> FetchAnswer<&'static str> {
    FetchAnswer {
        topic: "orders".to_owned(),
        partition: PartitionId::new(number),
        error: None,
        log_start: Offset::new(1),
        high_watermark: Offset::new(300),
        log_end: Offset::new(70_000),
        next_offset: Offset::new(1 << 40),
        data,
    }
}

/// Puts the pieces together as the socket would see them.
fn joined(pieces: Vec<Piece<&'static str>>) -> Bytes {
    let mut out = Vec::new();
    for piece in pieces {
        let before = out.len() as u64;
        let len = piece.len();
        match piece {
            Piece::Bytes(bytes) => out.extend_from_slice(&bytes),
            Piece::External { source, .. } => out.extend_from_slice(source.as_bytes()),
        }
        assert_eq!(out.len() as u64 - before, len);
    }
    out.into()
}

#[test]
fn a_request_needs_partitions_and_has_defaults_for_the_rest() {
    let decode = |args: &'static [u8]| FetchRequest::decode(&Bytes::from_static(args));
    let request = decode(b"\x81\xAApartitions\x90").unwrap();
    assert_eq!(request, FetchRequest::new(Vec::new()));
    assert_eq!((request.max_wait_ms, request.min_bytes), (500, 1));
    assert_eq!(request.form, FetchForm::Records);
    assert_eq!(
        decode(b"\x80").unwrap_err().to_string(),
        "missing field `partitions`"
    );
    let offset = b"\x81\xAApartitions\x91\x83\xA5topic\xA1t\xA9partition\x00\xA6offset\xFF";
    assert_eq!(
        decode(offset).unwrap_err().to_string(),
        "`partitions[0].offset`: -1 is out of range for an unsigned integer of 64 bits"
    );
    let form = b"\x82\xAApartitions\x90\xA4form\xA3raw";
    assert!(
        decode(form)
            .unwrap_err()
            .to_string()
            .contains("`form`: unknown variant `raw`")
    );
}

#[test]
fn a_request_comes_back_as_it_was_sent() {
    let wanted = FetchPartition {
        topic: "orders".to_owned(),
        topic_id: None,
        partition: PartitionId::new(2),
        offset: Offset::MAX,
        max_bytes: Some(0),
    };
    let request = FetchRequest {
        max_wait_ms: 0,
        form: FetchForm::Batch,
        ..FetchRequest::new(vec![wanted])
    };
    let mut out = Vec::new();
    request.encode(&mut out);
    assert_eq!(FetchRequest::decode(&out.into()), Ok(request));
}

#[test]
fn records_are_read_back_with_null_and_empty_told_apart() {
    let records = FetchedRecords::new(records()).unwrap();
    assert_eq!(records.len(), 2);
    let all: Vec<_> = records.iter().map(Result::unwrap).collect();
    assert_eq!(
        (all[0].offset, all[0].timestamp),
        (Offset::new(7), Timestamp::from_millis(-1))
    );
    assert_eq!((all[0].key, all[0].value), (Some(&b""[..]), None));
    assert_eq!((all[1].key, all[1].value), (None, Some(&b"v"[..])));
    let headers: Vec<_> = all[0].headers().map(Result::unwrap).collect();
    let expected: [(&str, Option<&[u8]>); 3] = [("a", Some(b"1")), ("a", None), ("b", Some(b""))];
    assert_eq!(headers, expected);
    assert_eq!(all[1].headers().count(), 0);
}

#[test]
fn a_malformed_record_ends_the_iteration_with_an_error() {
    let array = Bytes::from_static(b"\x93\x95\x01\x02\xC0\xC0\x90\x92\x01\x02\x90");
    let records = FetchedRecords::new(array).unwrap();
    let read: Vec<_> = records.iter().map(|record| record.is_ok()).collect();
    assert_eq!(read, [true, false]);
}

#[test]
fn many_records_get_the_longer_array_marker() {
    for count in [0_usize, 15, 16, 65_535, 65_536] {
        let mut writer = RecordsWriter::new();
        for _ in 0..count {
            writer.push_encoded(|out| out.extend_from_slice(b"\x95\x00\x00\xC0\xC0\x90"));
        }
        assert_eq!((writer.count(), writer.bytes_len()), (count, count * 6));
        let records = FetchedRecords::new(writer.finish()).unwrap();
        assert_eq!(records.len(), count);
        assert_eq!(records.iter().filter(Result::is_ok).count(), count);
    }
}

#[test]
fn a_response_comes_back_as_it_was_sent() {
    let failed = FetchedPartition {
        error: Some(WireError::new(ErrorCode::OffsetOutOfRange, "gone")),
        ..partition(2, FetchedData::Batch(Bytes::new()))
    };
    let response = FetchResponse {
        partitions: vec![
            partition(
                0,
                FetchedData::Records(FetchedRecords::new(records()).unwrap()),
            ),
            partition(1, FetchedData::Batch(Bytes::from_static(b"stored batches"))),
            failed,
        ],
    };
    let mut out = Vec::new();
    response.encode(&mut out);
    assert_eq!(FetchResponse::decode(&out.into()), Ok(response));
}

#[test]
fn pieces_joined_are_the_frame_in_one() {
    let sources = vec![(6, "stored"), (8, " batches")];
    let answers = vec![
        answer(0, FetchData::Batch(sources)),
        answer(1, FetchData::Records(records())),
        answer(2, FetchData::Batch(Vec::new())),
    ];
    let pieces = FetchAnswer::response_frame(5, answers).unwrap();
    let external = pieces
        .iter()
        .filter(|piece| matches!(piece, Piece::External { .. }))
        .count();
    assert_eq!(external, 2);
    let whole = response_frame(
        5,
        &FetchResponse {
            partitions: vec![
                partition(0, FetchedData::Batch(Bytes::from_static(b"stored batches"))),
                partition(
                    1,
                    FetchedData::Records(FetchedRecords::new(records()).unwrap()),
                ),
                partition(2, FetchedData::Batch(Bytes::new())),
            ],
        },
    );
    assert_eq!(joined(pieces), whole);
    assert!(Answer::parse(&whole.slice(FRAME_HEADER_LEN..)).is_ok());
}

#[test]
fn many_records_go_into_the_frame_without_being_copied() {
    let mut writer = RecordsWriter::new();
    let value = vec![b'v'; 100_000];
    writer.push(
        Offset::ZERO,
        Timestamp::from_millis(1),
        None,
        Some(&value),
        [].into_iter(),
    );
    let many = writer.finish();
    let answers = vec![
        answer(0, FetchData::<&str>::Records(many.clone())),
        answer(1, FetchData::Records(records())),
    ];
    let pieces = FetchAnswer::response_frame(5, answers).unwrap();
    let is_same = |piece: &Piece<&str>| matches!(piece, Piece::Bytes(bytes) if bytes.as_ptr() == many.as_ptr() && bytes.len() == many.len());
    assert_eq!(pieces.iter().filter(|piece| is_same(piece)).count(), 1);
    assert_eq!(
        pieces.len(),
        3,
        "what few there are is copied into what is said around them"
    );
    let as_partition = |number, array| {
        partition(
            number,
            FetchedData::Records(FetchedRecords::new(array).unwrap()),
        )
    };
    let partitions = vec![as_partition(0, many), as_partition(1, records())];
    let whole = response_frame(5, &FetchResponse { partitions });
    assert_eq!(joined(pieces), whole);
}

#[test]
fn neighbouring_sources_leave_no_empty_piece_between_them() {
    let sources = vec![(1, "a"), (1, "b"), (1, "c")];
    let pieces =
        FetchAnswer::response_frame(5, vec![answer(0, FetchData::Batch(sources))]).unwrap();
    assert!(pieces.iter().all(|piece| !piece.is_empty()), "{pieces:?}");
    assert_eq!(pieces.len(), 4);
}

#[test]
fn an_answer_without_partitions_is_still_a_frame() {
    let pieces = FetchAnswer::response_frame(5, Vec::new()).unwrap();
    assert_eq!(joined(pieces), response_frame(5, &FetchResponse::default()));
}

#[test]
fn an_answer_above_the_frame_limit_is_refused() {
    let answers = vec![answer(
        0,
        FetchData::Batch(vec![(u64::MAX, "a"), (u64::MAX, "b")]),
    )];
    let refused = FetchAnswer::response_frame(5, answers);
    assert!(matches!(refused, Err(FrameTooLarge { .. })));
}
