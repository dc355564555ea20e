//! Tests of where logs are placed and which are opened there, when topics are deleted and made again
//! meanwhile.

use broker_model::{BrokerId, PartitionId, TopicName};
use broker_storage::{LogConfig, OpenLogError};
use tempfile::TempDir;

use super::*;

#[test]
fn an_opening_that_begins_late_does_not_take_the_place_of_a_later_topic_of_its_name() {
    let folder = TempDir::new().expect("a folder");
    let paths = [folder.path().join("first")];
    let clock = crate::clock::start();
    let options = |path: &Path| LogDirOptions::new(path, BrokerId::new(1));
    let dirs = LogDirs::open(&paths, (&clock, Duration::ZERO), &options).expect("they open");
    let name = TopicName::new("t").expect("a name");
    let partition = TopicPartition::new(name, PartitionId::new(0));
    let (old, new) = (TopicId::random(), TopicId::random());
    let given_up = dirs.place(&partition, old);
    dirs.begin_deletion(&partition, old)
        .expect("it has a place");
    dirs.delete_log(&partition, old).expect("it is deleted");
    let dir = dirs.place(&partition, new);

    let late = dirs.open_log(&given_up, &partition, old, LogConfig::default());
    let is_refused = matches!(
        late,
        Err(NotOpened::Log(OpenLogError::OtherTopic { found, asked, .. })) if (found, asked) == (new, old)
    );
    assert!(is_refused, "{:?}", late.err());
    let opened = dirs.open_log(&dir, &partition, new, LogConfig::default());
    assert!(opened.is_ok(), "{:?}", opened.err());
}
