//! `JsonLog`: the log of a command with `--json`, the client library's mostly, or a broker's. A line is a JSON
//! document as everything else is: `{"warning": …}`, or `{"log": …}` with its level, what belongs to it in `fields`.

use std::fmt;

use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes each event as one line of JSON.
#[derive(Default)]
pub(crate) struct JsonLog {
    has_time: bool,
}

impl JsonLog {
    /// With the time of each line, for what runs for long.
    pub(crate) fn with_time() -> Self {
        Self { has_time: true }
    }
}

impl<S, N> FormatEvent<S, N> for JsonLog
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let mut line = match *metadata.level() {
            Level::WARN => json!({ "warning": fields.message }),
            level => json!({
                "log": fields.message,
                "level": level.as_str().to_ascii_lowercase(),
                "from": metadata.target(),
            }),
        };
        if self.has_time {
            let mut time = String::new();
            SystemTime.format_time(&mut Writer::new(&mut time))?;
            line["time"] = time.into();
        }
        if !fields.others.is_empty() {
            line["fields"] = Value::Object(fields.others);
        }
        writeln!(writer, "{line}")
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        self.others.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            _ => self.add(field, text.into()),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            _ => self.add(field, value.into()),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_is_a_document_whatever_is_in_it() {
        let written = Written::default();
        let writer = written.clone();
        let log = tracing_subscriber::fmt()
            .with_max_level(Level::DEBUG)
            .event_format(JsonLog::default())
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(log, || {
            let _span = tracing::info_span!("outside").entered();
            tracing::warn!(target: "t", partition = %"orders-3", skipped = 7, "a \"quoted\"\nline");
            tracing::debug!(target: "t", "plain");
        });
        let bytes = written.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let fields = json!({ "partition": "orders-3", "skipped": 7 });
        assert_eq!(
            lines,
            [
                json!({ "warning": "a \"quoted\"\nline", "fields": fields }),
                json!({ "log": "plain", "level": "debug", "from": "t" }),
            ]
        );
    }
}
