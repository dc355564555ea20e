//! Compression: every codec comes back as it went, is stored compressed, and is served either way.

use std::fs;

use crate::harness::{Broker, Rec, Value, map, opaque, plain};

fn stored_bytes(broker: &Broker, topic: &str) -> u64 {
    let files = broker.files(topic, 0, "log");
    files
        .iter()
        .map(|file| fs::metadata(file).expect("it is there").len())
        .sum()
}

#[test]
fn every_codec_round_trips_and_takes_less_room_on_disk() {
    let mut broker = Broker::start();
    let mut wire = broker.connect();
    let records = plain("the same few words again and again ", 0..1_000);
    let expected: Vec<String> = (0..1_000)
        .map(|n| format!("the same few words again and again {n}"))
        .collect();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        wire.create_topic(codec, 1, &[]);
        let answer = wire
            .call("produce", opaque(codec, 0, &records, codec))
            .unwrap();
        assert_eq!(
            (
                answer.get("base_offset").u64(),
                answer.get("record_count").u64()
            ),
            (0, 1_000),
            "{codec}"
        );
    }
    broker.crash();
    let mut wire = broker.connect();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let found: Vec<String> = wire.read_all(codec, 0).iter().map(Rec::text).collect();
        assert!(found == expected, "{codec} came back changed");
        let middle = wire.read_from(codec, 0, 500);
        assert_eq!((middle.len(), middle[0].offset), (500, 500), "{codec}");
    }
    let uncompressed = stored_bytes(&broker, "none");
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        let stored = stored_bytes(&broker, codec);
        assert!(
            stored * 3 < uncompressed,
            "{codec}: {stored} of {uncompressed} bytes"
        );
    }
}

#[test]
fn codecs_share_a_partition() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    let codecs = ["zstd", "none", "gzip", "lz4", "snappy", "zstd"];
    for (at, codec) in (0..).zip(codecs) {
        wire.call(
            "produce",
            opaque("t", 0, &plain("x", at * 10..at * 10 + 10), codec),
        )
        .unwrap();
        wire.produce("t", 0, plain("p", at..at + 1));
    }
    let records = wire.read_all("t", 0);
    assert_eq!(records.len(), 66);
    for (at, chunk) in (0..).zip(records.chunks(11)) {
        assert_eq!(chunk[0].text(), format!("x{}", at * 10));
        assert_eq!(chunk[10].text(), format!("p{at}"));
    }
}

#[test]
fn a_batch_in_batch_form_is_the_producers_own_bytes() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("t", 1, &[]);
    let sent = opaque("t", 0, &plain("text ", 0..100), "gzip");
    wire.produce("t", 0, plain("before", 0..3));
    wire.call("produce", sent.clone()).unwrap();
    let fetched = wire.fetch("t", 0, 50, map! { "form" => "batch" }).unwrap();
    let batch = fetched.answer.get("batch").bytes().expect("bytes");
    let body = sent.get("body").bytes().expect("bytes");
    assert_eq!(
        batch.len(),
        68 + body.len(),
        "one whole batch, from its start"
    );
    assert!(batch[68..] == body);
    assert_eq!(batch[0..8], 3_u64.to_be_bytes(), "base offset");
    assert_eq!(batch[22], 1, "codec");
    assert_eq!(batch[24..28], 100_u32.to_be_bytes(), "record count");
    let crc = u64::from(u32::from_be_bytes(
        batch[64..68].try_into().expect("four bytes"),
    ));
    assert_eq!(
        Value::from(crc),
        *sent.get("crc"),
        "the producer's checksum"
    );
    assert_eq!(fetched.offset("next_offset"), 103);
}
