//! Ids and epochs: small numbers that must never be taken for one another.

use std::fmt;
use std::str::FromStr;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u32);

        impl $name {
            /// Wraps a raw number.
            pub const fn new(raw: u32) -> Self {
                Self(raw)
            }

            /// The raw number, for codecs and for people.
            pub const fn get(self) -> u32 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A broker of the cluster. Chosen by the operator, unrelated to partition numbers.
    BrokerId
}
number! {
    /// A partition of a topic, counted from 0.
    PartitionId
}
number! {
    /// How often the leadership of a partition has changed; a larger epoch wins (KIP-101).
    LeaderEpoch
}

impl LeaderEpoch {
    /// The epoch after this one.
    ///
    /// # Panics
    /// On overflow, after four billion elections.
    #[must_use]
    pub const fn next(self) -> Self {
        match self.0.checked_add(1) {
            Some(raw) => Self(raw),
            None => panic!("leader epoch overflow"),
        }
    }
}

/// The identity of a topic: a topic that is deleted and created again under the same name gets another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(uuid::Uuid);

impl TopicId {
    /// The topic of the metadata log, which exists before there is anything to give out ids.
    pub const CLUSTER_METADATA: Self = Self::from_bytes(*b"cluster-metadata");

    /// Wraps 16 bytes; only codecs have them to wrap.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Uuid::from_bytes(bytes))
    }

    /// The 16 bytes, for codecs.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// A new random id.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4())
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicId({})", self.0)
    }
}

impl FromStr for TopicId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}
