//! A serializer: turns MessagePack values into stored bytes and back, and refuses what does not fit.
//! This one stores text of at most `max` characters, without the blanks around it.

use plugin_sdk::messagepack::{self, Reader, Value};
use plugin_sdk::{BytesColumn, Config, Outcome, Serializer};

/// What the options say. Keep nothing else here: the broker may drop an instance at any time.
struct Plugin {
    max: usize,
}

impl Plugin {
    fn check(&self, text: &str) -> Result<(), String> {
        let length = text.chars().count();
        if length > self.max {
            return Err(format!("{length} characters, at most {} are allowed", self.max));
        }
        Ok(())
    }
}

impl Serializer for Plugin {
    /// Options come from the topic: `value.serializer.option.max`. Refuse what you do not know.
    fn new(config: &Config) -> Result<Self, String> {
        config.allow_only(&["max"])?;
        Ok(Plugin { max: config.parse("max", 100)? })
    }

    /// MessagePack to stored bytes. `map_rows` leaves nulls alone; an error refuses that one record.
    fn serialize(&mut self, rows: &BytesColumn) -> Outcome {
        rows.map_rows(|row, out| {
            let Value::Str(text) = Reader::new(row).read()? else {
                return Err("not text".to_owned());
            };
            self.check(text.trim())?;
            out.extend_from_slice(text.trim().as_bytes());
            Ok(())
        })
    }

    /// Stored bytes to MessagePack; what `serialize` makes has to be accepted. Expect any bytes.
    fn deserialize(&mut self, rows: &BytesColumn) -> Outcome {
        rows.map_rows(|row, out| {
            let text = std::str::from_utf8(row).map_err(|error| error.to_string())?;
            self.check(text)?;
            messagepack::write_str(out, text);
            Ok(())
        })
    }
}

plugin_sdk::export_serializer!(Plugin);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_trimmed_null_stays_null_and_what_is_too_long_is_refused() {
        let mut plugin = Plugin::new(&Config::new("orders", [("max", "3")])).unwrap();
        // " hi ", nil as a null row, "long" in MessagePack.
        let rows = BytesColumn::from_rows([Some(&b"\xa4 hi "[..]), None, Some(b"\xa4long")]);
        let outcome = plugin.serialize(&rows);
        assert_eq!(outcome.rows.rows().collect::<Vec<_>>(), [Some(&b"hi"[..]), None, None]);
        assert_eq!(outcome.errors[0].row, 2);
        assert_eq!(outcome.errors[0].message, "4 characters, at most 3 are allowed");
    }

    #[test]
    fn stored_bytes_come_back_as_text() {
        let mut plugin = Plugin::new(&Config::default()).unwrap();
        let outcome = plugin.deserialize(&BytesColumn::from_rows([Some("hi")]));
        assert_eq!(outcome.rows.data, b"\xa2hi");
    }
}
