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
mod tests {
    use super::*;

    fn kept(values: &str, tenants: &[Option<&str>]) -> Vec<usize> {
        let config = Config::new("orders", [("header", "tenant"), ("values", values)]);
        let mut policy = DropByHeader::new(&config, &Environment::at(0)).unwrap();
        let headers = tenants
            .iter()
            .map(|tenant| vec![("tenant", *tenant), ("other", Some("acme"))]);
        let count = u32::try_from(tenants.len()).unwrap();
        let batch = Batch::of(count)
            .with_headers(headers)
            .with_offsets(0..u64::from(count));
        assert_eq!(policy.observe(&batch), tenants.len());
        policy.retain(&batch).kept().collect()
    }

    #[test]
    fn the_records_of_a_tenant_go_and_no_others() {
        let tenants = [
            Some("acme"),
            Some("acme2"),
            None,
            Some("Acme"),
            Some("acme"),
            Some(""),
        ];
        assert_eq!(kept("acme", &tenants), [1, 2, 3, 5]);
        assert_eq!(kept("acme, acme2", &tenants), [2, 3, 5]);
        assert_eq!(kept("nobody", &tenants), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_wrong_configuration_is_refused() {
        for options in [
            &[("header", "t")][..],
            &[("values", "a")],
            &[("header", "t"), ("values", "a,,b")],
            &[("header", "t"), ("values", "a"), ("value", "b")],
        ] {
            let config = Config::new("t", options.iter().copied());
            assert!(
                DropByHeader::new(&config, &Environment::at(0)).is_err(),
                "{options:?}"
            );
        }
    }
}
