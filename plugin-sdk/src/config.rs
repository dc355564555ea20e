//! What a plugin reads from its configuration: the topic and the options of the manifest and the
//! topic. An option that a plugin does not know is refused, so that a typo never goes unnoticed.

use std::fmt::Display;
use std::str::FromStr;

use crate::{Config, units};

impl Default for Config {
    fn default() -> Self {
        Config::new("test", [])
    }
}

impl Config {
    /// A configuration for a native test.
    pub fn new<'a>(topic: &str, options: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let options = options.into_iter();
        Config {
            topic: topic.to_owned(),
            options: options
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }
    }

    /// The text of an option.
    pub fn option(&self, name: &str) -> Option<&str> {
        let found = self.options.iter().find(|(option, _)| option == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The value of an option, or `default` where it is not set.
    ///
    /// # Errors
    /// The option's text is not a `T`.
    pub fn parse<T>(&self, name: &str, default: T) -> Result<T, String>
    where
        T: FromStr<Err: Display>,
    {
        let Some(text) = self.option(name) else {
            return Ok(default);
        };
        text.parse()
            .map_err(|error| format!("option {name} = {text:?}: {error}"))
    }

    /// The value of an option that has no default.
    ///
    /// # Errors
    /// The option is missing or its text is not a `T`.
    pub fn require<T>(&self, name: &str) -> Result<T, String>
    where
        T: FromStr<Err: Display>,
    {
        let text = self.option(name);
        let text = text.ok_or_else(|| format!("option {name} is missing"))?;
        text.parse()
            .map_err(|error| format!("option {name} = {text:?}: {error}"))
    }

    /// A size in bytes, if the option is set: a whole number, alone or with a unit of the broker's own
    /// configuration, in capitals or not: `B`, `kB` or `k` to `EB` (powers of 1,000), `KiB` or `Ki` to
    /// `EiB` (powers of 1,024).
    ///
    /// # Errors
    /// The text is no size. The error lists the units.
    pub fn bytes(&self, name: &str) -> Result<Option<u64>, String> {
        self.option(name)
            .map(|text| units::BYTES.parse(name, text))
            .transpose()
    }

    /// A duration in milliseconds, if the option is set: a whole number, alone or with a unit of the
    /// broker's own configuration: `ms`, `s`, `m` or `min`, `h`, `d`, `w`, `month` (30.44 days), `year`
    /// (365.25 days), also spelled out; or a sum, such as `1h 30min`.
    ///
    /// # Errors
    /// The text is no duration. The error lists the units.
    pub fn millis(&self, name: &str) -> Result<Option<u64>, String> {
        self.option(name)
            .map(|text| units::MILLIS.parse(name, text))
            .transpose()
    }

    /// Refuses every option that is not in `known`.
    ///
    /// # Errors
    /// Names the unknown option and the known ones.
    pub fn allow_only(&self, known: &[&str]) -> Result<(), String> {
        for (name, _) in &self.options {
            if !known.contains(&name.as_str()) {
                let known = if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                };
                return Err(format!("unknown option {name}; known options: {known}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_read_and_has_a_default() {
        let config = Config::new("orders", [("shards", "4")]);
        assert_eq!(config.parse("shards", 1_u32), Ok(4));
        assert_eq!(config.parse("other", 1_u32), Ok(1));
        assert_eq!(config.option("other"), None);
    }

    #[test]
    fn sizes_and_durations_have_units() {
        let config = Config::new(
            "orders",
            [("size", "1GiB"), ("time", "12h"), ("odd", "1.5h")],
        );
        assert_eq!(config.bytes("size"), Ok(Some(1 << 30)));
        assert_eq!(config.millis("time"), Ok(Some(43_200_000)));
        assert_eq!(config.millis("other"), Ok(None));
        assert_eq!(
            config.millis("odd").unwrap_err(),
            "option odd = \"1.5h\": not a duration such as 12h; \
             a whole number, alone or with a unit: ms, s, m or min, h, d, w, month, year"
        );
        let error = config.bytes("odd").unwrap_err();
        assert!(
            error.contains("not a size such as 1GiB") && error.contains("KiB, MiB"),
            "{error}"
        );
        assert!(error.len() <= 256, "it is not cut on its way: {error}");
        assert_eq!(
            config.require::<u32>("n"),
            Err("option n is missing".to_owned())
        );
    }

    #[test]
    fn a_bad_or_unknown_option_is_named() {
        let config = Config::new("orders", [("shards", "many")]);
        let error = config.parse("shards", 1_u32).unwrap_err();
        assert!(error.contains("shards = \"many\""), "{error}");
        let error = config.allow_only(&["split"]).unwrap_err();
        assert_eq!(error, "unknown option shards; known options: split");
        assert_eq!(config.allow_only(&["shards"]), Ok(()));
    }
}
