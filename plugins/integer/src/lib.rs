//! Integers of a fixed width: a MessagePack integer is stored as so many bytes, big-endian, signed in two's
//! complement, and stored bytes have to be exactly so many. Anything else is refused, a number that does
//! not fit and a float as well.
//!
//! Options:
//! - `width`: 1, 2, 4 or 8 bytes; 8 unless set;
//! - `signed`: `true` or `false`; `true` unless set.

use plugin_sdk::messagepack::{Reader, Value, write_int, write_uint};
use plugin_sdk::{BytesColumn, Config, Outcome, Serializer};

struct Integer {
    width: usize,
    smallest: i128,
    largest: i128,
}

impl Serializer for Integer {
    fn new(config: &Config) -> Result<Self, String> {
        config.allow_only(&["width", "signed"])?;
        let width: usize = config.parse("width", 8)?;
        if ![1, 2, 4, 8].contains(&width) {
            return Err(format!("option width = {width}: not 1, 2, 4 or 8"));
        }
        let values = 1_i128 << (8 * width);
        let smallest = if config.parse("signed", true)? {
            -values / 2
        } else {
            0
        };
        Ok(Integer {
            width,
            smallest,
            largest: smallest + values - 1,
        })
    }

    fn serialize(&mut self, rows: &BytesColumn) -> Outcome {
        rows.map_rows(|row, out| {
            let value = match Reader::new(row).read()? {
                Value::Int(value) => i128::from(value),
                Value::BigInt(value) => i128::from(value),
                _ => return Err("not an integer".to_owned()),
            };
            if !(self.smallest..=self.largest).contains(&value) {
                let (smallest, largest) = (self.smallest, self.largest);
                return Err(format!("{value} is not between {smallest} and {largest}"));
            }
            out.extend_from_slice(&value.to_be_bytes()[16 - self.width..]);
            Ok(())
        })
    }

    fn deserialize(&mut self, rows: &BytesColumn) -> Outcome {
        rows.map_rows(|row, out| {
            if row.len() != self.width {
                return Err(format!("{} bytes instead of {}", row.len(), self.width));
            }
            let value = row
                .iter()
                .fold(0, |value, byte| value << 8 | i128::from(*byte));
            let value = if value > self.largest {
                value - (1 << (8 * self.width))
            } else {
                value
            };
            match (i64::try_from(value), u64::try_from(value)) {
                (Ok(value), _) => write_int(out, value),
                (_, Ok(value)) => write_uint(out, value),
                _ => return Err(format!("{value} is no integer of 64 bits")),
            }
            Ok(())
        })
    }
}

plugin_sdk::export_serializer!(Integer);

#[cfg(test)]
mod tests {
    use super::*;

    fn integer(options: &[(&str, &str)]) -> Integer {
        Integer::new(&Config::new("orders", options.iter().copied())).unwrap()
    }

    #[test]
    fn every_edge_of_every_width_goes_there_and_back() {
        for width in ["1", "2", "4", "8"] {
            for signed in ["true", "false"] {
                let mut plugin = integer(&[("width", width), ("signed", signed)]);
                for value in [plugin.smallest, -1, 0, 1, plugin.largest] {
                    let mut row = Vec::new();
                    match u64::try_from(value) {
                        Ok(value) => write_uint(&mut row, value),
                        Err(_) => write_int(&mut row, i64::try_from(value).unwrap()),
                    }
                    let stored = plugin.serialize(&BytesColumn::from_rows([Some(&row)]));
                    if value < plugin.smallest {
                        assert_eq!(stored.errors.len(), 1);
                        continue;
                    }
                    assert_eq!(stored.rows.data.len().to_string(), width);
                    let back = plugin.deserialize(&stored.rows);
                    assert_eq!(
                        back.rows.data, row,
                        "{value} in {width} bytes, signed {signed}"
                    );
                }
            }
        }
    }

    #[test]
    fn eight_bytes_big_endian_is_the_default() {
        let outcome = integer(&[]).serialize(&BytesColumn::from_rows([Some(b"\xff")]));
        assert_eq!(outcome.rows.data, [0xff; 8]);
        let outcome = integer(&[]).serialize(&BytesColumn::from_rows([Some(b"\xcd\x01\x02")]));
        assert_eq!(outcome.rows.data, [0, 0, 0, 0, 0, 0, 1, 2]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let rows = [
            Some(&b"\xcd\x01\0"[..]),
            Some(b"\xa1x"),
            Some(b"\xca\0\0\0\0"),
            None,
        ];
        let outcome = integer(&[("width", "1")]).serialize(&BytesColumn::from_rows(rows));
        let errors: Vec<_> = outcome
            .errors
            .iter()
            .map(|error| error.message.as_str())
            .collect();
        assert_eq!(
            errors,
            [
                "256 is not between -128 and 127",
                "not an integer",
                "not an integer"
            ]
        );
        let outcome = integer(&[]).deserialize(&BytesColumn::from_rows([Some("short")]));
        assert_eq!(outcome.errors[0].message, "5 bytes instead of 8");
    }

    #[test]
    fn a_wrong_configuration_is_refused() {
        for option in [
            ("width", "3"),
            ("width", "x"),
            ("signed", "yes"),
            ("wide", "8"),
        ] {
            assert!(
                Integer::new(&Config::new("t", [option])).is_err(),
                "{option:?}"
            );
        }
    }
}
