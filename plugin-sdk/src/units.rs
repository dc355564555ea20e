//! Sizes and durations as options spell them, in the units of the broker's own configuration: a whole
//! number, alone or with a unit.

/// What can be said in an option, and in which units.
pub(crate) struct Quantity {
    /// In words, with an example.
    what: &'static str,
    /// The units as an error lists them.
    listed: &'static str,
    /// Whether `KB` and `kb` are the same.
    any_case: bool,
    /// Whether `1h 30min` is a quantity, too.
    sums: bool,
    units: &'static [(&'static [&'static str], u64)],
}

/// A size, in bytes.
pub(crate) const BYTES: Quantity = Quantity {
    what: "a size such as 1GiB",
    listed: "B, kB, MB, GB, TB, PB, EB (powers of 1,000), KiB, MiB, GiB, TiB, PiB, EiB (powers of 1,024)",
    any_case: true,
    sums: false,
    units: &[
        (&["B"], 1),
        (&["kB", "k"], 1_000),
        (&["MB", "M"], 1_000_000),
        (&["GB", "G"], 1_000_000_000),
        (&["TB", "T"], 1_000_000_000_000),
        (&["PB", "P"], 1_000_000_000_000_000),
        (&["EB", "E"], 1_000_000_000_000_000_000),
        (&["KiB", "Ki"], 1 << 10),
        (&["MiB", "Mi"], 1 << 20),
        (&["GiB", "Gi"], 1 << 30),
        (&["TiB", "Ti"], 1 << 40),
        (&["PiB", "Pi"], 1 << 50),
        (&["EiB", "Ei"], 1 << 60),
    ],
};

/// A duration, in milliseconds.
pub(crate) const MILLIS: Quantity = Quantity {
    what: "a duration such as 12h",
    listed: "ms, s, m or min, h, d, w, month, year",
    any_case: false,
    sums: true,
    units: &[
        (&["ms", "msec", "millis"], 1),
        (&["s", "sec", "secs", "second", "seconds"], 1_000),
        (&["m", "min", "mins", "minute", "minutes"], 60_000),
        (&["h", "hr", "hrs", "hour", "hours"], 3_600_000),
        (&["d", "day", "days"], 86_400_000),
        (&["w", "wk", "wks", "week", "weeks"], 604_800_000),
        (&["M", "month", "months"], 2_630_016_000),
        (&["y", "yr", "yrs", "year", "years"], 31_557_600_000),
    ],
};

impl Quantity {
    /// The number of bytes or milliseconds that an option's text says.
    pub(crate) fn parse(&self, name: &str, text: &str) -> Result<u64, String> {
        self.value(text.trim()).ok_or_else(|| {
            let (what, listed) = (self.what, self.listed);
            format!(
                "option {name} = {text:?}: not {what}; a whole number, alone or with a unit: {listed}"
            )
        })
    }

    fn value(&self, text: &str) -> Option<u64> {
        if let Ok(number) = text.parse() {
            return Some(number);
        }
        let (mut sum, mut rest) = (0_u64, text);
        loop {
            let (term, behind) = self.term(rest)?;
            sum = sum.checked_add(term)?;
            if behind.is_empty() {
                return Some(sum);
            }
            if !self.sums {
                return None;
            }
            rest = behind;
        }
    }

    /// The number with a unit that a text begins with, and what is behind it.
    fn term<'a>(&self, text: &'a str) -> Option<(u64, &'a str)> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = text.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let rest = rest.trim_start();
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, behind) = rest.split_at(letters);
        let is_unit = |name: &&str| match self.any_case {
            true => name.eq_ignore_ascii_case(unit),
            false => *name == unit,
        };
        let mut units = self.units.iter();
        let (_, factor) = units.find(|(names, _)| names.iter().any(is_unit))?;
        Some((number.checked_mul(*factor)?, behind.trim_start()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_alone_or_has_a_unit_in_any_case() {
        for (text, bytes) in [
            ("10", 10),
            ("10B", 10),
            ("64KB", 64_000),
            ("64kB", 64_000),
            ("64 kb", 64_000),
            ("64k", 64_000),
            ("2MB", 2_000_000),
            ("2 MiB", 2 << 20),
            ("2mib", 2 << 20),
            ("3Gi", 3 << 30),
            ("1TB", 1_000_000_000_000),
            ("1PiB", 1 << 50),
            ("15EiB", 15 << 60),
        ] {
            assert_eq!(BYTES.value(text), Some(bytes), "{text}");
        }
    }

    #[test]
    fn a_duration_is_alone_or_has_units() {
        for (text, millis) in [
            ("10", 10),
            ("500ms", 500),
            ("10s", 10_000),
            ("15m", 900_000),
            ("15min", 900_000),
            ("15 minutes", 900_000),
            ("12h", 43_200_000),
            ("7d", 604_800_000),
            ("7days", 604_800_000),
            ("2w", 1_209_600_000),
            ("1M", 2_630_016_000),
            ("1year", 31_557_600_000),
            ("1h 30min", 5_400_000),
            ("1h30m5s", 5_405_000),
        ] {
            assert_eq!(MILLIS.value(text), Some(millis), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_none() {
        for odd in [
            "",
            "h",
            "-1",
            "1.5h",
            "1x",
            "1H",
            "1h 30",
            "1 h min",
            "1µs",
            "99999999999999999999",
            "18446744073709551615w",
            "18446744073709551615ms 1ms",
        ] {
            assert_eq!(MILLIS.value(odd), None, "{odd}");
        }
        for odd in ["", "KB", "1h", "1KB 1B", "1.5GB", "16EiB", "1ki b"] {
            assert_eq!(BYTES.value(odd), None, "{odd}");
        }
    }
}
