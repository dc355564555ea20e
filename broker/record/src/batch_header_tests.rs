//! The header's bytes are fixed by a golden fixture; every flipped bit is noticed; every field that
//! this version cannot know is refused by name.

use proptest::prelude::*;

use super::*;

/// A header with another value in every field.
fn sample() -> BatchHeader {
    BatchHeader {
        base_offset: Offset::new(0x0102_0304_0506_0708),
        leader_epoch: LeaderEpoch::new(0x1112_1314),
        codec: Codec::Zstd,
        timestamp_type: TimestampType::LogAppendTime,
        record_count: 0x2122,
        last_offset_delta: 0x2223,
        base_timestamp: Timestamp::from_millis(0x0000_018b_cfe5_687b),
        max_timestamp: Timestamp::from_millis(-2),
        producer: Some(ProducerState {
            id: 0x3132_3334_3536_3738,
            epoch: 0x4142,
            base_sequence: 0x5152_5354,
        }),
        log_mark: LogMark::default(),
        body_len: 0x6162,
        body_crc: 0x7172_7374,
    }
}

/// What `sample` is on disk. This changes only together with the version byte.
const GOLDEN: [u8; 68] = [
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, // base offset
    0x00, 0x00, 0x61, 0x9a, // length: 56 + body
    0xcc, 0xa2, 0xfc, 0x1a, // header crc
    0x11, 0x12, 0x13, 0x14, // leader epoch
    0x01, 0x01, 0x04, 0x01, // version, format, codec, timestamp type
    0x00, 0x00, 0x21, 0x22, // record count
    0x00, 0x00, 0x22, 0x23, // last offset delta
    0x00, 0x00, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x7b, // base timestamp
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, // max timestamp
    0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, // producer id
    0x41, 0x42, 0x00, 0x00, // producer epoch, log mark
    0x51, 0x52, 0x53, 0x54, // base sequence
    0x71, 0x72, 0x73, 0x74, // body crc
];

/// Sets a field of the sample to raw bytes and makes the checksum right again.
fn forged(at: usize, bytes: &[u8]) -> [u8; 68] {
    let mut header = sample().encode();
    header[at..at + bytes.len()].copy_from_slice(bytes);
    let crc = header_crc(&header).to_be_bytes();
    header[at::HEADER_CRC..at::LEADER_EPOCH].copy_from_slice(&crc);
    header
}

fn any_header() -> impl Strategy<Value = BatchHeader> {
    let producer =
        (0..=i64::MAX, 0..=i16::MAX, 0..=i32::MAX).prop_map(|(id, epoch, base_sequence)| {
            ProducerState {
                id,
                epoch,
                base_sequence,
            }
        });
    let place = (0..u64::MAX / 2, any::<u32>(), 1..=u32::MAX, any::<u32>());
    let kind = (0..5_usize, 0..2_usize);
    let rest = (
        any::<[i64; 2]>(),
        proptest::option::of(producer),
        any::<u32>(),
        any::<u16>().prop_map(LogMark),
    );
    (place, kind, rest, 0..=BatchHeader::BODY_LEN_MAX).prop_map(
        |(
            (base, epoch, count, more),
            (codec, kind),
            ([from, to], producer, crc, log_mark),
            len,
        )| {
            BatchHeader {
                base_offset: Offset::new(base),
                leader_epoch: LeaderEpoch::new(epoch),
                codec: Codec::ALL[codec],
                timestamp_type: TimestampType::ALL[kind],
                record_count: count,
                last_offset_delta: (count - 1).saturating_add(more),
                base_timestamp: Timestamp::from_millis(from),
                max_timestamp: Timestamp::from_millis(to),
                producer,
                log_mark,
                body_len: len,
                body_crc: crc,
            }
        },
    )
}

proptest! {
    #[test]
    fn every_header_is_read_back(header in any_header()) {
        prop_assert_eq!(BatchHeader::decode(&header.encode()), Ok(header));
    }

    #[test]
    fn every_flipped_bit_is_noticed(header in any_header(), bit in 0..68 * 8_usize) {
        let mut bytes = header.encode();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let is_bad = matches!(
            BatchHeader::decode(&bytes),
            Err(HeaderError::BadChecksum { .. })
        );
        prop_assert!(is_bad);
    }
}

#[test]
fn the_bytes_are_the_golden_ones() {
    assert_eq!(sample().encode(), GOLDEN);
    assert_eq!(BatchHeader::decode(&GOLDEN), Ok(sample()));
    // The checksum by its definition: crc32 over bytes 0..12 and 16..68 joined.
    let crc = crc32fast::hash(&[&GOLDEN[..12], &GOLDEN[16..]].concat());
    assert_eq!(crc.to_be_bytes(), GOLDEN[12..16]);
}

#[test]
fn no_producer_is_three_times_minus_one() {
    let header = BatchHeader {
        producer: None,
        ..sample()
    };
    let bytes = header.encode();
    assert_eq!(bytes[48..58], [0xff; 10]);
    assert_eq!(bytes[60..64], [0xff; 4]);
    assert_eq!(BatchHeader::decode(&bytes), Ok(header));
}

#[test]
fn the_log_mark_stands_where_earlier_versions_have_zeros() {
    let header = BatchHeader {
        log_mark: LogMark::of_hash(0x0102_1020),
        ..sample()
    };
    let bytes = header.encode();
    assert_eq!(bytes[58..60], [0x11, 0x22]);
    assert_eq!(BatchHeader::decode(&bytes), Ok(header));
}

#[test]
fn marks_differ_where_both_are_stated() {
    let [one, other] = [1, 2].map(LogMark::of_hash);
    assert!(one.differs_from(other) && !one.differs_from(one));
    let unknown = LogMark::default();
    assert!(!one.differs_from(unknown) && !unknown.differs_from(one));
    assert_ne!(LogMark::of_hash(0x1234_1234), unknown, "0 is no mark");
}

#[test]
fn what_follows_the_header_is_not_looked_at() {
    let bytes = [&sample().encode()[..], &[0xee; 9]].concat();
    assert_eq!(BatchHeader::decode(&bytes), Ok(sample()));
}

#[test]
fn too_few_bytes_are_told_from_wrong_ones() {
    let bytes = sample().encode();
    for available in 0..68 {
        let read = BatchHeader::decode(&bytes[..available]);
        assert_eq!(read, Err(HeaderError::TooShort { available }));
    }
}

#[test]
fn what_this_version_cannot_know_is_refused_by_name() {
    let cases = [
        (
            at::VERSION,
            &[2][..],
            HeaderError::UnknownVersion { version: 2 },
        ),
        (
            at::FORMAT,
            &[2],
            HeaderError::UnknownBodyFormat { format: 2 },
        ),
        (
            at::CODEC,
            &[5],
            HeaderError::UnsupportedCodec(UnsupportedCodec {
                given: "5".to_owned(),
            }),
        ),
        (
            at::TIMESTAMP_TYPE,
            &[2],
            HeaderError::UnknownTimestampType { id: 2 },
        ),
        (
            at::LENGTH,
            &[0, 0, 0, 55],
            HeaderError::Length { length: 55 },
        ),
    ];
    for (at, bytes, error) in cases {
        assert_eq!(BatchHeader::decode(&forged(at, bytes)), Err(error));
    }
}

#[test]
fn counts_and_offsets_have_to_be_possible() {
    let counts = |record_count, last_offset_delta| HeaderError::Counts {
        record_count,
        last_offset_delta,
    };
    let none = BatchHeader::decode(&forged(at::RECORD_COUNT, &[0; 4]));
    assert!(none.is_ok(), "compaction may have taken all of them out");
    let crowded = BatchHeader::decode(&forged(at::RECORD_COUNT, &[0, 0, 0x22, 0x25]));
    assert_eq!(crowded, Err(counts(0x2225, 0x2223)));
    let tight = BatchHeader::decode(&forged(at::RECORD_COUNT, &[0, 0, 0x22, 0x24]));
    assert!(tight.is_ok());
    let beyond = BatchHeader::decode(&forged(at::BASE_OFFSET, &[0xff; 8]));
    assert!(matches!(beyond, Err(HeaderError::OffsetOverflow { .. })));
}

#[test]
fn a_producer_is_whole_or_none() {
    for (at, bytes) in [
        (at::PRODUCER_ID, &[0xff; 8][..]),
        (at::PRODUCER_EPOCH, &[0xff; 2]),
        (at::BASE_SEQUENCE, &[0xff; 4]),
    ] {
        let read = BatchHeader::decode(&forged(at, bytes));
        assert!(matches!(read, Err(HeaderError::Producer { .. })));
    }
}

#[test]
fn offsets_and_sizes_follow_from_the_header() {
    let header = BatchHeader {
        base_offset: Offset::new(40),
        record_count: 2,
        last_offset_delta: 9,
        body_len: 100,
        ..sample()
    };
    assert_eq!(header.last_offset(), Offset::new(49));
    assert_eq!(header.next_offset(), Offset::new(50));
    assert_eq!(header.batch_len(), 168);
}

#[test]
fn a_damaged_body_is_noticed() {
    let body = b"body";
    let header = BatchHeader {
        body_crc: crc32fast::hash(body),
        ..sample()
    };
    assert_eq!(header.verify_body(body), Ok(()));
    let error = header.verify_body(b"bodY");
    assert!(error.is_err_and(|mismatch| mismatch.expected == header.body_crc));
}
