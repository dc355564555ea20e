//! A serializer of one's own: places `{"lat": 52.5, "lon": 13.4}` are stored as eight bytes, two numbers of
//! 32 bits in ten-millionths of a degree, and come back as such maps.

use plugin_sdk::messagepack::{Reader, Value, write_f64, write_map_len, write_str};
use plugin_sdk::{BytesColumn, Config, Outcome, Serializer};

struct Places;

const NAMES: [(&str, f64); 2] = [("lat", 90.0), ("lon", 180.0)];
const PARTS_PER_DEGREE: f64 = 1e7;

impl Serializer for Places {
    fn new(config: &Config) -> Result<Self, String> {
        config.allow_only(&[])?;
        Ok(Places)
    }

    fn serialize(&mut self, rows: &BytesColumn) -> Outcome {
        rows.map_rows(|row, out| {
            let mut degrees = [None; 2];
            let mut reader = Reader::new(row);
            for _ in 0..reader.map_len()? {
                let Value::Str(name) = reader.read()? else {
                    return Err("a place has lat and lon".to_owned());
                };
                let index = NAMES.iter().position(|(known, _)| *known == name);
                let index = index.ok_or_else(|| format!("a place has lat and lon, and no {name}"))?;
                degrees[index] = Some(match reader.read()? {
                    Value::Int(whole) => whole as f64,
                    Value::F32(number) => f64::from(number),
                    Value::F64(number) => number,
                    _ => return Err(format!("{name} is not a number")),
                });
            }
            for ((name, limit), degrees) in NAMES.iter().zip(degrees) {
                let degrees = degrees.ok_or_else(|| format!("{name} is missing"))?;
                // Not a number is in no range.
                if !(-limit..=*limit).contains(&degrees) {
                    return Err(format!("{name} = {degrees} is not between -{limit} and {limit}"));
                }
                let parts = (degrees * PARTS_PER_DEGREE).round() as i32;
                out.extend_from_slice(&parts.to_be_bytes());
            }
            Ok(())
        })
    }

    fn deserialize(&mut self, rows: &BytesColumn) -> Outcome {
        rows.map_rows(|row, out| {
            let (words, []) = row.as_chunks::<4>() else {
                return Err(format!("{} bytes instead of 8", row.len()));
            };
            if words.len() != 2 {
                return Err(format!("{} bytes instead of 8", row.len()));
            }
            write_map_len(out, 2);
            for ((name, limit), word) in NAMES.iter().zip(words) {
                let degrees = f64::from(i32::from_be_bytes(*word)) / PARTS_PER_DEGREE;
                if !(-limit..=*limit).contains(&degrees) {
                    return Err(format!("{name} = {degrees} is not between -{limit} and {limit}"));
                }
                write_str(out, name);
                write_f64(out, degrees);
            }
            Ok(())
        })
    }
}

plugin_sdk::export_serializer!(Places);

#[cfg(test)]
mod tests {
    use super::*;

    fn place(lat: f64, lon: f64) -> Vec<u8> {
        let mut row = Vec::new();
        write_map_len(&mut row, 2);
        for (name, degrees) in [("lat", lat), ("lon", lon)] {
            write_str(&mut row, name);
            write_f64(&mut row, degrees);
        }
        row
    }

    #[test]
    fn a_place_goes_there_and_back() {
        let berlin = place(52.52, 13.405);
        let stored = Places.serialize(&BytesColumn::from_rows([Some(&berlin), None]));
        assert_eq!(stored.rows.lens, [8, -1]);
        let back = Places.deserialize(&stored.rows);
        assert_eq!(back.rows.rows().collect::<Vec<_>>(), [Some(&berlin[..]), None]);
    }

    #[test]
    fn what_is_no_place_on_earth_is_refused_and_the_rest_is_not() {
        let rows = [place(90.5, 0.0), place(1.0, 2.0), place(0.0, f64::NAN)];
        let outcome = Places.serialize(&BytesColumn::from_rows(rows.iter().map(Some)));
        let refused: Vec<_> = outcome.errors.iter().map(|error| error.row).collect();
        assert_eq!(refused, [0, 2]);
        assert_eq!(outcome.errors[0].message, "lat = 90.5 is not between -90 and 90");
    }
}
