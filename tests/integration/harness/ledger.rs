//! `Ledger`: what producers were told, to be compared with what is stored: every acknowledged record at
//! its offset, with its bytes; nothing that nobody sent, and nothing twice. And the producers.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use super::opaque::opaque;
use super::record::{keyed, valued};
use super::value::{Value, map};
use super::wire::Wire;

/// Requests a producer keeps under way.
const UNDER_WAY: usize = 8;

/// A record that a producer was told is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Acknowledged {
    pub(crate) partition: u32,
    pub(crate) offset: u64,
    pub(crate) value: String,
    pub(crate) at: Instant,
}

/// What producers were told, over all starts of a broker.
#[derive(Default)]
pub(crate) struct Ledger {
    acknowledged: Mutex<BTreeMap<(u32, u64), Acknowledged>>,
    attempted: Mutex<u64>,
}

impl Ledger {
    /// One of which so many values were sent.
    pub(crate) fn of_attempts(attempted: u64) -> Self {
        Self {
            attempted: Mutex::new(attempted),
            ..Self::default()
        }
    }

    /// Takes down an answer; no offset may be given out twice.
    #[track_caller]
    pub(crate) fn acknowledge(&self, partition: u32, offset: u64, value: String) {
        let at = Instant::now();
        let told = Acknowledged {
            partition,
            offset,
            value,
            at,
        };
        let before = self
            .acknowledged()
            .insert((partition, offset), told.clone());
        assert_eq!(before, None, "given out twice, then to {told:?}");
    }

    /// How many records are acknowledged.
    pub(crate) fn count(&self) -> usize {
        self.acknowledged().len()
    }

    /// Compares everything that is stored with everything that was acknowledged.
    #[track_caller]
    pub(crate) fn verify(&self, wire: &mut Wire, topic: &str, partitions: u32) {
        let missing = self.take_missing(wire, topic, partitions);
        assert_eq!(missing, [], "acknowledged and not there");
    }

    /// The same, where a log may have lost its end: answers what is missing and forgets it, since its
    /// offsets are given out again.
    #[track_caller]
    pub(crate) fn take_missing(
        &self,
        wire: &mut Wire,
        topic: &str,
        partitions: u32,
    ) -> Vec<Acknowledged> {
        let attempted = *self.attempted.lock().expect("no panic");
        let (mut seen, mut missing) = (BTreeMap::new(), Vec::new());
        for partition in 0..partitions {
            let records = wire.read_all(topic, partition);
            for (expected, record) in (0..).zip(&records) {
                assert_eq!(record.offset, expected, "{topic}-{partition} has a gap");
                let text = record.text();
                let number: u64 = text
                    .split(' ')
                    .nth(1)
                    .and_then(|n| n.parse().ok())
                    .expect("ours");
                assert!(number <= attempted, "nobody sent {text:?}");
                let before = seen.insert(text.clone(), (partition, record.offset));
                assert_eq!(before, None, "{text:?} is stored twice");
            }
            let end = u64::try_from(records.len()).expect("fits");
            self.acknowledged().retain(|(of, offset), told| {
                if *of != partition {
                    return true;
                }
                if *offset >= end {
                    missing.push(told.clone());
                    return false;
                }
                let found = records[usize::try_from(*offset).expect("fits")].text();
                assert_eq!(found, told.value, "{topic}-{partition} {offset}");
                true
            });
        }
        missing
    }

    fn next_number(&self) -> u64 {
        let mut attempted = self.attempted.lock().expect("no panic");
        *attempted += 1;
        *attempted
    }

    fn acknowledged(&self) -> MutexGuard<'_, BTreeMap<(u32, u64), Acknowledged>> {
        self.acknowledged.lock().expect("no panic")
    }
}

/// Sends one record at a time to one partition, until the broker is gone or `more` says no.
pub(crate) fn produce_alone(
    mut wire: Wire,
    topic: &str,
    partition: u32,
    ledger: &Ledger,
    mut more: impl FnMut() -> bool,
) {
    while more() {
        let value = format!("{partition} {} alone", ledger.next_number());
        let args =
            map! { "topic" => topic, "partition" => partition, "records" => vec![valued(&value)] };
        if wire.try_send("produce", args).is_err() {
            return;
        }
        let Ok(Some(answer)) = wire.try_receive() else {
            return;
        };
        let result = answer.outcome.expect("a healthy broker stores it");
        ledger.acknowledge(partition, result.get("base_offset").u64(), value);
    }
}

/// Sends until the broker is gone. Each request has one or two records, plain, compressed, or routed.
pub(crate) fn produce_until_killed(mut wire: Wire, topic: &str, partition: u32, ledger: &Ledger) {
    let mut under_way: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    loop {
        while under_way.len() < UNDER_WAY {
            let number = ledger.next_number();
            let values = vec![
                format!("{partition} {number} a"),
                format!("{partition} {number} b"),
            ];
            let records: Vec<Value> = values.iter().map(|value| valued(value)).collect();
            let args = match number % 3 {
                0 => opaque(topic, partition, &records.into(), "lz4"),
                1 => map! { "topic" => topic, "partition" => partition, "records" => records },
                _ => {
                    map! { "topic" => topic, "records" => vec![keyed("k", &values[0]), keyed("l", &values[1])] }
                }
            };
            match wire.try_send("produce", args) {
                Ok(id) => under_way.insert(id, values),
                Err(_) => return,
            };
        }
        let Ok(Some(answer)) = wire.try_receive() else {
            return;
        };
        let values = under_way
            .remove(&answer.id.expect("an id"))
            .expect("it was asked");
        let result = answer.outcome.expect("a healthy broker stores it");
        match result.get("base_offset") {
            Value::Nil => {
                let places = result
                    .get("partitions")
                    .list()
                    .iter()
                    .zip(result.get("offsets").list());
                for (value, (partition, offset)) in values.into_iter().zip(places) {
                    ledger.acknowledge(
                        u32::try_from(partition.u64()).expect("fits"),
                        offset.u64(),
                        value,
                    );
                }
            }
            base => {
                for (value, offset) in values.into_iter().zip(base.u64()..) {
                    ledger.acknowledge(partition, offset, value);
                }
            }
        }
    }
}
