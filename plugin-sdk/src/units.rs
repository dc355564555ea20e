//! Sizes and durations as options spell them: a whole number, alone or with a unit.

/// Units of a size, in bytes.
pub(crate) const BYTES: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Units of a duration, in milliseconds.
pub(crate) const MILLIS: [(&str, u64); 6] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
];

/// The number of base units that `text` says.
pub(crate) fn parse(
    name: &str,
    text: &str,
    units: &[(&str, u64)],
    wanted: &str,
) -> Result<u64, String> {
    value(text.trim(), units).ok_or_else(|| format!("option {name} = {text:?}: not {wanted}"))
}

fn value(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let unit = unit.trim_start();
    if unit.is_empty() {
        return Some(number);
    }
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_may_have_a_unit() {
        assert_eq!(value("10", &BYTES), Some(10));
        assert_eq!(value("2 MiB", &BYTES), Some(2 << 20));
        assert_eq!(value("7d", &MILLIS), Some(604_800_000));
        for odd in [
            "",
            "h",
            "-1",
            "1.5h",
            "1x",
            "99999999999999999999",
            "18446744073709551615w",
        ] {
            assert_eq!(value(odd, &MILLIS), None, "{odd}");
        }
    }
}
