//! Batches as they lie on disk and as clients send them, with every codec: header, checksums, unfolding,
//! records, regrouping. What is accepted in full is readable in full, from the first record to the last.

use arbitrary::{Arbitrary, Result, Unstructured};
use broker_model::{LeaderEpoch, Offset, PartitionId, Timestamp, limits};
use broker_record::{
    BatchHeader, Batches, Codec, FieldForm, LogMark, OpaqueClaims, ProducedBatch, ProducerState,
    RoutableRecords, SerializableRecords, StoredBatch, TimestampType, Validation, compression,
};
use bytes::Bytes;

/// The first byte chooses what the rest is.
pub fn run(input: &[u8]) {
    let Some((what, rest)) = input.split_first() else {
        return;
    };
    let done = match what % 5 {
        0 => {
            run_of_batches(rest);
            Ok(())
        }
        1 => any_header(rest),
        2 => opaque(rest),
        3 => unfold(rest),
        _ => {
            plain(&Bytes::copy_from_slice(rest));
            Ok(())
        }
    };
    // Too few bytes to make something of.
    let _ = done;
}

fn run_of_batches(bytes: &[u8]) {
    for batch in Batches::new(Bytes::copy_from_slice(bytes)) {
        match batch {
            Ok(batch) => read(&batch),
            Err(error) => drop(error.to_string()),
        }
    }
}

/// Checksums that fit, whatever they cover.
fn any_header(bytes: &[u8]) -> Result<()> {
    let mut u = Unstructured::new(bytes);
    let claims = any_claims(&mut u)?;
    let mut header = BatchHeader {
        base_offset: Offset::new(u.arbitrary()?),
        leader_epoch: LeaderEpoch::new(u.arbitrary()?),
        codec: claims.codec,
        timestamp_type: match bool::arbitrary(&mut u)? {
            true => TimestampType::LogAppendTime,
            false => TimestampType::CreateTime,
        },
        record_count: claims.record_count,
        last_offset_delta: u.arbitrary()?,
        base_timestamp: claims.base_timestamp,
        max_timestamp: claims.max_timestamp,
        // What is not valid is written as none.
        producer: claims.producer.filter(ProducerState::is_valid),
        log_mark: LogMark::of_hash(u.arbitrary()?),
        body_len: 0,
        body_crc: 0,
    };
    let body = u.take_rest();
    header.body_len = u32::try_from(body.len()).unwrap_or_default();
    header.body_crc = crc32fast::hash(body);
    let stored: Bytes = [&header.encode()[..], body].concat().into();
    match StoredBatch::parse(&stored) {
        Ok((batch, len)) => {
            assert_eq!((batch.header, len), (header, stored.len()));
            read(&batch);
        }
        Err(error) => drop(error.to_string()),
    }
    Ok(())
}

fn opaque(bytes: &[u8]) -> Result<()> {
    let mut u = Unstructured::new(bytes);
    let mut claims = any_claims(&mut u)?;
    let body = Bytes::copy_from_slice(u.take_rest());
    claims.body_crc = crc32fast::hash(&body);
    // What is not unfolded on the way in has to be survived on the way out.
    if let Ok(batch) = ProducedBatch::opaque(body.clone(), claims, Validation::Trust) {
        read(&stored(&batch));
    }
    match ProducedBatch::opaque(body, claims, Validation::Full) {
        Ok(batch) => {
            accepted(&batch);
            if let Ok(records) = SerializableRecords::opaque(&batch, usize::MAX) {
                walk_fields(&records);
            }
        }
        Err(error) => drop(error.to_string()),
    }
    Ok(())
}

fn unfold(bytes: &[u8]) -> Result<()> {
    let mut u = Unstructured::new(bytes);
    let codec = *u.choose(&Codec::ALL)?;
    let packed = u.take_rest();
    let mut out = Vec::new();
    match compression::decompress(codec, packed, &mut out) {
        Ok(()) => {
            assert!(out.len() <= limits::BATCH_DECOMPRESSED_BYTES_MAX);
            let again = compression::compress(codec, &out).expect("any bytes can be compressed");
            let mut back = Vec::new();
            compression::decompress(codec, &again, &mut back).expect("it was just compressed");
            assert!(out == back, "{codec} gives back what it was given");
        }
        Err(error) => drop(error.to_string()),
    }
    Ok(())
}

fn plain(body: &Bytes) {
    let now = Timestamp::from_millis(7);
    for form in [FieldForm::Bytes, FieldForm::Value] {
        if let Ok(records) = SerializableRecords::plain(body.clone(), form, now) {
            walk_fields(&records);
        }
    }
    let produced = ProducedBatch::plain(body.clone(), now);
    let routable = RoutableRecords::walk(body.clone());
    match (produced, routable) {
        (Ok(batch), Ok(records)) => {
            accepted(&batch);
            regroup(&records, batch.header.record_count);
        }
        (Err(error), _) => drop(error.to_string()),
        (Ok(_), Err(error)) => panic!("a batch that is fine cannot be routed: {error}"),
    }
}

/// Every record goes to one of three partitions or nowhere, and none is lost.
fn regroup(records: &RoutableRecords, count: u32) {
    let now = Timestamp::from_millis(7);
    let keys = records.keys().map(|key| key.map_or(0, <[u8]>::len));
    let partitions: Vec<_> = (0_u32..)
        .zip(keys)
        .map(|(index, len)| {
            let to = (u32::try_from(len).unwrap_or(0).wrapping_add(index)) % 4;
            (to < 3).then(|| PartitionId::new(to))
        })
        .collect();
    let kept = partitions.iter().flatten().count();
    let groups = records
        .regroup(&partitions, now)
        .expect("the records are fine");
    let regrouped: usize = groups.iter().map(|group| group.indexes.len()).sum();
    assert_eq!(regrouped, kept);
    assert!(kept <= usize::try_from(count).unwrap_or(usize::MAX));
    groups.iter().for_each(|group| accepted(&group.batch));
}

fn walk_fields(records: &SerializableRecords) {
    let fields = records.keys().zip(records.values());
    for (index, _) in (0_u32..).zip(fields) {
        let _ = (records.timestamp(index), records.headers(index).count());
    }
    let body = records.rebuild(records.keys(), records.values(), |index| index % 2 == 0);
    if let Some(body) = body {
        let rebuilt = records.batch(body).expect("what was rebuilt is fine");
        accepted(&rebuilt);
    }
}

/// A batch that was accepted in full: every record can be read.
fn accepted(batch: &ProducedBatch) {
    let stored = stored(batch);
    let records = stored.records().expect("it was accepted");
    let mut count = 0;
    for record in records.iter() {
        let record = record.expect("it was accepted");
        record.headers().for_each(drop);
        assert!(record.offset <= batch.header.last_offset());
        count += 1;
    }
    assert_eq!(count, batch.header.record_count);
    let kept = stored.retain(|index| index % 2 == 1);
    if let Some(kept) = kept.expect("it was accepted") {
        kept.records()
            .expect("it was just written")
            .iter()
            .for_each(|record| {
                record.expect("it was just written");
            });
    }
}

fn stored(batch: &ProducedBatch) -> StoredBatch {
    let bytes: Bytes = [&batch.header.encode()[..], &batch.body].concat().into();
    let parsed = StoredBatch::parse(&bytes);
    parsed.expect("the broker's own header is fine").0
}

fn read(batch: &StoredBatch) {
    match batch.records() {
        Ok(records) => {
            for record in records.iter().flatten() {
                record.headers().for_each(drop);
            }
        }
        Err(error) => drop(error.to_string()),
    }
    if let Ok(Some(kept)) = batch.retain(|index| index % 3 != 0) {
        assert!(kept.header.record_count <= batch.header.record_count);
    }
}

fn any_claims(u: &mut Unstructured<'_>) -> Result<OpaqueClaims> {
    let producer = bool::arbitrary(u)?;
    Ok(OpaqueClaims {
        codec: *u.choose(&Codec::ALL)?,
        record_count: u.arbitrary()?,
        base_timestamp: Timestamp::from_millis(u.arbitrary()?),
        max_timestamp: Timestamp::from_millis(u.arbitrary()?),
        body_crc: 0,
        producer: match producer {
            false => None,
            true => Some(ProducerState {
                id: u.arbitrary()?,
                epoch: u.arbitrary()?,
                base_sequence: u.arbitrary()?,
            }),
        },
    })
}
