//! `TopicName`: a name that was checked once and is valid ever after. The rules are Kafka's:
//! 1 to 249 of `[A-Za-z0-9._-]`, not `.` or `..`. A topic cannot be renamed.

use std::fmt;
use std::sync::Arc;

use crate::limits::TOPIC_NAME_LEN_MAX;

/// What is known of all topics.
const CLUSTER_METADATA: &str = "__cluster_metadata";

/// Topics the broker keeps for itself; clients may not create, delete or write them.
const RESERVED: [&str; 3] = [
    CLUSTER_METADATA,
    "__consumer_offsets",
    "__transaction_state",
];

/// A valid topic name; cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// Checks and wraps a name.
    ///
    /// # Errors
    /// Says which rule the name breaks.
    pub fn new(name: &str) -> Result<Self, InvalidTopicName> {
        if name.is_empty() {
            return Err(InvalidTopicName::Empty);
        }
        if name == "." || name == ".." {
            return Err(InvalidTopicName::Dots {
                name: name.to_owned(),
            });
        }
        if let Some((position, found)) = name.char_indices().find(|(_, c)| !is_allowed(*c)) {
            return Err(InvalidTopicName::Character { found, position });
        }
        if name.len() > TOPIC_NAME_LEN_MAX {
            return Err(InvalidTopicName::TooLong { length: name.len() });
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the log of the broker's own metadata.
    pub fn is_cluster_metadata(&self) -> bool {
        self.as_str() == CLUSTER_METADATA
    }

    /// Whether the broker keeps this topic for itself.
    pub fn is_reserved(&self) -> bool {
        Self::reserves(self.as_str())
    }

    /// The same for a name that was not looked at yet.
    pub fn reserves(name: &str) -> bool {
        RESERVED.contains(&name)
    }

    /// Whether the name has both `.` and `_`, which collide once metric names fold them together.
    pub fn mixes_separators(&self) -> bool {
        self.0.contains('.') && self.0.contains('_')
    }

    /// Whether the two names differ only in `.` against `_`.
    pub fn collides_with(&self, other: &Self) -> bool {
        self != other && self.folded().eq(other.folded())
    }

    fn folded(&self) -> impl Iterator<Item = u8> + '_ {
        self.0
            .bytes()
            .map(|byte| if byte == b'.' { b'_' } else { byte })
    }
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl std::borrow::Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The rule a topic name breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTopicName {
    /// The empty name.
    #[error("a topic name may not be empty")]
    Empty,
    /// `.` and `..` are directories.
    #[error("a topic may not be called {name:?}")]
    Dots {
        /// The name asked for.
        name: String,
    },
    /// Longer than the limit.
    #[error("a topic name has at most {TOPIC_NAME_LEN_MAX} characters, this one has {length}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A character outside the allowed set.
    #[error(
        "character {found:?} at position {position} is not allowed in a topic name: use A-Z a-z 0-9 . _ -"
    )]
    Character {
        /// The first such character.
        found: char,
        /// Its byte position, from 0.
        position: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_up_to_249_is_accepted() {
        assert!(TopicName::new(&"a".repeat(248)).is_ok());
        assert!(TopicName::new(&"a".repeat(249)).is_ok());
        assert_eq!(
            TopicName::new(&"a".repeat(250)),
            Err(InvalidTopicName::TooLong { length: 250 })
        );
    }

    #[test]
    fn names_that_are_not_file_names_are_refused() {
        for bad in [
            "", ".", "..", "a b", "한글", "a/b", "a\0", "../x", "a\\b", "a:b",
        ] {
            assert!(TopicName::new(bad).is_err(), "{bad:?} was accepted");
        }
        for good in ["a", "A-Z_0.9", "...", "-", "__x"] {
            assert!(TopicName::new(good).is_ok(), "{good:?} was refused");
        }
    }

    #[test]
    fn dots_and_underscores_collide() -> Result<(), InvalidTopicName> {
        let dotted = TopicName::new("a.b")?;
        assert!(dotted.collides_with(&TopicName::new("a_b")?));
        assert!(!dotted.collides_with(&dotted.clone()));
        assert!(!dotted.collides_with(&TopicName::new("a-b")?));
        assert!(TopicName::new("a.b_c")?.mixes_separators());
        Ok(())
    }
}
