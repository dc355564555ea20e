//! Compaction that erases: every record whose header has one of the given values goes, whatever its key
//! and however old it is. All others stay. (A tenant's records: `header = tenant`, `values = acme`.)
//!
//! Options, both needed:
//! - `header`: the header's name;
//! - `values`: the values, separated by commas, compared byte by byte. Spaces around them do not count.

use plugin_sdk::{Batch, Bitmap, Columns, CompactionPolicy, Config, Environment};

struct DropByHeader {
    header: String,
    values: Vec<Vec<u8>>,
}

impl CompactionPolicy for DropByHeader {
    fn new(config: &Config, _: &Environment) -> Result<Self, String> {
        config.allow_only(&["header", "values"])?;
        let values: String = config.require("values")?;
        let values = values.split(',').map(str::trim);
        let values: Vec<_> = values.map(|value| value.as_bytes().to_vec()).collect();
        if values.iter().any(Vec::is_empty) {
            return Err("option values: one of them is empty".to_owned());
        }
        Ok(DropByHeader {
            header: config.require("header")?,
            values,
        })
    }

    fn needs(&self) -> Columns {
        Columns::HEADERS
    }

    fn retain(&mut self, batch: &Batch) -> Bitmap {
        let goes = |value: &[u8]| self.values.iter().any(|erased| erased == value);
        let values = batch.header_values(&self.header);
        values
            .map(|value| !value.flatten().is_some_and(goes))
            .collect()
    }
}

plugin_sdk::export_compaction!(DropByHeader);

#[cfg(test)]
mod tests;
