//! The committed vectors, `plugins/partitioner-vectors.json`: any client that computes partitions itself
//! can be checked against the same file.

use plugin_sdk::{Batch, Config, Layout, Partitioner, murmur2};
use serde_json::Value;

const VECTORS: &str = include_str!("../../partitioner-vectors.json");

fn cases(name: &str) -> Vec<Value> {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let cases = vectors[name].as_array().unwrap();
    assert!(!cases.is_empty());
    cases.clone()
}

fn key(value: &Value) -> Option<Vec<u8>> {
    let Some(hex) = value["hex"].as_str() else {
        return value.as_str().map(|text| text.as_bytes().to_vec());
    };
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    Some(digits.map(byte).collect())
}

fn numbers(value: &Value) -> Vec<u32> {
    let numbers = value.as_array().unwrap().iter();
    numbers
        .map(|number| u32::try_from(number.as_u64().unwrap()).unwrap())
        .collect()
}

fn check<P: Partitioner>(name: &str) {
    for case in cases(name) {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let map = |value: &Value| {
            let pairs = value.as_object().into_iter().flatten();
            pairs
                .map(|(name, value)| (name.clone(), text(value)))
                .collect::<Vec<_>>()
        };
        let options = map(&case["options"]);
        let options = options
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let mut plugin = P::new(&Config::new("orders", options)).unwrap();
        let layout = Layout {
            counts: numbers(&case["counts"]),
            batches: case["batches"].as_u64().unwrap(),
            ..Layout::of(u32::try_from(case["partitions"].as_u64().unwrap()).unwrap())
        };
        let records = case["records"].as_array().unwrap();
        let headers = records.iter().map(|record| map(&record["headers"]));
        let headers = headers.map(|pairs| pairs.into_iter().map(|(n, v)| (n, Some(v))).collect());
        let batch = Batch::from_keys(records.iter().map(|record| key(&record["key"])))
            .with_headers(headers);
        let answer = plugin
            .assign(&batch.select(plugin.needs()), &layout)
            .unwrap();
        assert_eq!(
            answer,
            numbers(&case["expect"]["partitions"]),
            "{}",
            case["name"]
        );
    }
}

#[test]
fn key_hash_answers_what_the_vectors_say() {
    check::<crate::KeyHash>("key-hash");
}

#[test]
fn the_hash_is_kafkas() {
    for case in cases("murmur2") {
        let hash = murmur2(&key(&case["key"]).unwrap()).cast_signed();
        assert_eq!(
            Some(i64::from(hash)),
            case["murmur2"].as_i64(),
            "{}",
            case["key"]
        );
    }
}
