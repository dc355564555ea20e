//! JSON with a schema: values are stored as the serializer `json` stores them, and refused when they do
//! not fit the schema, with the place and the rule that they break. Stored bytes are checked in the same
//! way.
//!
//! Option `schema` (needed): a JSON Schema (draft 2020-12) as text. The rules that are known:
//! - any value: `type`, `enum`, `const`, `allOf`, `anyOf`, `oneOf`, `not`, `if` / `then` / `else`, `$ref`
//!   to a place in the schema itself (`#/$defs/…`), `true` and `false`;
//! - numbers: `minimum`, `maximum`, `exclusiveMinimum`, `exclusiveMaximum`, `multipleOf`;
//! - text: `minLength`, `maxLength` (in code points), `pattern` (anywhere in the text; the syntax of the
//!   crate regex-lite: no look-around, no back-references);
//! - arrays: `items`, `prefixItems`, `minItems`, `maxItems`, `uniqueItems`;
//! - objects: `properties`, `required`, `additionalProperties`, `minProperties`, `maxProperties`.
//!
//! `$schema`, `$id`, `$comment`, `$defs`, `title`, `description`, `default`, `examples`, `deprecated`,
//! `readOnly`, `writeOnly` and `format` say nothing that is checked. A schema with any other keyword is
//! refused, so that no rule is silently left out. A number such as 1.0 is a whole number, as the
//! standard says; limits are compared as 64-bit floats, exact for whole numbers up to 2^53.

mod check;
mod compile;
mod document;
mod rules;

use plugin_sdk::json::{self, Binary};
use plugin_sdk::{BytesColumn, Config, Outcome, Serializer};

use crate::document::Document;
use crate::rules::Schema;

struct JsonSchema {
    schema: Schema,
    scratch: Vec<u8>,
}

impl Serializer for JsonSchema {
    fn new(config: &Config) -> Result<Self, String> {
        config.allow_only(&["schema"])?;
        let text: String = config.require("schema")?;
        let schema = Schema::compile(&text).map_err(|error| format!("option schema: {error}"))?;
        Ok(JsonSchema {
            schema,
            scratch: Vec::new(),
        })
    }

    fn serialize(&mut self, rows: &BytesColumn) -> Outcome {
        rows.map_rows(|row, out| {
            json::from_messagepack(row, Binary::Refuse, out)?;
            self.schema.check(&Document::read(row)?)
        })
    }

    fn deserialize(&mut self, rows: &BytesColumn) -> Outcome {
        rows.map_rows(|row, out| {
            self.scratch.clear();
            json::to_messagepack(row, &mut self.scratch)?;
            self.schema.check(&Document::read(&self.scratch)?)?;
            out.extend_from_slice(&self.scratch);
            Ok(())
        })
    }
}

plugin_sdk::export_serializer!(JsonSchema);

#[cfg(test)]
mod tests;
