//! `TimeSpec`: a point in time as people write it: an RFC 3339 time, a date, milliseconds since
//! 1970 behind an `@`, `now`, or a duration ago. Times without a zone are UTC.

use std::str::FromStr;

use broker_client::model::{Timestamp, parse_duration};

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeSpec(pub(crate) Timestamp);

/// What a time may look like, for help and errors.
pub(crate) const TIME_FORMS: &str =
    "2026-11-20T10:00:00Z, 2026-11-20, 5min-ago, now, or @MILLISECONDS since 1970";

impl FromStr for TimeSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = |millis| Ok(Self(Timestamp::from_millis(millis)));
        if let Some(millis) = text
            .strip_prefix('@')
            .and_then(|digits| digits.parse().ok())
        {
            return at(millis);
        }
        if text == "now" {
            return at(jiff::Timestamp::now().as_millisecond());
        }
        if let Some(ago) = text.strip_suffix("ago") {
            let ago = ago.trim_end_matches(['-', ' ']);
            let span = parse_duration(ago).map_err(|error| error.to_string())?;
            let span = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
            return at(jiff::Timestamp::now().as_millisecond().saturating_sub(span));
        }
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return at(time.as_millisecond());
        }
        // A date alone reads as its midnight.
        let civil = text.parse::<jiff::civil::DateTime>();
        let zoned = civil.and_then(|civil| civil.to_zoned(jiff::tz::TimeZone::UTC));
        match zoned {
            Ok(zoned) => at(zoned.timestamp().as_millisecond()),
            Err(_) => Err(format!("{text:?} is not a time: write {TIME_FORMS}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(text: &str) -> Result<i64, String> {
        text.parse::<TimeSpec>().map(|time| time.0.as_millis())
    }

    #[test]
    fn times_are_read_in_every_form() {
        assert_eq!(millis("2023-11-14T22:13:20Z"), Ok(1_700_000_000_000));
        assert_eq!(millis("2023-11-14T23:13:20.5+01:00"), Ok(1_700_000_000_500));
        assert_eq!(millis("2023-11-14T22:13:20"), Ok(1_700_000_000_000));
        assert_eq!(millis("2023-11-14"), Ok(1_699_920_000_000));
        assert_eq!(millis("@1700000000000"), Ok(1_700_000_000_000));
    }

    #[test]
    fn a_duration_ago_lies_before_now() {
        let now = jiff::Timestamp::now().as_millisecond();
        for text in ["5min-ago", "5min ago", "300000-ago"] {
            let then = millis(text).unwrap();
            assert!(
                (now - 300_000..now - 290_000).contains(&then),
                "{text}: {then}"
            );
        }
    }

    #[test]
    fn nonsense_is_refused_with_the_forms_that_are_understood() {
        for text in ["", "yesterday", "@soon", "ago", "2026-13-01"] {
            assert!(millis(text).is_err(), "{text:?} was accepted");
        }
        assert!(millis("tomorrow").unwrap_err().contains("5min-ago"));
    }
}
