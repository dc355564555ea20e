//! Records of all kinds through a client's builder, a codec, the broker's check and back: what comes out
//! is what went in, and so is what was routed to partitions.

use arbitrary::{Result, Unstructured};
use broker_model::{PartitionId, Timestamp};
use broker_record::{BatchBuilder, Codec, ProducedBatch, RoutableRecords, StoredBatch, Validation};
use bytes::Bytes;

#[derive(Debug, PartialEq)]
struct Record {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    timestamp: i64,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A codec, then records.
pub fn run(input: &[u8]) {
    // Too few bytes are no records.
    let _ = round_trip(&mut Unstructured::new(input));
}

fn round_trip(u: &mut Unstructured<'_>) -> Result<()> {
    let codec = *u.choose(&Codec::ALL)?;
    let records = u
        .arbitrary_iter::<(Option<Vec<u8>>, Option<Vec<u8>>, i64, _)>()?
        .map(|record| {
            let (key, value, timestamp, headers) = record?;
            Ok(Record {
                key,
                value,
                timestamp,
                headers,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    if let Some(body) = build(&records, Codec::None) {
        routed(&records, &body.body);
    }
    if let Some(batch) = build(&records, codec) {
        assert_eq!(read(&batch), records);
    }
    Ok(())
}

/// `None` when the builder takes them for no batch: too many, or times too far apart.
fn build(records: &[Record], codec: Codec) -> Option<ProducedBatch> {
    let mut builder = BatchBuilder::new();
    for record in records {
        let headers = record.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str(), value.as_deref()));
        let at = Timestamp::from_millis(record.timestamp);
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        builder.push(key, value, at, headers).ok()?;
    }
    let (body, claims) = builder.build(codec).ok()?;
    let batch = ProducedBatch::opaque(body, claims, Validation::Full);
    Some(batch.expect("the broker takes what its client builds"))
}

fn read(batch: &ProducedBatch) -> Vec<Record> {
    let stored: Bytes = [&batch.header.encode()[..], &batch.body].concat().into();
    let (stored, _) = StoredBatch::parse(&stored).expect("it was just written");
    let records = stored.records().expect("it was accepted");
    let owned = records.iter().map(|record| {
        let record = record.expect("it was accepted");
        let headers = record.headers();
        let headers = headers.map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)));
        Record {
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            timestamp: record.timestamp.as_millis(),
            headers: headers.collect(),
        }
    });
    owned.collect()
}

/// Each record to the partition of its value's length.
fn routed(records: &[Record], body: &Bytes) {
    let to = |record: &Record| record.value.as_ref().map_or(0, Vec::len) % 3;
    let partitions: Vec<_> = records
        .iter()
        .map(|record| u32::try_from(to(record)).ok().map(PartitionId::new))
        .collect();
    let routable = RoutableRecords::walk(body.clone()).expect("it was accepted");
    let now = Timestamp::from_millis(0);
    let groups = routable.regroup(&partitions, now).expect("it was accepted");
    for group in &groups {
        let expected = records.iter().filter(|record| {
            u32::try_from(to(record)).ok().map(PartitionId::new) == Some(group.partition)
        });
        let found = read(&group.batch);
        assert!(found.iter().eq(expected), "partition {}", group.partition);
    }
    let regrouped: usize = groups.iter().map(|group| group.indexes.len()).sum();
    assert_eq!(regrouped, records.len());
}
