//! `TimestampType`: whose clock a batch's timestamps come from. Names and ids are those of Kafka's
//! topic option `message.timestamp.type`; the log sets it in the header when it appends.

use std::fmt;

/// Whose clock a batch's timestamps come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimestampType {
    /// The producer's: every record has its own.
    #[default]
    CreateTime,
    /// The broker's: every record has the batch's max timestamp, whatever its own says.
    LogAppendTime,
}

impl TimestampType {
    /// Both, by id.
    pub const ALL: [Self; 2] = [Self::CreateTime, Self::LogAppendTime];

    /// The id in the batch header.
    pub const fn id(self) -> u8 {
        match self {
            Self::CreateTime => 0,
            Self::LogAppendTime => 1,
        }
    }

    /// The name in configuration, as Kafka spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreateTime => "CreateTime",
            Self::LogAppendTime => "LogAppendTime",
        }
    }

    /// The type with this id, if there is one.
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.id() == id)
    }

    /// The type with this name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for TimestampType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_are_read_back() {
        for kind in TimestampType::ALL {
            assert_eq!(TimestampType::from_id(kind.id()), Some(kind));
            assert_eq!(TimestampType::from_name(kind.name()), Some(kind));
        }
        assert_eq!(TimestampType::ALL.map(TimestampType::id), [0, 1]);
        assert_eq!(TimestampType::from_id(2), None);
        assert_eq!(TimestampType::from_name("createtime"), None);
    }
}
