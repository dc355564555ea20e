//! Partitions by a field of the value instead of the key: equal texts or whole numbers in that field go to
//! one partition, the one that key-hash gives to a key of that text (a number in decimal digits).
//!
//! Options:
//! - `field` (needed): the field's name in the object or map; `.` goes inside, as in `order.customer`;
//! - `format`: how values are stored: `json` (unless set) or `messagepack`;
//! - `missing`: what becomes of a record whose value has no such field, or another type in it, or is not
//!   of that format: `key` (unless set): as key-hash does it with the key; `refuse`: the batch is refused.

use plugin_sdk::messagepack::{Reader, Value};
use plugin_sdk::{Batch, Columns, Config, Layout, Partitioner, json, murmur2};

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

/// What lies at the end of the path.
fn find<'a>(value: &'a [u8], path: &[String]) -> Option<Value<'a>> {
    let mut reader = Reader::new(value);
    for name in path {
        let mut pairs = reader.map_len().ok()?;
        loop {
            pairs = pairs.checked_sub(1)?;
            let found = reader.clone().read().ok()? == Value::Str(name);
            reader.skip().ok()?;
            if found {
                break;
            }
            reader.skip().ok()?;
        }
    }
    reader.read().ok()
}

/// Whether an option is the first of two words, as it is unless set.
fn choice(config: &Config, name: &str, [first, second]: [&str; 2]) -> Result<bool, String> {
    match config.option(name).unwrap_or(first) {
        text if text == first => Ok(true),
        text if text == second => Ok(false),
        other => Err(format!(
            "option {name} = {other:?}: not {first} or {second}"
        )),
    }
}

plugin_sdk::export_partitioner!(ByField);

#[cfg(test)]
mod tests {
    use super::*;

    fn assign(options: &[(&str, &str)], values: &[Option<&[u8]>]) -> Result<Vec<u32>, String> {
        let config = Config::new("orders", options.iter().copied());
        let batch = Batch::from_keys(values.iter().map(|_| Some("abc")))
            .with_values(values.iter().copied());
        ByField::new(&config)
            .unwrap()
            .assign(&batch, &Layout::of(8))
    }

    #[test]
    fn the_field_decides_and_then_the_key() {
        let values: [Option<&[u8]>; 6] = [
            Some(br#"{"id":"21"}"#),
            Some(br#"{"x":[{"id":"no"}],"id":21}"#),
            Some(br#"{"id":"foobar"}"#),
            Some(br#"{"id":null}"#),
            Some(b"no json"),
            None,
        ];
        assert_eq!(
            assign(&[("field", "id")], &values).unwrap(),
            [4, 4, 6, 3, 3, 3]
        );
        let refusing = [("field", "id"), ("missing", "refuse")];
        assert_eq!(assign(&refusing, &values[..3]).unwrap(), [4, 4, 6]);
        assert!(
            assign(&refusing, &values)
                .unwrap_err()
                .starts_with("record 3 has no text")
        );
    }

    #[test]
    fn a_field_may_lie_deeper_and_in_messagepack() {
        let value = br#"{"order":{"x":1,"customer":"21"}}"#;
        assert_eq!(
            assign(&[("field", "order.customer")], &[Some(value)]).unwrap(),
            [4]
        );
        let packed = b"\x81\xa5order\x81\xa8customer\xcc\x15";
        let options = [("field", "order.customer"), ("format", "messagepack")];
        assert_eq!(assign(&options, &[Some(packed)]).unwrap(), [4]);
    }

    #[test]
    fn a_wrong_configuration_is_refused() {
        for options in [
            &[][..],
            &[("field", "a"), ("format", "xml")],
            &[("field", "a"), ("missing", "x")],
            &[("field", "a"), ("b", "c")],
        ] {
            assert!(
                ByField::new(&Config::new("t", options.iter().copied())).is_err(),
                "{options:?}"
            );
        }
    }
}
