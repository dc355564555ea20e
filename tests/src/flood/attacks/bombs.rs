//! Batches that unfold to as much as they may, or more, in every codec.

use broker_record::{Codec, compression};

use super::Attack;
use super::requests::ask_again_and_again;
use crate::flood::message::{Message, request};
use crate::flood::stage;

const MIB: usize = 1024 * 1024;
/// Just below what a batch may unfold to; less in a build that would unfold it a hundred times slower.
const ALLOWED: usize = if cfg!(debug_assertions) { 10 } else { 63 } * MIB;
/// Above it.
const TOO_MUCH: usize = 80 * MIB;

pub(super) const ATTACKS: [Attack; 6] = [
    Attack {
        name: "bombs-gzip",
        what: "gzip batches that unfold to all they may",
        connections: 50,
        payload: || bomb(Codec::Gzip, ALLOWED),
        offend: |field| Box::pin(ask_again_and_again(field)),
    },
    Attack {
        name: "bombs-lz4",
        what: "lz4 batches that unfold to all they may",
        connections: 50,
        payload: || bomb(Codec::Lz4, ALLOWED),
        offend: |field| Box::pin(ask_again_and_again(field)),
    },
    Attack {
        name: "bombs-snappy",
        what: "snappy batches that unfold to a third of it",
        connections: 50,
        payload: || bomb(Codec::Snappy, ALLOWED / 3),
        offend: |field| Box::pin(ask_again_and_again(field)),
    },
    Attack {
        name: "bombs-zstd",
        what: "zstd batches that unfold to all they may",
        connections: 50,
        payload: || bomb(Codec::Zstd, ALLOWED),
        offend: |field| Box::pin(ask_again_and_again(field)),
    },
    Attack {
        name: "bombs-too-large",
        what: "gzip batches that unfold to 80 MiB and say 1 KiB",
        connections: 50,
        payload: || {
            let mut body = packed(Codec::Gzip, TOO_MUCH);
            let end = body.len() - 4;
            body.truncate(end);
            body.extend_from_slice(&1024_u32.to_le_bytes());
            produce_packed(Codec::Gzip, &body)
        },
        offend: |field| Box::pin(ask_again_and_again(field)),
    },
    Attack {
        name: "bombs-lying",
        what: "lz4 batches of nothing that say they unfold to all they may",
        connections: 50,
        payload: || produce_packed(Codec::Lz4, &lying_lz4()),
        offend: |field| Box::pin(ask_again_and_again(field)),
    },
];

fn bomb(codec: Codec, unfolded: usize) -> Vec<u8> {
    produce_packed(codec, &packed(codec, unfolded))
}

/// One record whose value is nearly all zeros, compressed: not so well that the ratio gives it away.
fn packed(codec: Codec, unfolded: usize) -> Vec<u8> {
    let mut value = vec![0; unfolded];
    for (at, number) in (0..unfolded).step_by(2_000).zip(1_u32..) {
        for (byte, noise) in value[at..]
            .iter_mut()
            .zip(number.wrapping_mul(0x9e37_79b9).to_le_bytes())
        {
            *byte = noise;
        }
    }
    let record = Message::new().array(1).raw(&[0x92, 0xc0]).bin(&value);
    compression::compress(codec, &record.into_bytes()).unwrap_or_default()
}

/// A frame whose header declares 63 MiB and whose only block is cut off.
fn lying_lz4() -> Vec<u8> {
    let mut body = packed(Codec::Lz4, ALLOWED);
    body.truncate(1024);
    body
}

fn produce_packed(codec: Codec, body: &[u8]) -> Vec<u8> {
    let args = Message::new().map(8).text("topic").text(stage::TARGET);
    let args = args.text("partition").number(0);
    let args = args.text("codec").text(codec.name());
    let args = args.text("record_count").number(1);
    let args = args.text("base_timestamp_ms").number(1_000);
    let args = args.text("max_timestamp_ms").number(1_000);
    let args = args
        .text("crc")
        .number(u64::from(crc32fast::hash(body)))
        .text("body")
        .bin(body);
    request(2, "produce", args)
}
