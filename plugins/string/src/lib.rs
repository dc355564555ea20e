//! Text: a MessagePack str is stored as its UTF-8, and stored bytes have to be UTF-8 and are read as a
//! str. Anything else is refused. No options.

use plugin_sdk::messagepack::{Reader, Value, write_str};
use plugin_sdk::{BytesColumn, Config, Outcome, Serializer};

struct Text;

impl Serializer for Text {
    fn new(config: &Config) -> Result<Self, String> {
        config.allow_only(&[])?;
        Ok(Text)
    }

    fn serialize(&mut self, rows: &BytesColumn) -> Outcome {
        rows.map_rows(|row, out| match Reader::new(row).read()? {
            Value::Str(text) => {
                out.extend_from_slice(text.as_bytes());
                Ok(())
            }
            _ => Err("not a str".to_owned()),
        })
    }

    fn deserialize(&mut self, rows: &BytesColumn) -> Outcome {
        rows.map_rows(|row, out| {
            let text = std::str::from_utf8(row);
            let text =
                text.map_err(|error| format!("not UTF-8 at byte {}", error.valid_up_to()))?;
            write_str(out, text);
            Ok(())
        })
    }
}

plugin_sdk::export_serializer!(Text);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_stored_as_it_is() {
        let rows = [
            Some(&b"\xa3a\xc3\xa4"[..]),
            Some(b"\xa0"),
            None,
            Some(b"\xc4\x01a"),
        ];
        let outcome = Text.serialize(&BytesColumn::from_rows(rows));
        let stored: Vec<_> = outcome.rows.rows().collect();
        assert_eq!(stored, [Some("aä".as_bytes()), Some(b""), None, None]);
        assert_eq!(
            (outcome.errors[0].row, &*outcome.errors[0].message),
            (3, "not a str")
        );
    }

    #[test]
    fn what_is_not_utf_8_is_refused() {
        let rows = BytesColumn::from_rows([Some(&b"ok"[..]), Some(b"a\xff"), None]);
        let outcome = Text.deserialize(&rows);
        assert_eq!(outcome.rows.rows().next(), Some(Some(&b"\xa2ok"[..])));
        assert_eq!(outcome.errors.len(), 1);
        assert_eq!(
            (outcome.errors[0].row, &*outcome.errors[0].message),
            (1, "not UTF-8 at byte 1")
        );
    }

    #[test]
    fn an_option_is_refused() {
        assert!(Text::new(&Config::new("t", [("a", "b")])).is_err());
    }
}
