//! The errors of a routed produce: a list by record for programs, grouped by error on the wire,
//! `[{indexes, error}, …]`. A partition that refuses its part of a large request refuses many
//! records for one reason; spelt out for each they would not fit a frame.

use std::collections::HashMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::wire_error::WireError;

/// What happened to one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// Index of the record in the request, from 0.
    pub index: u32,
    /// Why.
    pub error: WireError,
}

#[derive(Serialize)]
struct Group<'a> {
    indexes: Vec<u32>,
    error: &'a WireError,
}

#[derive(Deserialize)]
struct ReceivedGroup {
    indexes: Vec<u32>,
    error: WireError,
}

pub(super) fn serialize<S: Serializer>(errors: &[RecordError], to: S) -> Result<S::Ok, S::Error> {
    grouped(errors).serialize(to)
}

/// Equal errors together, in the order in which each turns up first.
fn grouped(errors: &[RecordError]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    // Errors that look alike, so that not every one is compared with every other.
    let mut alike: HashMap<(u16, &str), Vec<usize>> = HashMap::new();
    for RecordError { index, error } in errors {
        let candidates = alike.entry((error.number(), &error.message)).or_default();
        let same = |at: &&usize| groups.get(**at).is_some_and(|group| group.error == error);
        let found = candidates.iter().find(same).copied();
        match found.and_then(|at| groups.get_mut(at)) {
            Some(group) => group.indexes.push(*index),
            None => {
                candidates.push(groups.len());
                groups.push(Group {
                    indexes: vec![*index],
                    error,
                });
            }
        }
    }
    groups
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Vec<RecordError>, D::Error> {
    let groups = Vec::<ReceivedGroup>::deserialize(from)?;
    let mut errors = Vec::with_capacity(groups.iter().map(|group| group.indexes.len()).sum());
    for ReceivedGroup { indexes, error } in groups {
        errors.extend(indexes.into_iter().map(|index| RecordError {
            index,
            error: error.clone(),
        }));
    }
    errors.sort_by_key(|error| error.index);
    Ok(errors)
}
