//! Compaction by an expiry that each record carries in a header: what has expired goes. A record without
//! the header, or with one that cannot be read, stays. Keys do not matter.
//!
//! Options:
//! - `header` (needed): the header's name;
//! - `meaning`: `expires` (unless set): the header says when, in milliseconds since 1970, in decimal
//!   digits; or `ttl`: it says how long after the record's timestamp, in milliseconds or with a unit
//!   (`30s`, `12h`, `7d`).

use std::str::FromStr;

use plugin_sdk::{Batch, Bitmap, Columns, CompactionPolicy, Config, Environment};

struct TtlByHeader {
    header: String,
    meaning: Meaning,
    now_ms: i64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Expires,
    Ttl,
}

impl FromStr for Meaning {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "expires" => Ok(Meaning::Expires),
            "ttl" => Ok(Meaning::Ttl),
            _ => Err("not expires or ttl"),
        }
    }
}

impl CompactionPolicy for TtlByHeader {
    fn new(config: &Config, environment: &Environment) -> Result<Self, String> {
        config.allow_only(&["header", "meaning"])?;
        Ok(TtlByHeader {
            header: config.require("header")?,
            meaning: config.parse("meaning", Meaning::Expires)?,
            now_ms: environment.now_ms,
        })
    }

    fn needs(&self) -> Columns {
        Columns::HEADERS | Columns::TIMESTAMPS
    }

    fn retain(&mut self, batch: &Batch) -> Bitmap {
        let stays = |(value, timestamp): (Option<Option<&[u8]>>, &i64)| {
            let value = value
                .flatten()
                .and_then(|value| std::str::from_utf8(value).ok());
            let expires = value.and_then(|value| self.expires(value, *timestamp));
            expires.is_none_or(|expires| expires > self.now_ms)
        };
        let values = batch.header_values(&self.header);
        values.zip(batch.timestamps()).map(stays).collect()
    }
}

impl TtlByHeader {
    fn expires(&self, value: &str, timestamp: i64) -> Option<i64> {
        if self.meaning == Meaning::Expires {
            return value.trim().parse().ok();
        }
        let ttl = Config::new("", [("ttl", value)]).millis("ttl").ok()??;
        Some(timestamp.saturating_add(i64::try_from(ttl).unwrap_or(i64::MAX)))
    }
}

plugin_sdk::export_compaction!(TtlByHeader);

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(meaning: &str, records: &[(Option<&str>, i64)]) -> Vec<usize> {
        let config = Config::new("orders", [("header", "e"), ("meaning", meaning)]);
        let mut policy = TtlByHeader::new(&config, &Environment::at(1_000_000)).unwrap();
        let headers = records.iter().map(|(value, _)| match value {
            Some(value) => vec![("e", Some(*value))],
            None => Vec::new(),
        });
        let batch = Batch::of(u32::try_from(records.len()).unwrap())
            .with_headers(headers)
            .with_timestamps(records.iter().map(|(_, timestamp)| *timestamp))
            .with_offsets(0..records.len() as u64);
        assert_eq!(policy.observe(&batch), records.len());
        policy.retain(&batch).kept().collect()
    }

    #[test]
    fn what_has_expired_goes() {
        let records = [
            (Some("999999"), 0),
            (Some("1000000"), 0),
            (Some("1000001"), 0),
            (None, 0),
        ];
        assert_eq!(kept("expires", &records), [2, 3]);
    }

    #[test]
    fn a_time_to_live_counts_from_the_records_timestamp() {
        let records = [
            (Some("10s"), 0),
            (Some("10s"), 990_001),
            (Some("5"), 999_995),
            (Some("300w"), 0),
        ];
        assert_eq!(kept("ttl", &records), [1, 3]);
    }

    #[test]
    fn what_cannot_be_read_stays() {
        assert_eq!(
            kept(
                "expires",
                &[(Some("soon"), 0), (Some("1s"), 0), (Some(""), 0)]
            ),
            [0, 1, 2]
        );
        assert_eq!(
            kept("ttl", &[(Some("-1"), 0), (Some("99999999999999999999"), 0)]),
            [0, 1]
        );
    }

    #[test]
    fn a_wrong_configuration_is_refused() {
        for options in [
            &[("meaning", "ttl")][..],
            &[("header", "e"), ("meaning", "x")],
            &[("header", "e"), ("y", "z")],
        ] {
            let config = Config::new("t", options.iter().copied());
            assert!(
                TtlByHeader::new(&config, &Environment::at(0)).is_err(),
                "{options:?}"
            );
        }
    }
}
