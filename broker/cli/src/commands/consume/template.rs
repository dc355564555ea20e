//! `RecordTemplate`: a minijinja template over the parts of a record. Unknown names are errors, so
//! that a typo does not print nothing.

use broker_client::ConsumerRecord;
use minijinja::{Environment, UndefinedBehavior, Value};

use crate::failure::Failure;
use crate::output::{hex, time};

const NAME: &str = "record";

/// A compiled template.
pub(super) struct RecordTemplate<'t> {
    environment: Environment<'t>,
    /// Whether it uses `json`: only then values are parsed.
    wants_json: bool,
}

impl<'t> RecordTemplate<'t> {
    pub(super) fn compile(text: &'t str) -> Result<Self, Failure> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let wrong = |error: minijinja::Error| Failure::usage(format!("--template: {error}"));
        environment.add_template(NAME, text).map_err(wrong)?;
        let template = environment.get_template(NAME).map_err(wrong)?;
        let wants_json = template.undeclared_variables(false).contains("json");
        Ok(Self {
            environment,
            wants_json,
        })
    }

    pub(super) fn render(&self, record: &ConsumerRecord) -> Result<String, Failure> {
        let failed = |error: minijinja::Error| {
            let at = format!(
                "{}-{} offset {}",
                record.topic, record.partition, record.offset
            );
            Failure::failed(format!("--template at {at}: {error}"))
        };
        let headers = record.headers.iter().map(|header| {
            minijinja::context! { name => header.name, value => data(header.value.as_deref()) }
        });
        let json = match &record.value {
            Some(value) if self.wants_json => parsed(value),
            _ => Value::UNDEFINED,
        };
        let context = minijinja::context! {
            topic => record.topic.as_str(),
            partition => record.partition.get(),
            offset => record.offset.get(),
            timestamp => record.timestamp.as_millis(),
            time => time(record.timestamp),
            key => data(record.key.as_deref()),
            value => data(record.value.as_deref()),
            headers => headers.collect::<Vec<_>>(),
            json => json,
        };
        self.environment
            .get_template(NAME)
            .and_then(|template| template.render(context))
            .map_err(failed)
    }
}

fn data(bytes: Option<&[u8]>) -> Value {
    match bytes.map(std::str::from_utf8) {
        None => Value::from(()),
        Some(Ok(text)) => Value::from(text),
        Some(Err(_)) => Value::from(format!("0x{}", hex(bytes.unwrap_or_default()))),
    }
}

/// A value that is not JSON stays undefined.
fn parsed(value: &[u8]) -> Value {
    match serde_json::from_slice::<serde_json::Value>(value) {
        Ok(json) => Value::from_serialize(&json),
        Err(_) => Value::UNDEFINED,
    }
}

#[cfg(test)]
mod tests {
    use broker_client::Header;
    use broker_client::model::{Offset, PartitionId, Timestamp, TopicName};

    use super::*;

    fn record(value: Option<&'static [u8]>) -> ConsumerRecord {
        ConsumerRecord {
            topic: TopicName::new("orders").unwrap(),
            partition: PartitionId::new(2),
            offset: Offset::new(7),
            timestamp: Timestamp::from_millis(1_700_000_000_000),
            key: Some(bytes::Bytes::from_static(b"\xff")),
            value: value.map(bytes::Bytes::from_static),
            headers: vec![Header {
                name: "h".to_owned(),
                value: None,
            }],
            undecoded: None,
        }
    }

    fn rendered(template: &str, value: &'static [u8]) -> Result<String, String> {
        let template = RecordTemplate::compile(template).map_err(|f| format!("{f:?}"))?;
        template
            .render(&record(Some(value)))
            .map_err(|f| format!("{f:?}"))
    }

    #[test]
    fn a_template_knows_every_part_of_a_record() {
        let text = "{{ topic }}-{{ partition }}@{{ offset }} {{ timestamp }} {{ time }} {{ key }} \
                    {{ value }} {% for h in headers %}{{ h.name }}={{ h.value }}{% endfor %}";
        assert_eq!(
            rendered(text, b"v"),
            Ok("orders-2@7 1700000000000 2023-11-14T22:13:20.000Z 0xff v h=None".to_owned())
        );
    }

    #[test]
    fn fields_of_a_json_value_can_be_named() {
        let value = br#"{"a": {"b": [1, 2]}}"#;
        assert_eq!(rendered("{{ json.a.b[1] }}", value), Ok("2".to_owned()));
        assert_eq!(
            rendered("{{ json.x | default('-') }}", value),
            Ok("-".to_owned())
        );
    }

    #[test]
    fn a_name_that_does_not_exist_is_an_error() {
        assert!(
            rendered("{{ ofset }}", b"v")
                .unwrap_err()
                .contains("undefined")
        );
        assert!(rendered("{{ json.a }}", b"not json").is_err());
        assert!(rendered("{{ unclosed", b"v").is_err());
    }
}
