//! `Offset`: the position of a record in its partition. Starts at 0 and grows by one a record;
//! an offset that was acknowledged once is never given to another record.

use std::fmt;

/// The position of a record in its partition, counted from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(u64);

impl Offset {
    /// The offset of the first record a partition ever gets.
    pub const ZERO: Self = Self(0);
    /// The largest offset; no record is ever given it.
    pub const MAX: Self = Self(u64::MAX);

    /// Wraps a raw offset; only codecs have one to wrap.
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// The raw number, for codecs and for people.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The offset after this one.
    ///
    /// # Panics
    /// On overflow, which takes more records than a partition can hold.
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// The offset `records` further on.
    ///
    /// # Panics
    /// On overflow. Offsets read from outside go through [`Offset::checked_plus`].
    #[must_use]
    pub const fn plus(self, records: u64) -> Self {
        match self.0.checked_add(records) {
            Some(raw) => Self(raw),
            None => panic!("offset overflow"),
        }
    }

    /// The offset `records` further on, or `None` on overflow.
    pub const fn checked_plus(self, records: u64) -> Option<Self> {
        match self.0.checked_add(records) {
            Some(raw) => Some(Self(raw)),
            None => None,
        }
    }

    /// How many offsets lie between `earlier` and this one; 0 when `earlier` is not earlier.
    pub const fn distance_from(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
