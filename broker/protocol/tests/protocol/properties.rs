//! Arbitrary and almost-right bytes against everything that decodes, and what is encoded against
//! its decoder.

use broker_model::{Offset, PartitionId, Timestamp};
use broker_protocol::api::fetch::{
    FetchForm, FetchPartition, FetchRequest, FetchResponse, FetchedData, FetchedPartition,
    FetchedRecords, RecordsWriter,
};
use broker_protocol::api::produce::{Acks, OpaqueBody, Partial, Payload, ProduceRequest};
use broker_protocol::{
    Answer, Decoded, Envelope, ErrorCode, ErrorData, FrameDecoder, Method, Request, Response,
    WireError, encode_frame, error_frame, request_frame, shape,
};
use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::methods::codec;
use crate::msgpack;
use crate::samples;

/// Runs everything that takes bytes from outside; it may refuse them, never panic.
fn decode_everything(bytes: &Bytes) {
    for decoder in [FrameDecoder::before_hello(), FrameDecoder::after_hello()] {
        let mut buffer = BytesMut::from(&bytes[..]);
        while let Ok(Decoded::Frame(body)) = decoder.decode(&mut buffer) {
            let _ = Envelope::parse(&body);
        }
    }
    let _ = shape::check(bytes);
    let _ = Envelope::parse(bytes);
    let _ = Answer::parse(bytes);
    decode_values(bytes);
}

fn decode_values(bytes: &Bytes) {
    for method in Method::ALL {
        let codec = codec(*method);
        let _ = (codec.request)(bytes);
        let _ = (codec.response)(bytes);
    }
    if let Ok(records) = FetchedRecords::new(bytes.clone()) {
        for record in records.iter().flatten() {
            let _ = record.headers().count();
        }
        for record in records.iter_decoded().flatten() {
            let _ = record.headers().count();
        }
    }
}

/// A frame of the page with one byte changed, removed or added.
fn almost_right() -> impl Strategy<Value = Bytes> {
    let frames: Vec<Bytes> = samples::all()
        .into_iter()
        .map(|vector| vector.body())
        .collect();
    (
        prop::sample::select(frames),
        any::<prop::sample::Index>(),
        any::<u8>(),
        0..3_u8,
    )
        .prop_map(|(frame, at, byte, change)| {
            let mut bytes = frame.to_vec();
            let at = at.index(bytes.len());
            match change {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, byte),
            }
            bytes.into()
        })
}

/// MessagePack that is mostly well-formed, so that the walk gets somewhere.
fn markers() -> impl Strategy<Value = Vec<u8>> {
    let likely = prop::sample::select(&b"\x00\x7F\x80\x81\x82\x90\x91\x92\x93\xA0\xA1\xC0\xC2\xC4\xCA\xCC\xD0\xD9\xDC\xDE\xFF\xC1\xC7\xD4"[..]);
    vec(prop_oneof![8 => likely, 1 => any::<u8>()], 0..48)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..256)) {
        decode_everything(&bytes.into());
    }

    #[test]
    fn likely_markers_never_panic(bytes in markers()) {
        decode_everything(&bytes.into());
    }

    #[test]
    fn frames_with_one_change_never_panic(body in almost_right()) {
        decode_everything(&body);
        if let Ok(Envelope::Request { args: value, .. } | Envelope::Response { result: value, .. }) =
            Envelope::parse(&body)
        {
            decode_values(&body.slice_ref(value));
        }
    }

    #[test]
    fn the_walker_agrees_with_the_plain_decoder(bytes in markers()) {
        let plain = msgpack::decode(&bytes, broker_model::limits::NESTING_DEPTH_MAX);
        prop_assert_eq!(shape::check(&bytes).is_ok(), plain.is_some(), "{:02x?}", bytes);
    }

    #[test]
    fn what_is_wrong_with_the_start_is_wrong_with_the_whole(bytes in markers(), cut in any::<usize>()) {
        let (start, _) = bytes.split_at(cut % (bytes.len() + 1));
        if let Err(wrong) = shape::check_start(start) {
            prop_assert_eq!(shape::check(&bytes), Err(wrong), "{:02x?}", bytes);
        }
    }

    #[test]
    fn a_stream_cut_anywhere_gives_the_same_frames(
        bodies in vec(vec(any::<u8>(), 0..64), 0..8),
        cuts in vec(1..40_usize, 1..32),
    ) {
        let stream: Vec<u8> =
            bodies.iter().flat_map(|body| encode_frame(body).unwrap().to_vec()).collect();
        let decoder = FrameDecoder::before_hello();
        let (mut buffer, mut rest, mut frames) = (BytesMut::new(), &stream[..], Vec::new());
        for cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            buffer.extend_from_slice(now);
            rest = later;
            while let Decoded::Frame(body) = decoder.decode(&mut buffer).unwrap() {
                frames.push(body.to_vec());
            }
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(frames, bodies);
    }

    #[test]
    fn missing_bytes_are_what_completes_the_frame(body in vec(any::<u8>(), 0..100), kept in 0..105_usize) {
        let frame = encode_frame(&body).unwrap();
        let mut buffer = BytesMut::from(&frame[..kept.min(frame.len() - 1)]);
        let decoder = FrameDecoder::before_hello();
        while let Decoded::NeedMore { missing } = decoder.decode(&mut buffer.clone()).unwrap() {
            prop_assert!(missing > 0 && buffer.len() + missing <= frame.len());
            let upto = buffer.len() + missing;
            buffer.extend_from_slice(&frame[buffer.len()..upto]);
        }
        prop_assert_eq!(&buffer[..], &frame[..]);
    }

    #[test]
    fn produce_requests_come_back_as_they_were_sent(request in produce_request(), id in any::<u64>()) {
        let frame = request_frame(id, &request).unwrap();
        let body = frame.slice(5..);
        let Ok(Envelope::Request { id: got, method, args }) = Envelope::parse(&body) else {
            return Err(TestCaseError::fail("not a request"));
        };
        prop_assert_eq!((got, method), (id, "produce"));
        prop_assert_eq!(ProduceRequest::decode(&body.slice_ref(args)), Ok(request));
    }

    #[test]
    fn fetch_requests_come_back_as_they_were_sent(
        partitions in vec(("[a-z.]{0,8}", any::<u32>(), any::<u64>(), option::of(any::<u32>())), 0..5),
        numbers in any::<[u32; 3]>(),
        batch in any::<bool>(),
    ) {
        let partitions = partitions.into_iter().map(|(topic, partition, offset, max_bytes)| {
            let (partition, offset) = (PartitionId::new(partition), Offset::new(offset));
            FetchPartition { topic, topic_id: None, partition, offset, max_bytes }
        });
        let [max_wait_ms, min_bytes, max_bytes] = numbers;
        let form = if batch { FetchForm::Batch } else { FetchForm::Records };
        let partitions = partitions.collect();
        let request = FetchRequest { partitions, max_wait_ms, min_bytes, max_bytes, form, decode: !batch };
        let mut out = Vec::new();
        request.encode(&mut out);
        prop_assert_eq!(FetchRequest::decode(&out.into()), Ok(request));
    }

    #[test]
    fn fetched_records_come_back_as_they_were_sent(records in vec(record(), 0..40)) {
        let mut writer = RecordsWriter::new();
        for (offset, time, key, value, headers) in &records {
            let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
            let (offset, time) = (Offset::new(*offset), Timestamp::from_millis(*time));
            writer.push(offset, time, key.as_deref(), value.as_deref(), headers);
        }
        let data = FetchedData::Records(FetchedRecords::new(writer.finish()).unwrap());
        let response = FetchResponse {
            partitions: vec![FetchedPartition { data, ..FetchedPartition::default() }],
        };
        let mut out = Vec::new();
        response.encode(&mut out);
        prop_assert_eq!(shape::check(&out), Ok(()));
        let decoded = FetchResponse::decode(&out.into()).unwrap();
        let FetchedData::Records(read) = &decoded.partitions[0].data else {
            return Err(TestCaseError::fail("not records"));
        };
        let read: Vec<Record> = read.iter().map(|record| {
            let record = record.unwrap();
            let headers = record.headers().map(|header| {
                let (name, value) = header.unwrap();
                (name.to_owned(), value.map(<[u8]>::to_vec))
            });
            let (key, value) = (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
            (record.offset.get(), record.timestamp.as_millis(), key, value, headers.collect())
        }).collect();
        prop_assert_eq!(read, records);
    }

    #[test]
    fn errors_come_back_as_they_were_sent(
        code in prop::sample::select(ErrorCode::ALL),
        message in ".{0,40}",
        flags in any::<[bool; 2]>(),
        id in option::of(any::<u64>()),
        facts in option::of((option::of(any::<u64>()), option::of(".{0,9}"), option::of(vec(any::<u8>(), 0..17)))),
    ) {
        let mut error = WireError::new(code, message).with_retriable(flags[0]);
        error.definite = flags[1];
        if let Some((offset, topic, first_bytes)) = facts {
            error = error.with_data(ErrorData {
                offset: offset.map(Offset::new),
                topic,
                first_bytes: first_bytes.map(Bytes::from),
                ..ErrorData::default()
            });
        }
        let answer = Answer::parse(&error_frame(id, &error).slice(5..)).unwrap();
        prop_assert_eq!(answer, Answer { id, outcome: Err(error) });
    }
}

/// Offset, timestamp, key, value, headers.
type Record = (
    u64,
    i64,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Vec<(String, Option<Vec<u8>>)>,
);

fn record() -> impl Strategy<Value = Record> {
    let bytes = || option::of(vec(any::<u8>(), 0..300));
    (
        any::<u64>(),
        any::<i64>(),
        bytes(),
        bytes(),
        vec((".{0,6}", bytes()), 0..3),
    )
}

fn produce_request() -> impl Strategy<Value = ProduceRequest> {
    let plain = vec(any::<u8>(), 0..30).prop_map(|values| {
        let mut records = Vec::new();
        rmp_serde::encode::write(&mut records, &values).unwrap();
        Payload::Plain(records.into())
    });
    let opaque = (
        vec(any::<u8>(), 0..300),
        "[a-z]{0,6}",
        any::<[u32; 2]>(),
        any::<[i64; 2]>(),
    );
    let opaque = opaque.prop_map(|(body, codec, [record_count, crc], [base, max])| {
        Payload::Opaque(OpaqueBody {
            body: body.into(),
            codec,
            record_count,
            base_timestamp_ms: Timestamp::from_millis(base),
            max_timestamp_ms: Timestamp::from_millis(max),
            crc,
            producer: None,
        })
    });
    let acks = prop::sample::select(&[Acks::None, Acks::Leader, Acks::All][..]);
    let numbers = (
        option::of(any::<u32>()),
        any::<u32>(),
        option::of(any::<i64>()),
    );
    let partial = prop::sample::select(&[Partial::Refuse, Partial::Accept][..]);
    let payload = prop_oneof![
        (plain, any::<bool>()),
        (opaque, proptest::strategy::Just(false))
    ];
    (".{0,12}", acks, numbers, partial, payload).prop_map(
        |(topic, acks, (partition, timeout_ms, timestamp), partial, (payload, encode))| {
            ProduceRequest {
                encode,
                partial,
                partition: partition.map(PartitionId::new),
                acks,
                timeout_ms,
                timestamp_ms: timestamp.map(Timestamp::from_millis),
                ..ProduceRequest::new(topic, payload)
            }
        },
    )
}

#[test]
fn the_start_of_a_body_tells_that_it_is_nested_too_deep_and_not_that_it_is_cut() {
    let deep = [0x91; 100];
    assert!(shape::check_start(&deep).is_err());
    let mut late = b"\x94\x00\x07\xa7produce\x81\xa1a\xc6\x00\x10\x00\x00".to_vec();
    late.extend([0xc1; 100]);
    assert_eq!(
        shape::check_start(&late),
        Ok(()),
        "these are bytes of a value"
    );
}
