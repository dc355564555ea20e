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
mod tests;
