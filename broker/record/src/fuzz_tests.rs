//! Whatever bytes come in: nothing panics, and what is accepted is what an independent reader of
//! the format accepts too. Inputs are valid bodies with a few bytes changed, because random bytes
//! rarely get past the first marker.

use broker_model::{PartitionId, Timestamp};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::record_model::{any_records, any_spelling, read_body, short_lengths, write_body};
use crate::{
    BatchHeader, Batches, Codec, OpaqueClaims, ProducedBatch, RoutableRecords, StoredBatch,
    TimestampType, Validation, compression,
};

const NOW: Timestamp = Timestamp::from_millis(77);

/// One change to a run of bytes.
#[derive(Clone, Debug)]
enum Damage {
    Set(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    CutAt(Index),
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Set(at, byte) => *at.get_mut(bytes) = *byte,
            Self::Insert(at, byte) => bytes.insert(at.index(bytes.len()), *byte),
            Self::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
            Self::CutAt(at) => bytes.truncate(at.index(bytes.len())),
        }
    }
}

fn any_damage() -> impl Strategy<Value = Vec<Damage>> {
    // Markers, mostly: they make the most of a change.
    let byte = prop_oneof![0x90_u8..=0x95, 0xc0_u8..=0xdf, any::<u8>()];
    vec(
        prop_oneof![
            4 => (any::<Index>(), byte.clone()).prop_map(|(at, byte)| Damage::Set(at, byte)),
            2 => (any::<Index>(), byte).prop_map(|(at, byte)| Damage::Insert(at, byte)),
            2 => any::<Index>().prop_map(Damage::Remove),
            1 => any::<Index>().prop_map(Damage::CutAt),
        ],
        0..4,
    )
}

/// A body that is valid, or was until a few bytes of it changed. Small, so that a change hits.
fn damaged_body() -> impl Strategy<Value = Vec<u8>> {
    let records = any_records(short_lengths(), 1..4);
    (records, any_spelling(), any_damage()).prop_map(|(records, spelling, damage)| {
        let mut body = write_body(&records, spelling);
        damage.iter().for_each(|damage| damage.apply(&mut body));
        body
    })
}

fn any_codec() -> impl Strategy<Value = Codec> {
    proptest::sample::select(&Codec::ALL[..])
}

fn stored(codec: Codec, kind: TimestampType, record_count: u32, body: &[u8]) -> Bytes {
    let header = BatchHeader {
        base_offset: broker_model::Offset::new(1_000),
        leader_epoch: broker_model::LeaderEpoch::new(3),
        codec,
        timestamp_type: kind,
        record_count,
        last_offset_delta: record_count - 1,
        base_timestamp: NOW,
        max_timestamp: NOW,
        producer: None,
        log_mark: crate::LogMark::default(),
        body_len: u32::try_from(body.len()).expect("small"),
        body_crc: crc32fast::hash(body),
    };
    [&header.encode()[..], body].concat().into()
}

/// Reads as much of a run as can be read; returns how many records that were.
fn read_all(run: Bytes) -> usize {
    let mut out = Vec::new();
    let mut read = 0;
    for batch in Batches::new(run).flatten() {
        let Ok(records) = batch.records() else {
            continue;
        };
        for record in records.iter().flatten() {
            record.encode_fetched(&mut out);
            read += 1;
        }
    }
    read
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn exactly_what_the_format_allows_is_accepted(body in damaged_body()) {
        let model = read_body(&body);
        let body = Bytes::from(body);
        let batch = ProducedBatch::plain(body.clone(), NOW);
        prop_assert_eq!(batch.is_ok(), model.is_some(), "{:?}", batch);
        let routable = RoutableRecords::walk(body);
        prop_assert_eq!(
            routable.as_ref().map(RoutableRecords::len).map_err(|error| error.clone()),
            batch.map(|batch| batch.header.record_count as usize)
        );
        let (Ok(routable), Some(model)) = (routable, model) else { return Ok(()) };
        for ((key, record), model) in routable.keys().zip(routable.iter()).zip(&model) {
            prop_assert_eq!(key, model.key.as_deref());
            prop_assert_eq!(record.key, model.key.as_deref());
            prop_assert_eq!(record.value, model.value.as_deref());
            prop_assert_eq!(record.timestamp.map(Timestamp::as_millis), model.timestamp);
            let headers = model.headers.iter();
            prop_assert!(
                record.headers.eq(headers.map(|(name, value)| (&name[..], value.as_deref())))
            );
        }
    }

    #[test]
    fn damaged_compressed_bodies_never_panic(
        body in damaged_body(),
        damage in any_damage(),
        codec in any_codec(),
        record_count in 1_u32..5,
    ) {
        let mut packed = compression::compress(codec, &body).expect("small");
        damage.iter().for_each(|damage| damage.apply(&mut packed));
        let claims = OpaqueClaims {
            codec,
            record_count,
            base_timestamp: NOW,
            max_timestamp: NOW,
            body_crc: crc32fast::hash(&packed),
            producer: None,
        };
        let packed = Bytes::from(packed);
        let batch = ProducedBatch::opaque(packed.clone(), claims, Validation::Full);
        if batch.is_ok() {
            let run = stored(codec, TimestampType::CreateTime, record_count, &packed);
            prop_assert_eq!(read_all(run), record_count as usize);
        }
        let trusted = ProducedBatch::opaque(packed.clone(), claims, Validation::Trust);
        prop_assert_eq!(trusted.is_ok(), !packed.is_empty());
        read_all(stored(codec, TimestampType::LogAppendTime, record_count, &packed));
    }

    #[test]
    fn any_bytes_at_all_never_panic(
        bytes in vec(any::<u8>(), 0..300),
        codec in any_codec(),
        partition_count in 1_u32..4,
    ) {
        let bytes = Bytes::from(bytes);
        let header = BatchHeader::decode(&bytes);
        prop_assert!(header.is_err());
        prop_assert!(StoredBatch::parse(&bytes).is_err());
        prop_assert_eq!(read_all(bytes.clone()), 0);
        let mut out = Vec::new();
        if compression::decompress(codec, &bytes, &mut out).is_ok() {
            prop_assert!(out.len() <= compression::decompressed_bytes_max(bytes.len()));
        }
        read_all(stored(codec, TimestampType::CreateTime, 3, &bytes));
        if let Ok(routable) = RoutableRecords::walk(bytes) {
            let to = (0..partition_count).map(PartitionId::new).map(Some);
            let partitions: Vec<_> = to.cycle().take(routable.len()).collect();
            prop_assert!(routable.regroup(&partitions, NOW).is_ok());
        }
    }

    #[test]
    fn a_damaged_run_never_panics_and_never_yields_a_damaged_batch(
        bodies in vec(damaged_body(), 1..4),
        damage in any_damage(),
    ) {
        let mut run = Vec::new();
        for body in &bodies {
            run.extend_from_slice(&stored(Codec::None, TimestampType::CreateTime, 1, body));
        }
        let whole = Bytes::from(run.clone());
        damage.iter().for_each(|damage| damage.apply(&mut run));
        let originals: Vec<_> = Batches::new(whole).flatten().collect();
        prop_assert_eq!(originals.len(), bodies.len());
        for batch in Batches::new(run.into()).flatten() {
            if batch.header.verify_body(&batch.body).is_ok() {
                prop_assert!(originals.contains(&batch));
            } else {
                prop_assert!(batch.records().is_err());
            }
        }
    }
}
