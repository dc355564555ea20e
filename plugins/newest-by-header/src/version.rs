//! A version as a header says it: a number, or bytes in their order.

use std::str::FromStr;

/// How versions are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Number,
    Bytes,
}

/// A version of either order; both have one type so that a table holds either. Numbers are stored so
/// that their bytes have their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    bytes: [u64; 4],
    len: u8,
}

impl Order {
    /// The version that a header's value is, if it is one.
    pub(crate) fn read(self, value: &[u8]) -> Option<Version> {
        match self {
            Order::Number => {
                let number: i128 = std::str::from_utf8(value).ok()?.trim().parse().ok()?;
                let ordered = number.cast_unsigned() ^ (1 << 127);
                Version::of(&ordered.to_be_bytes())
            }
            Order::Bytes => Version::of(value),
        }
    }
}

impl Version {
    /// Shorter ones are filled up with zeros, and among those that are equal then the length decides:
    /// that is the order of byte strings.
    fn of(value: &[u8]) -> Option<Self> {
        let mut filled = [0; 32];
        filled.get_mut(..value.len())?.copy_from_slice(value);
        let (words, _) = filled.as_chunks::<8>();
        let mut bytes = [0; 4];
        for (word, filled) in bytes.iter_mut().zip(words) {
            *word = u64::from_be_bytes(*filled);
        }
        let len = u8::try_from(value.len()).ok()?;
        Some(Version { bytes, len })
    }
}

impl FromStr for Order {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "number" => Ok(Order::Number),
            "bytes" => Ok(Order::Bytes),
            _ => Err("not number or bytes"),
        }
    }
}
