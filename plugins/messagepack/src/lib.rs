//! MessagePack as it is: a value is stored as its bytes, and stored bytes have to be exactly one
//! well-formed value: nothing behind it, at most 32 levels deep, text in UTF-8, no extension types. No
//! options.

use plugin_sdk::{BytesColumn, Config, Outcome, Serializer, messagepack};

struct MessagePack;

impl Serializer for MessagePack {
    fn new(config: &Config) -> Result<Self, String> {
        config.allow_only(&[])?;
        Ok(MessagePack)
    }

    fn serialize(&mut self, rows: &BytesColumn) -> Outcome {
        checked(rows)
    }

    fn deserialize(&mut self, rows: &BytesColumn) -> Outcome {
        checked(rows)
    }
}

fn checked(rows: &BytesColumn) -> Outcome {
    rows.map_rows(|row, out| {
        messagepack::check(row)?;
        out.extend_from_slice(row);
        Ok(())
    })
}

plugin_sdk::export_serializer!(MessagePack);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_well_formed_value_is_stored_as_it_is() {
        let rows = BytesColumn::from_rows([Some(&b"\x81\xa1k\x90"[..]), None, Some(b"\xcc\x01")]);
        let outcome = MessagePack.serialize(&rows);
        assert_eq!(
            (outcome.rows.data, outcome.rows.lens),
            (rows.data, rows.lens)
        );
        assert!(outcome.errors.is_empty());
    }

    #[test]
    fn anything_else_is_refused() {
        let deep = [0x91; 40];
        let rows = [
            &b""[..],
            b"\x01\x02",
            b"\xa5a",
            b"\xc1",
            b"\xd4\x01\0",
            b"\xa1\xff",
            &deep,
        ];
        let outcome = MessagePack.deserialize(&BytesColumn::from_rows(rows.map(Some)));
        let rows: Vec<_> = outcome.errors.iter().map(|error| error.row).collect();
        assert_eq!(rows, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(outcome.errors[6].message, "nested deeper than 32 levels");
    }

    #[test]
    fn an_option_is_refused() {
        assert!(MessagePack::new(&Config::new("t", [("a", "b")])).is_err());
    }
}
