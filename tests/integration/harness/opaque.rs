//! Batches encoded by the client: the body, and what `produce` wants to be told about it. The checksum
//! is computed here bit by bit, from its definition.

use broker_record::{Codec, compression};

use super::value::{Value, map};

/// CRC-32 as zlib, gzip and PNG have it.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    };
    !bytes.iter().fold(u32::MAX, step)
}

/// The arguments that a body needs; every record has this timestamp or none of its own.
pub(crate) fn opaque(topic: &str, partition: u32, records: &Value, codec: &str) -> Value {
    let body = pack(&records.encode(), codec);
    opaque_body(topic, partition, body, codec).set("record_count", records.list().len())
}

/// The arguments for a body as it is, said to hold one record.
pub(crate) fn opaque_body(topic: &str, partition: u32, body: Vec<u8>, codec: &str) -> Value {
    map! {
        "topic" => topic,
        "partition" => partition,
        "codec" => codec,
        "record_count" => 1,
        "base_timestamp_ms" => 1_000,
        "max_timestamp_ms" => 1_000,
        "crc" => crc32(&body),
        "body" => Value::Bin(body),
    }
}

/// Compresses a body.
pub(crate) fn pack(body: &[u8], codec: &str) -> Vec<u8> {
    let codec = Codec::from_name(codec).expect("a codec of the broker");
    compression::compress(codec, body).expect("a small body can be compressed")
}

#[test]
fn the_checksum_is_the_one_that_the_page_names() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}
