//! Numbers for people: sizes with binary units, rates, durations with three digits, times in UTC.
//! JSON output uses plain numbers instead.

use std::time::Duration;

use broker_client::model::Timestamp;
use bytesize::ByteSize;

/// A size: `1.5 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
}

/// A whole number with separators: `1,234,567`.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How many a second; 0 when no time has passed.
pub(crate) fn per_second(count: u64, time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    }
}

/// A duration with about three digits: `12.3 µs`, `4.56 ms`, `78.9 s`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (value, unit) = match seconds {
        s if s < 1e-3 => (s * 1e6, "µs"),
        s if s < 1.0 => (s * 1e3, "ms"),
        s if s < 600.0 => (s, "s"),
        s if s < 48.0 * 3600.0 => (s / 60.0, "min"),
        s => (s / 86_400.0, "d"),
    };
    match value {
        v if v < 10.0 => format!("{v:.2} {unit}"),
        v if v < 100.0 => format!("{v:.1} {unit}"),
        v => format!("{v:.0} {unit}"),
    }
}

/// A time in UTC: `2026-11-20T10:00:00.123Z`.
pub(crate) fn time(timestamp: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(timestamp.as_millis()) {
        Ok(time) => format!("{time:.3}"),
        // Farther away than calendars go.
        Err(_) => format!("{} ms", timestamp.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three_digits() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1000), "1,000");
        assert_eq!(number(1_234_567), "1,234,567");
    }

    #[test]
    fn durations_have_three_digits_and_a_unit() {
        assert_eq!(duration(Duration::from_nanos(12_340)), "12.3 µs");
        assert_eq!(duration(Duration::from_micros(4_560)), "4.56 ms");
        assert_eq!(duration(Duration::from_secs(78)), "78.0 s");
        assert_eq!(duration(Duration::ZERO), "0.00 µs");
    }

    #[test]
    fn times_are_utc_with_milliseconds() {
        assert_eq!(
            time(Timestamp::from_millis(1_700_000_000_123)),
            "2023-11-14T22:13:20.123Z"
        );
        assert_eq!(
            time(Timestamp::from_millis(i64::MAX)),
            format!("{} ms", i64::MAX)
        );
    }
}
