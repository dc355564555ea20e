//! JSON: a MessagePack value is stored as compact JSON text, and stored bytes have to be one JSON text
//! (RFC 8259) and are read as MessagePack. `plugin_sdk::json` has the table of what becomes what; what
//! the other side cannot say is refused with the reason: NaN and infinities, map keys that are no text,
//! a name twice, integers beyond 64 bits, more than 32 levels.
//!
//! Option `binary`: what happens to a bin, which JSON does not have. `refuse` (unless set), or `base64`:
//! it becomes a string of base64 and is read back as that string.

use plugin_sdk::json::{self, Binary};
use plugin_sdk::{BytesColumn, Config, Outcome, Serializer};

struct Json {
    binary: Binary,
}

impl Serializer for Json {
    fn new(config: &Config) -> Result<Self, String> {
        config.allow_only(&["binary"])?;
        let binary = match config.option("binary") {
            None | Some("refuse") => Binary::Refuse,
            Some("base64") => Binary::Base64,
            Some(other) => return Err(format!("option binary = {other:?}: not refuse or base64")),
        };
        Ok(Json { binary })
    }

    fn serialize(&mut self, rows: &BytesColumn) -> Outcome {
        rows.map_rows(|row, out| json::from_messagepack(row, self.binary, out))
    }

    fn deserialize(&mut self, rows: &BytesColumn) -> Outcome {
        rows.map_rows(json::to_messagepack)
    }
}

plugin_sdk::export_serializer!(Json);

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSING: Json = Json {
        binary: Binary::Refuse,
    };

    #[test]
    fn a_value_is_stored_as_json_text_and_comes_back() {
        let mut plugin = REFUSING;
        let value = b"\x82\xa2id\x07\xa4tags\x91\xa1x";
        let stored = plugin.serialize(&BytesColumn::from_rows([Some(&value[..]), None]));
        assert_eq!(stored.rows.data, br#"{"id":7,"tags":["x"]}"#);
        let back = plugin.deserialize(&stored.rows);
        assert_eq!(
            back.rows.rows().collect::<Vec<_>>(),
            [Some(&value[..]), None]
        );
    }

    #[test]
    fn one_bad_record_does_not_touch_the_others() {
        let mut plugin = REFUSING;
        let rows = [Some("1"), Some("{\"a\":1,}"), Some("\"x\"")];
        let outcome = plugin.deserialize(&BytesColumn::from_rows(rows));
        assert_eq!(
            outcome.rows.rows().collect::<Vec<_>>(),
            [Some(&b"\x01"[..]), None, Some(b"\xa1x")]
        );
        assert_eq!(
            outcome.errors[0].message,
            "not JSON at byte 7: a name in quotes was expected"
        );
    }

    #[test]
    fn bytes_are_refused_or_become_base64() {
        let rows = BytesColumn::from_rows([Some(b"\xc4\x01\xff")]);
        assert_eq!(REFUSING.serialize(&rows).errors.len(), 1);
        let mut plugin = Json::new(&Config::new("t", [("binary", "base64")])).unwrap();
        assert_eq!(plugin.serialize(&rows).rows.data, br#""/w==""#);
        assert!(Json::new(&Config::new("t", [("binary", "hex")])).is_err());
        assert!(Json::new(&Config::new("t", [("indent", "2")])).is_err());
    }
}
