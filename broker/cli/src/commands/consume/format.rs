//! `RecordPrinter`: what a record looks like on standard output. Null, empty, text and bytes that are
//! not text stay apart; the buffer of a line is used again for the next.

use broker_client::ConsumerRecord;
use broker_client::protocol::api::fetch::{FieldError, FieldErrors};
use bytes::Bytes;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::value::RawValue;

use super::template::RecordTemplate;
use crate::failure::Failure;
use crate::output::{Destination, JsonData, hex, is_text, time};

/// How a record is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// The value
    Value,
    /// Columns separated by tabs (see --columns)
    Text,
    /// A JSON object on one line
    Json,
    /// The value in hexadecimal digits
    Hex,
    /// As --template says
    Template,
}

/// A column of `--format text`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Column {
    Partition,
    Offset,
    Time,
    Key,
    Headers,
    Value,
}

impl Column {
    pub(super) const ALL: [Self; 6] = [
        Self::Partition,
        Self::Offset,
        Self::Time,
        Self::Key,
        Self::Headers,
        Self::Value,
    ];
}

/// How text formats show things.
pub(super) struct Settings {
    /// Keys and values are JSON text, where they could be decoded.
    pub(super) decoded: bool,
    pub(super) columns: Vec<Column>,
    pub(super) raw: bool,
    pub(super) null: Vec<u8>,
    pub(super) delimiter: Vec<u8>,
    pub(super) destination: Destination,
}

/// Makes lines of records.
pub(super) struct RecordPrinter<'t> {
    format: Format,
    template: Option<RecordTemplate<'t>>,
    settings: Settings,
    line: Vec<u8>,
    /// Whether something was shown as digits because it is not text.
    shown_as_hex: Option<String>,
    warned: bool,
}

#[derive(Serialize)]
struct JsonRecord<'a> {
    topic: &'a str,
    partition: u32,
    offset: u64,
    timestamp_ms: i64,
    key: JsonField<'a>,
    value: JsonField<'a>,
    headers: Vec<JsonHeader<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    undecoded: Option<&'a FieldErrors>,
}

/// A key or a value.
#[derive(Serialize)]
#[serde(untagged)]
enum JsonField<'a> {
    Data(JsonData<'a>),
    /// It is JSON already.
    Json(&'a RawValue),
}

impl<'a> JsonField<'a> {
    fn data(data: Option<&'a Bytes>) -> Self {
        Self::Data(JsonData(data.map(AsRef::as_ref)))
    }

    /// JSON text, unless there is a reason why it is not.
    fn decoded(data: Option<&'a Bytes>, error: Option<&FieldError>) -> Self {
        let json = data.filter(|_| error.is_none());
        match json.and_then(|json| serde_json::from_slice(json).ok()) {
            Some(json) => Self::Json(json),
            None => Self::data(data),
        }
    }
}

#[derive(Serialize)]
struct JsonHeader<'a> {
    name: &'a str,
    value: JsonData<'a>,
}

impl<'t> RecordPrinter<'t> {
    pub(super) fn new(
        format: Format,
        template: Option<RecordTemplate<'t>>,
        settings: Settings,
    ) -> Self {
        Self {
            format,
            template,
            settings,
            line: Vec::new(),
            shown_as_hex: None,
            warned: false,
        }
    }

    /// The bytes of a record, delimiter included.
    pub(super) fn line(&mut self, record: &ConsumerRecord) -> Result<&[u8], Failure> {
        self.line.clear();
        match self.format {
            Format::Value => self.data(record.value.as_deref(), record),
            Format::Text => self.columns(record),
            Format::Json => self.json(record)?,
            Format::Hex => match record.value.as_deref() {
                Some(value) => self.line.extend_from_slice(hex(value).as_bytes()),
                None => self.line.extend_from_slice(&self.settings.null),
            },
            Format::Template => {
                if let Some(template) = &self.template {
                    self.line
                        .extend_from_slice(template.render(record)?.as_bytes());
                }
            }
        }
        let delimiter = if self.format == Format::Json {
            b"\n"
        } else {
            self.settings.delimiter.as_slice()
        };
        self.line.extend_from_slice(delimiter);
        Ok(&self.line)
    }

    /// Said once: that bytes were shown as digits.
    pub(super) fn take_warning(&mut self) -> Option<String> {
        let place = self.shown_as_hex.take()?;
        if std::mem::replace(&mut self.warned, true) {
            return None;
        }
        Some(format!(
            "{place} is not text and shown in hexadecimal, others may be; --raw prints bytes as they are"
        ))
    }

    fn data(&mut self, data: Option<&[u8]>, record: &ConsumerRecord) {
        let Some(bytes) = data else {
            self.line.extend_from_slice(&self.settings.null);
            return;
        };
        if self.settings.raw || is_text(bytes, self.settings.destination) {
            self.line.extend_from_slice(bytes);
            return;
        }
        self.line.extend_from_slice(b"0x");
        self.line.extend_from_slice(hex(bytes).as_bytes());
        if !self.warned {
            let place = format!(
                "a part of {}-{} offset {}",
                record.topic, record.partition, record.offset
            );
            self.shown_as_hex = Some(place);
        }
    }

    fn columns(&mut self, record: &ConsumerRecord) {
        for index in 0..self.settings.columns.len() {
            if index > 0 {
                self.line.push(b'\t');
            }
            match self.settings.columns.get(index) {
                Some(Column::Partition) => self.text(&record.partition.to_string()),
                Some(Column::Offset) => self.text(&record.offset.to_string()),
                Some(Column::Time) => self.text(&time(record.timestamp)),
                Some(Column::Key) => self.data(record.key.as_deref(), record),
                Some(Column::Headers) => self.headers(record),
                Some(Column::Value) => self.data(record.value.as_deref(), record),
                None => {}
            }
        }
    }

    fn headers(&mut self, record: &ConsumerRecord) {
        for (index, header) in record.headers.iter().enumerate() {
            if index > 0 {
                self.line.push(b',');
            }
            self.data(Some(header.name.as_bytes()), record);
            self.line.push(b'=');
            self.data(header.value.as_deref(), record);
        }
    }

    fn text(&mut self, text: &str) {
        self.line.extend_from_slice(text.as_bytes());
    }

    fn json(&mut self, record: &ConsumerRecord) -> Result<(), Failure> {
        let headers = record.headers.iter().map(|header| JsonHeader {
            name: &header.name,
            value: JsonData(header.value.as_deref()),
        });
        let errors = record.undecoded.as_deref();
        let (key, value) = match self.settings.decoded {
            false => (
                JsonField::data(record.key.as_ref()),
                JsonField::data(record.value.as_ref()),
            ),
            true => (
                JsonField::decoded(record.key.as_ref(), errors.and_then(|it| it.key.as_ref())),
                JsonField::decoded(
                    record.value.as_ref(),
                    errors.and_then(|it| it.value.as_ref()),
                ),
            ),
        };
        let shown = JsonRecord {
            topic: record.topic.as_str(),
            partition: record.partition.get(),
            offset: record.offset.get(),
            timestamp_ms: record.timestamp.as_millis(),
            key,
            value,
            headers: headers.collect(),
            undecoded: errors,
        };
        serde_json::to_writer(&mut self.line, &shown)
            .map_err(|error| Failure::failed(format!("a record cannot be shown as JSON: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use broker_client::Header;
    use broker_client::model::{Offset, PartitionId, Timestamp, TopicName};
    use bytes::Bytes;

    use super::*;

    fn record(key: Option<&'static [u8]>, value: Option<&'static [u8]>) -> ConsumerRecord {
        let header = |name: &str, value: Option<&'static str>| Header {
            name: name.to_owned(),
            value: value.map(Bytes::from_static_str),
        };
        ConsumerRecord {
            topic: TopicName::new("orders").unwrap(),
            partition: PartitionId::new(1),
            offset: Offset::new(5),
            timestamp: Timestamp::from_millis(1_700_000_000_000),
            key: key.map(Bytes::from_static),
            value: value.map(Bytes::from_static),
            headers: vec![header("a", Some("1")), header("a", None)],
            undecoded: None,
        }
    }

    trait FromStaticStr {
        fn from_static_str(text: &'static str) -> Bytes;
    }

    impl FromStaticStr for Bytes {
        fn from_static_str(text: &'static str) -> Bytes {
            Bytes::from_static(text.as_bytes())
        }
    }

    fn printer(format: Format) -> RecordPrinter<'static> {
        let settings = Settings {
            decoded: false,
            columns: Column::ALL.to_vec(),
            raw: false,
            null: b"<null>".to_vec(),
            delimiter: b"\n".to_vec(),
            destination: Destination::Elsewhere,
        };
        RecordPrinter::new(format, None, settings)
    }

    fn shown(format: Format, record: &ConsumerRecord) -> String {
        String::from_utf8(printer(format).line(record).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn a_value_is_itself_and_a_line_feed() {
        assert_eq!(
            shown(Format::Value, &record(None, Some(b"hello"))),
            "hello\n"
        );
        assert_eq!(shown(Format::Value, &record(None, Some(b""))), "\n");
        assert_eq!(shown(Format::Value, &record(None, None)), "<null>\n");
    }

    #[test]
    fn text_has_columns_between_tabs() {
        assert_eq!(
            shown(Format::Text, &record(Some(b"k"), Some(b"v"))),
            "1\t5\t2023-11-14T22:13:20.000Z\tk\ta=1,a=<null>\tv\n"
        );
    }

    #[test]
    fn json_tells_null_from_empty_and_keeps_header_order() {
        assert_eq!(
            shown(Format::Json, &record(None, Some(b"\xff"))),
            "{\"topic\":\"orders\",\"partition\":1,\"offset\":5,\"timestamp_ms\":1700000000000,\
             \"key\":null,\"value\":{\"hex\":\"ff\"},\"headers\":[{\"name\":\"a\",\"value\":\"1\"},\
             {\"name\":\"a\",\"value\":null}]}\n"
        );
    }

    #[test]
    fn bytes_that_are_not_text_become_digits_with_one_warning_or_stay_with_raw() {
        let bytes = record(None, Some(b"\xff\x01"));
        let mut printer = printer(Format::Value);
        assert_eq!(printer.line(&bytes).unwrap(), b"0xff01\n");
        assert!(
            printer
                .take_warning()
                .unwrap()
                .contains("orders-1 offset 5")
        );
        assert_eq!(printer.line(&bytes).unwrap(), b"0xff01\n");
        assert_eq!(printer.take_warning(), None);
        printer.settings.raw = true;
        assert_eq!(printer.line(&bytes).unwrap(), b"\xff\x01\n");
        assert_eq!(shown(Format::Hex, &bytes), "ff01\n");
    }
}
