//! Entries of the metadata log: what can be read can be written and read back, and applying them in any
//! order changes nothing or something, and never panics.

use broker_cluster::{ClusterMetadata, Command};

/// Commands, each behind a byte (or, above 250, two) with its length.
pub fn run(mut input: &[u8]) {
    let mut metadata = ClusterMetadata::new();
    let mut index = 0;
    while let Some((entry, rest)) = next(input) {
        input = rest;
        let command = match Command::decode(entry) {
            Ok(command) => command,
            Err(error) => {
                let _ = error.to_string();
                continue;
            }
        };
        let written = command.encode().expect("what was read can be written");
        let again = Command::decode(&written).expect("what was written can be read");
        assert_eq!(again, command);
        index += 1;
        match metadata.apply(index, command) {
            Ok(changes) => drop(changes),
            Err(rejected) => drop(rejected.to_string()),
        }
        assert_eq!(metadata.applied(), Some(index));
        for topic in metadata.topics() {
            let found = metadata.topic_by_id(topic.id).map(|topic| &topic.name);
            assert_eq!(found, Some(&topic.name));
        }
    }
}

fn next(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, rest) = input.split_first()?;
    let (len, rest) = match *first {
        len @ ..=250 => (usize::from(len), rest),
        more => {
            let (low, rest) = rest.split_first()?;
            (usize::from(more - 250) * 256 + usize::from(*low), rest)
        }
    };
    Some(rest.split_at(len.min(rest.len())))
}
