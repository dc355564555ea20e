//! Partitions by a field of the value instead of the key: equal texts or whole numbers in that field go to
//! one partition, the one that key-hash gives to a key of that text (a number in decimal digits).
//!
//! Options:
//! - `field` (needed): the field's name in the object or map; `.` goes inside, as in `order.customer`;
//! - `format`: how values are stored: `json` (unless set) or `messagepack`;
//! - `missing`: what becomes of a record whose value has no such field, or another type in it, or is not
//!   of that format: `key` (unless set): as key-hash does it with the key; `refuse`: the batch is refused.

mod field;

use plugin_sdk::messagepack::Value;
use plugin_sdk::{Batch, Columns, Config, Layout, Partitioner, json, murmur2};

use crate::field::{choice, find};

struct ByField {
    path: Vec<String>,
    is_json: bool,
    refuses: bool,
    scratch: Vec<u8>,
}

impl Partitioner for ByField {
    fn new(config: &Config) -> Result<Self, String> {
        config.allow_only(&["field", "format", "missing"])?;
        let field: String = config.require("field")?;
        Ok(ByField {
            path: field.split('.').map(str::to_owned).collect(),
            is_json: choice(config, "format", ["json", "messagepack"])?,
            refuses: !choice(config, "missing", ["key", "refuse"])?,
            scratch: Vec::new(),
        })
    }

    fn needs(&self) -> Columns {
        Columns::KEYS | Columns::VALUES
    }

    fn assign(&mut self, batch: &Batch, layout: &Layout) -> Result<Vec<u32>, String> {
        let partition = |by: &[u8]| (murmur2(by) & 0x7fff_ffff) % layout.partitions;
        let mut partitions = Vec::with_capacity(batch.len());
        for (row, (key, value)) in batch.keys().zip(batch.values()).enumerate() {
            let by_field = value.and_then(|value| self.partition(value, &partition));
            if by_field.is_none() && self.refuses {
                let path = self.path.join(".");
                return Err(format!(
                    "record {row} has no text or whole number in the field {path}"
                ));
            }
            let by_key = || key.map_or_else(|| layout.turn(layout.batches), partition);
            partitions.push(by_field.unwrap_or_else(by_key));
        }
        Ok(partitions)
    }
}

impl ByField {
    fn partition(&mut self, value: &[u8], partition: &impl Fn(&[u8]) -> u32) -> Option<u32> {
        let value = if self.is_json {
            self.scratch.clear();
            json::to_messagepack(value, &mut self.scratch).ok()?;
            &self.scratch
        } else {
            value
        };
        match find(value, &self.path)? {
            Value::Str(text) => Some(partition(text.as_bytes())),
            Value::Int(number) => Some(partition(number.to_string().as_bytes())),
            Value::BigInt(number) => Some(partition(number.to_string().as_bytes())),
            _ => None,
        }
    }
}

plugin_sdk::export_partitioner!(ByField);

#[cfg(test)]
mod tests;
