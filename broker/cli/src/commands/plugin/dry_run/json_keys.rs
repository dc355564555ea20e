//! A report as JSON, with its keys as text or hexadecimal digits instead of lists of numbers.

use broker_client::protocol::api::dry_run_status::DryRunReport;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::output::JsonData;

/// For `serialize_with`.
pub(super) fn serialize<S: Serializer>(
    report: &DryRunReport,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut value = serde_json::to_value(report).map_err(serde::ser::Error::custom)?;
    rewrite(&mut value);
    value.serialize(serializer)
}

fn rewrite(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(rewrite),
        Value::Object(fields) => {
            for (name, field) in fields {
                let bytes = (name == "key").then(|| bytes(field)).flatten();
                match bytes {
                    Some(bytes) => {
                        *field = serde_json::to_value(JsonData(Some(&bytes))).unwrap_or_default()
                    }
                    None => rewrite(field),
                }
            }
        }
        _ => {}
    }
}

fn bytes(list: &Value) -> Option<Vec<u8>> {
    let byte = |number: &Value| u8::try_from(number.as_u64()?).ok();
    list.as_array()?.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use broker_client::protocol::api::dry_run_status::{CompactionReport, SampleKey};

    use super::*;

    #[test]
    fn keys_are_text_or_digits_and_null_stays_null() {
        let sample = [Some(&b"a"[..]), Some(b"\xff"), Some(b""), None].map(|key| SampleKey {
            key: key.map(bytes::Bytes::copy_from_slice),
            ..SampleKey::default()
        });
        let report = DryRunReport {
            compaction: Some(CompactionReport {
                sample: sample.into(),
                ..CompactionReport::default()
            }),
            ..DryRunReport::default()
        };
        let mut out = Vec::new();
        serialize(&report, &mut serde_json::Serializer::new(&mut out)).unwrap();
        let value: Value = serde_json::from_slice(&out).unwrap();
        let keys: Vec<_> = value["compaction"]["sample"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| key["key"].to_string())
            .collect();
        assert_eq!(keys, ["\"a\"", "{\"hex\":\"ff\"}", "\"\"", "null"]);
    }
}
