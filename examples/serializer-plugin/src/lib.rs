//! A serializer of one's own: a UUID is text to those who produce and consume
//! (`01890a5d-ac96-774b-bcce-b302099a8057`) and sixteen bytes where it is stored.

use plugin_sdk::messagepack::{Reader, Value, write_str};
use plugin_sdk::{BytesColumn, Config, Outcome, Serializer};

struct Uuids;

/// Where the hyphens stand in the text.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

impl Serializer for Uuids {
    fn new(config: &Config) -> Result<Self, String> {
        config.allow_only(&[])?;
        Ok(Uuids)
    }

    fn serialize(&mut self, rows: &BytesColumn) -> Outcome {
        rows.map_rows(|row, out| {
            let Value::Str(text) = Reader::new(row).read()? else {
                return Err("a UUID is a str".to_owned());
            };
            let is_hyphen = |(at, byte): &(usize, u8)| HYPHENS.contains(at) && *byte == b'-';
            let digits = text.bytes().enumerate().filter(|pair| !is_hyphen(pair));
            let digits: Option<Vec<u32>> =
                digits.map(|(_, byte)| char::from(byte).to_digit(16)).collect();
            let digits = digits.filter(|digits| digits.len() == 32 && text.len() == 36);
            let digits = digits.ok_or_else(|| format!("{text:?} is not a UUID"))?;
            out.extend(digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8));
            Ok(())
        })
    }

    fn deserialize(&mut self, rows: &BytesColumn) -> Outcome {
        rows.map_rows(|row, out| {
            if row.len() != 16 {
                return Err(format!("{} bytes instead of 16", row.len()));
            }
            let mut text: String = row.iter().map(|byte| format!("{byte:02x}")).collect();
            HYPHENS.iter().for_each(|at| text.insert(*at, '-'));
            write_str(out, &text);
            Ok(())
        })
    }
}

plugin_sdk::export_serializer!(Uuids);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_goes_there_and_back_and_what_is_none_is_refused() {
        let mut row = Vec::new();
        write_str(&mut row, "01890a5d-ac96-774b-bcce-b302099a8057");
        let rows = [Some(&row[..]), None, Some(b"\xa501890"), Some(b"\x07")];
        let stored = Uuids.serialize(&BytesColumn::from_rows(rows));
        assert_eq!(stored.rows.lens, [16, -1, -1, -1]);
        let reasons: Vec<_> = stored.errors.iter().map(|error| error.message.as_str()).collect();
        assert_eq!(reasons, ["\"01890\" is not a UUID", "a UUID is a str"]);
        let back = Uuids.deserialize(&stored.rows);
        assert_eq!(back.rows.rows().next(), Some(Some(&row[..])));
        assert!(back.errors.is_empty());
    }
}
