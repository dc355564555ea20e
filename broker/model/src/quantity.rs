//! Sizes and durations as people write them: `1GiB`, `64KB`, `7d`, `500ms`, or a bare number
//! (bytes and milliseconds, as in Kafka).

use std::time::Duration;

use bytesize::ByteSize;

/// A size or duration that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}: {hint}")]
pub struct InvalidQuantity {
    text: String,
    what: &'static str,
    hint: &'static str,
}

/// Reads a number of bytes: `1048576`, `1MiB`, `64KB` (1 KiB = 1024, 1 KB = 1000).
///
/// # Errors
/// When it is neither a bare number nor a number with a size unit.
pub fn parse_bytes(text: &str) -> Result<u64, InvalidQuantity> {
    let trimmed = text.trim();
    trimmed
        .parse::<ByteSize>()
        .map(|size| size.as_u64())
        .map_err(|_| InvalidQuantity {
            text: text.to_owned(),
            what: "size",
            hint: "write bytes as a number or with a unit, such as 1048576, 64KiB, 1GiB",
        })
}

/// Reads a duration: `604800000` (milliseconds), `500ms`, `10s`, `15min`, `12h`, `7d`.
///
/// # Errors
/// When it is neither a bare number of milliseconds nor a number with a time unit.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidQuantity> {
    let trimmed = text.trim();
    if let Ok(millis) = trimmed.parse::<u64>() {
        return Ok(Duration::from_millis(millis));
    }
    humantime::parse_duration(trimmed).map_err(|_| InvalidQuantity {
        text: text.to_owned(),
        what: "duration",
        hint: "write milliseconds as a number or with a unit, such as 500ms, 10s, 12h, 7d",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_numbers_are_bytes_and_milliseconds() {
        assert_eq!(parse_bytes("1073741824"), Ok(1_073_741_824));
        assert_eq!(
            parse_duration("604800000"),
            Ok(Duration::from_secs(7 * 24 * 3600))
        );
    }

    #[test]
    fn units_are_understood() {
        assert_eq!(parse_bytes("1GiB"), Ok(1 << 30));
        assert_eq!(parse_bytes("64 KB"), Ok(64_000));
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(7 * 24 * 3600)));
        assert_eq!(parse_duration("1h 30min"), Ok(Duration::from_secs(5400)));
    }

    #[test]
    fn nonsense_is_refused_with_a_hint() {
        let error = parse_bytes("many").map_err(|error| error.to_string());
        assert!(error.is_err_and(|text| text.contains("64KiB")));
        assert!(parse_duration("-1").is_err());
        assert!(parse_bytes("-1").is_err());
    }
}
