//! `ConfigKey`: one configuration key as a row of a table: name, kind of value, default, range,
//! what it does and what follows from it. Values are text; checking one turns it into base units
//! (bytes, milliseconds), so that `7d` is kept and shown as `604800000`.
//!
//! Used for topic configuration here and for the broker's own keys by the server.

use std::time::Duration;

use broker_model::{TopicName, parse_bytes, parse_duration};

use crate::InvalidConfig;

/// What the values of a key look like and which are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// A time span; milliseconds when written bare.
    Duration {
        /// Shortest, in milliseconds.
        min: u64,
        /// Longest, in milliseconds.
        max: u64,
        /// Whether `-1` is allowed and means no limit.
        unlimited: Unlimited,
    },
    /// A number of bytes.
    Bytes {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
        /// Whether `-1` is allowed and means no limit.
        unlimited: Unlimited,
    },
    /// A number of bytes, or `auto`.
    BytesOrAuto,
    /// A whole number.
    Number {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// `true` or `false`.
    Bool,
    /// One of a few words.
    Choice {
        /// The words that may be used.
        allowed: &'static [&'static str],
        /// Words with a meaning that this version cannot carry out.
        unavailable: &'static [&'static str],
    },
    /// Any text without control characters.
    Text {
        /// Whether the empty text is allowed.
        empty: Empty,
    },
    /// Texts separated by commas.
    List {
        /// Whether the empty list is allowed.
        empty: Empty,
    },
    /// One or more of a few words, separated by commas, in any order.
    Words {
        /// The words, in the order of the normal form.
        allowed: &'static [&'static str],
    },
    /// A decimal number from 0 to 1.
    Ratio,
    /// The name of a topic that clients may write, or nothing.
    TopicName,
}

/// Whether `-1` stands for "no limit".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlimited {
    /// `-1` means no limit.
    Allowed,
    /// There is always a limit.
    Refused,
}

/// Whether the empty text is a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Empty {
    /// The empty text means that nothing was chosen.
    Allowed,
    /// Something has to be chosen.
    Refused,
}

/// A configuration key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigKey {
    /// The name, lower-case words with dots.
    pub name: &'static str,
    /// What its values look like.
    pub kind: ValueKind,
    /// The default, in base units, exactly as `describe` shows it.
    pub default: &'static str,
    /// What it does, in a sentence or two.
    pub documentation: &'static str,
    /// What to expect from changing it.
    pub consequence: &'static str,
}

impl ConfigKey {
    /// The kind as one word: `duration`, `bytes`, `number`, `bool`, `enum`, `text`, `list` or
    /// `ratio`.
    pub const fn kind_name(&self) -> &'static str {
        match self.kind {
            ValueKind::Duration { .. } => "duration",
            ValueKind::Bytes { .. } | ValueKind::BytesOrAuto => "bytes",
            ValueKind::Number { .. } => "number",
            ValueKind::Bool => "bool",
            ValueKind::Choice { .. } => "enum",
            ValueKind::Text { .. } | ValueKind::TopicName => "text",
            ValueKind::List { .. } | ValueKind::Words { .. } => "list",
            ValueKind::Ratio => "ratio",
        }
    }

    /// The unit of a bare number: `ms`, `bytes`, or nothing.
    pub const fn unit(&self) -> Option<&'static str> {
        match self.kind {
            ValueKind::Duration { .. } => Some("ms"),
            ValueKind::Bytes { .. } | ValueKind::BytesOrAuto => Some("bytes"),
            _ => None,
        }
    }

    /// Which values are allowed, for people.
    pub fn allowed(&self) -> String {
        match self.kind {
            ValueKind::Duration {
                min,
                max,
                unlimited,
            } => {
                let range = range("a duration", "ms", min, max);
                with_unlimited(format!("{range}, such as 500ms, 10s, 7d"), unlimited)
            }
            ValueKind::Bytes {
                min,
                max,
                unlimited,
            } => {
                let range = range("a size", "bytes", min, max);
                with_unlimited(format!("{range}, such as 64KiB, 1GiB"), unlimited)
            }
            ValueKind::BytesOrAuto => {
                let range = range("a size", "bytes", 0, NO_MAX);
                format!("{range}, such as 64KiB, 1GiB, or auto")
            }
            ValueKind::Number { min, max } => format!("a whole number from {min} to {max}"),
            ValueKind::Bool => "true or false".to_owned(),
            ValueKind::Choice { allowed, .. } => match allowed {
                [most @ .., last] if !most.is_empty() => {
                    format!("{} or {last}", most.join(", "))
                }
                only => only.concat(),
            },
            ValueKind::Text {
                empty: Empty::Allowed,
            } => "a text, or nothing".to_owned(),
            ValueKind::Text {
                empty: Empty::Refused,
            } => "a text".to_owned(),
            ValueKind::List {
                empty: Empty::Allowed,
            } => "texts separated by commas, or nothing".to_owned(),
            ValueKind::List {
                empty: Empty::Refused,
            } => "one or more texts, separated by commas".to_owned(),
            ValueKind::Words { allowed } => {
                format!("one or more of {}, separated by commas", allowed.join(", "))
            }
            ValueKind::Ratio => "a number from 0 to 1, such as 0.5".to_owned(),
            ValueKind::TopicName => {
                "the name of a topic that clients may write, or nothing".to_owned()
            }
        }
    }

    /// Checks a value and brings it into base units.
    ///
    /// # Errors
    /// Names the key, the value and what is allowed.
    pub fn normalise(&self, text: &str) -> Result<String, InvalidConfig> {
        let trimmed = text.trim();
        let normal = match self.kind {
            ValueKind::Duration {
                min,
                max,
                unlimited,
            } => within(trimmed, min, max, unlimited, millis),
            ValueKind::Bytes {
                min,
                max,
                unlimited,
            } => within(trimmed, min, max, unlimited, |text| parse_bytes(text).ok()),
            ValueKind::BytesOrAuto if trimmed == "auto" => Some(trimmed.to_owned()),
            ValueKind::BytesOrAuto => within(trimmed, 0, NO_MAX, Unlimited::Refused, |text| {
                parse_bytes(text).ok()
            }),
            ValueKind::Number { min, max } => {
                let number = |text: &str| text.parse().ok();
                within(trimmed, min, max, Unlimited::Refused, number)
            }
            ValueKind::Bool => matches!(trimmed, "true" | "false").then(|| trimmed.to_owned()),
            ValueKind::Choice {
                allowed,
                unavailable,
            } => {
                if let Some(missing) = chosen(trimmed).find(|word| unavailable.contains(word)) {
                    return Err(InvalidConfig::NotAvailable {
                        key: self.name.to_owned(),
                        value: missing.to_owned(),
                        allowed: self.allowed(),
                    });
                }
                allowed.contains(&trimmed).then(|| trimmed.to_owned())
            }
            ValueKind::Text { empty } => {
                let fits = !trimmed.is_empty() || empty == Empty::Allowed;
                (fits && is_printable(trimmed)).then(|| trimmed.to_owned())
            }
            ValueKind::List { empty } => list(trimmed, empty),
            ValueKind::Words { allowed } => words(trimmed, allowed),
            ValueKind::Ratio => ratio(trimmed),
            ValueKind::TopicName => topic_name(trimmed),
        };
        normal.ok_or_else(|| InvalidConfig::Value {
            key: self.name.to_owned(),
            value: text.to_owned(),
            allowed: self.allowed(),
        })
    }

    /// The same key under another name; a topic key seen as the broker's default for it.
    #[must_use]
    pub const fn renamed(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }
}

/// The largest number of a key that has no largest number of its own.
pub const NO_MAX: u64 = i64::MAX as u64;

fn range(what: &str, unit: &str, min: u64, max: u64) -> String {
    match max {
        NO_MAX => format!("{what} of {min} {unit} or more"),
        _ => format!("{what} from {min} to {max} {unit}"),
    }
}

fn with_unlimited(range: String, unlimited: Unlimited) -> String {
    match unlimited {
        Unlimited::Allowed => format!("{range}, or -1 for no limit"),
        Unlimited::Refused => range,
    }
}

fn within(
    text: &str,
    min: u64,
    max: u64,
    unlimited: Unlimited,
    parse: impl FnOnce(&str) -> Option<u64>,
) -> Option<String> {
    if text == "-1" && unlimited == Unlimited::Allowed {
        return Some(text.to_owned());
    }
    let number = parse(text)?;
    (min..=max).contains(&number).then(|| number.to_string())
}

/// Whole milliseconds; a finer duration is refused instead of rounded.
fn millis(text: &str) -> Option<u64> {
    let duration = parse_duration(text).ok()?;
    let millis = u64::try_from(duration.as_millis()).ok()?;
    (Duration::from_millis(millis) == duration).then_some(millis)
}

fn chosen(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim)
}

fn list(text: &str, empty: Empty) -> Option<String> {
    if text.is_empty() {
        return (empty == Empty::Allowed).then(String::new);
    }
    let parts: Vec<&str> = chosen(text).collect();
    let fits = parts
        .iter()
        .all(|part| !part.is_empty() && is_printable(part));
    fits.then(|| parts.join(","))
}

/// Each word once, in the order of the table.
fn words(text: &str, allowed: &[&str]) -> Option<String> {
    let parts: Vec<&str> = chosen(text).collect();
    if !parts.iter().all(|part| allowed.contains(part)) {
        return None;
    }
    let normal: Vec<&str> = allowed
        .iter()
        .copied()
        .filter(|word| parts.contains(word))
        .collect();
    Some(normal.join(","))
}

fn ratio(text: &str) -> Option<String> {
    let digits_only = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = text.parse().ok()?;
    (digits_only && (0.0..=1.0).contains(&number)).then(|| number.to_string())
}

fn topic_name(text: &str) -> Option<String> {
    let name_fits = |text: &str| TopicName::new(text).is_ok_and(|name| !name.is_reserved());
    (text.is_empty() || name_fits(text)).then(|| text.to_owned())
}

fn is_printable(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// The name in `names` that was most likely meant, if any is near enough.
pub fn nearest<'a>(asked: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let asked = asked.to_ascii_lowercase();
    let reach = (asked.chars().count() / 3).max(1);
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&asked, name), name))
        .filter(|(distance, _)| *distance <= reach)
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPAN: ConfigKey = ConfigKey {
        name: "span",
        kind: ValueKind::Duration {
            min: 10,
            max: 1_000_000_000,
            unlimited: Unlimited::Allowed,
        },
        default: "-1",
        documentation: "",
        consequence: "",
    };

    fn of_kind(kind: ValueKind) -> ConfigKey {
        ConfigKey { kind, ..SPAN }
    }

    #[test]
    fn units_become_base_units_and_only_whole_milliseconds_count() {
        assert_eq!(SPAN.normalise(" 7d "), Ok("604800000".to_owned()));
        for good in ["-1", "10", "1000000000"] {
            assert_eq!(SPAN.normalise(good), Ok(good.to_owned()));
        }
        for bad in ["", "9", "-2", "10500us", "12 parsecs", "1000000001", "true"] {
            assert!(SPAN.normalise(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn an_invalid_value_names_key_value_and_what_is_allowed() {
        let text = SPAN
            .normalise("soon")
            .map_err(|error| error.to_string())
            .expect_err("not a duration");
        for part in ["span", "\"soon\"", "from 10 to 1000000000 ms", "-1"] {
            assert!(text.contains(part), "{part:?} is missing in {text:?}");
        }
    }

    #[test]
    fn words_lists_and_texts_are_checked() {
        let choice = of_kind(ValueKind::Choice {
            allowed: &["delete"],
            unavailable: &["compact"],
        });
        assert!(choice.normalise("delete").is_ok());
        assert!(matches!(
            choice.normalise("compact, delete"),
            Err(InvalidConfig::NotAvailable { .. })
        ));
        assert!(choice.normalise("shred").is_err());

        let list = of_kind(ValueKind::List {
            empty: Empty::Refused,
        });
        assert_eq!(list.normalise("a , b"), Ok("a,b".to_owned()));
        assert!(list.normalise("a,,b").is_err());
        assert!(list.normalise("").is_err());

        let text = of_kind(ValueKind::Text {
            empty: Empty::Refused,
        });
        assert!(text.normalise("key-hash").is_ok());
        assert!(text.normalise("a\nb").is_err());
        assert!(text.normalise("  ").is_err());
    }

    #[test]
    fn words_come_in_any_order_and_each_once() {
        let words = of_kind(ValueKind::Words {
            allowed: &["compact", "delete"],
        });
        let normal = |text| words.normalise(text).ok();
        for both in ["compact,delete", "delete, compact", "delete,compact,delete"] {
            assert_eq!(normal(both).as_deref(), Some("compact,delete"), "{both}");
        }
        assert_eq!(normal(" compact ").as_deref(), Some("compact"));
        for bad in ["", ",", "compact,", "shred", "compact delete"] {
            assert_eq!(normal(bad), None, "{bad:?} was accepted");
        }
    }

    #[test]
    fn ratios_are_plain_decimal_numbers_between_0_and_1() {
        let ratio = of_kind(ValueKind::Ratio);
        let normal = |text| ratio.normalise(text).ok();
        for (given, kept) in [("0.50", "0.5"), ("1", "1"), (".1", "0.1"), ("0.0", "0")] {
            assert_eq!(normal(given).as_deref(), Some(kept), "{given}");
        }
        for bad in [
            "", ".", "-0.1", "-0", "1.01", "NaN", "inf", "1e-1", "50%", "0,5",
        ] {
            assert_eq!(normal(bad), None, "{bad:?} was accepted");
        }
    }

    #[test]
    fn topic_names_are_checked_and_reserved_ones_refused() {
        let topic = of_kind(ValueKind::TopicName);
        assert!(topic.normalise("").is_ok());
        assert!(topic.normalise("orders.dead").is_ok());
        for bad in ["a/b", "..", "__consumer_offsets", &"a".repeat(250)] {
            assert!(topic.normalise(bad).is_err(), "{bad:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn a_normalised_value_is_its_own_normal_form(
            number in "-?[0-9]{0,12}",
            unit in "|ms|s|min|d|B|KiB|MiB|GB",
            text in any::<String>(),
        ) {
            let quantity = format!("{number}{unit}");
            for row in crate::TOPIC_KEYS {
                for text in [&quantity, &text] {
                    if let Ok(normal) = row.key.normalise(text) {
                        prop_assert_eq!(row.key.normalise(&normal), Ok(normal));
                    }
                }
            }
        }
    }

    #[test]
    fn the_nearest_name_is_found_and_far_ones_are_not() {
        let names = ["retention.ms", "retention.bytes", "roll.ms"];
        assert_eq!(nearest("retenton.ms", names), Some("retention.ms"));
        assert_eq!(nearest("Retention.Bytes", names), Some("retention.bytes"));
        assert_eq!(nearest("colour", names), None);
    }
}
