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
mod tests;
