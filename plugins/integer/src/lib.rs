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
mod tests;
