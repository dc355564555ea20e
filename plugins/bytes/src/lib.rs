//! Bytes as they are: a MessagePack bin or str is stored as its bytes, and stored bytes are read as a bin.
//! Anything else is refused. No options.

use plugin_sdk::messagepack::{Reader, write_bin};
use plugin_sdk::{BytesColumn, Config, Outcome, Serializer};

struct Bytes;

impl Serializer for Bytes {
    fn new(config: &Config) -> Result<Self, String> {
        config.allow_only(&[])?;
        Ok(Bytes)
    }

    fn serialize(&mut self, rows: &BytesColumn) -> Outcome {
        rows.map_rows(|row, out| match Reader::new(row).bytes() {
            Ok(Some(bytes)) => {
                out.extend_from_slice(bytes);
                Ok(())
            }
            _ => Err("neither bin nor str".to_owned()),
        })
    }

    fn deserialize(&mut self, rows: &BytesColumn) -> Outcome {
        rows.map_rows(|row, out| {
            write_bin(out, row);
            Ok(())
        })
    }
}

plugin_sdk::export_serializer!(Bytes);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bin_and_str_are_stored_as_their_bytes() {
        let rows = [
            Some(&b"\xa2hi"[..]),
            None,
            Some(b"\xc4\x01\xff"),
            Some(b"\x07"),
            Some(b"\xa0"),
        ];
        let outcome = Bytes.serialize(&BytesColumn::from_rows(rows));
        let stored: Vec<_> = outcome.rows.rows().collect();
        assert_eq!(
            stored,
            [Some(&b"hi"[..]), None, Some(b"\xff"), None, Some(b"")]
        );
        assert_eq!(outcome.errors.len(), 1);
        assert_eq!(
            (outcome.errors[0].row, &*outcome.errors[0].message),
            (3, "neither bin nor str")
        );
    }

    #[test]
    fn stored_bytes_are_read_as_a_bin() {
        let outcome = Bytes.deserialize(&BytesColumn::from_rows([Some("hi"), None, Some("")]));
        let values: Vec<_> = outcome.rows.rows().collect();
        assert_eq!(values, [Some(&b"\xc4\x02hi"[..]), None, Some(b"\xc4\x00")]);
        assert!(outcome.errors.is_empty());
    }

    #[test]
    fn an_option_is_refused() {
        assert!(Bytes::new(&Config::new("t", [("a", "b")])).is_err());
    }
}
