//! What decides which of the old records stay.

use std::str::FromStr;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Key,
    Offset,
}

impl FromStr for By {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "key" => Ok(By::Key),
            "offset" => Ok(By::Offset),
            _ => Err("not key or offset"),
        }
    }
}

/// FNV-1a of 64 bits with its bits mixed once more. Not murmur2: that has chosen the partition, so that
/// inside one partition its remainders are not spread.
pub(crate) fn hash(key: &[u8]) -> u64 {
    let fnv = key.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (fnv ^ fnv >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 32
}
