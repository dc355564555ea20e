//! What becomes of configurations that come faster than the partition takes them. It lives on the thread of the test,
//! and runs when that waits.

use super::*;
use crate::partition::CleaningPurpose;
use crate::plugins::TopicPlugins;

impl Hosted {
    pub(super) fn configure(&self, overrides: &[(&str, &str)]) {
        self.handle.configure(Arc::new(TopicSettings {
            id: self.topic.0,
            name: self.topic.1.clone(),
            config: Arc::new(configured(overrides)),
            plugins: Arc::default(),
            faults: Arc::default(),
        }));
    }
}

#[actix_rt::test]
async fn of_configurations_that_nobody_has_taken_yet_the_newest_waits_and_is_taken() {
    let hosted = host(&[]);
    // Nothing runs on this arbiter until the first await.
    for bytes in ["1048576", "8192", "1024"] {
        hosted.configure(&[("message.max.bytes", bytes), ("flush.mode", "async")]);
        assert_eq!(hosted.handle.stats().mailbox_depth(), 1);
    }
    let mut records = vec![0x91, 0x92, 0xc0, 0xc5, 0x08, 0x00];
    records.resize(6 + 2048, b'x');
    let large = || ProducedBatch::plain(records.clone().into(), Timestamp::from_millis(1));
    let append = || {
        let (reply, answer) = Reply::channel();
        let large = large().expect("a record");
        hosted.handle.append(large, Acks::All, TIMEOUT, reply);
        answer
    };
    let refused: Result<Appended, PartitionError> = append().await;
    assert!(
        matches!(
            refused,
            Err(PartitionError::BatchTooLarge { max: 1024, .. })
        ),
        "{refused:?}"
    );
    hosted.configure(&[]);
    let taken = append().await;
    assert_eq!(taken.map(|appended| appended.base_offset), Ok(Offset::ZERO));
}

#[actix_rt::test]
async fn a_cleaning_by_a_policy_that_was_changed_meanwhile_is_none() {
    let config = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0"),
        ("segment.bytes", "8192"),
        ("flush.mode", "sync"),
    ];
    let hosted = host(&config);
    for _ in 0..6 {
        let mut record = vec![0x91, 0x92, 0xc4, 0x01, b'k', 0xc5, 0x08, 0x00];
        record.resize(8 + 2048, b'x');
        let batch = ProducedBatch::plain(record.into(), Timestamp::from_millis(1));
        let (reply, answer) = Reply::channel();
        let batch = batch.expect("a record");
        hosted.handle.append(batch, Acks::All, TIMEOUT, reply);
        let appended: Result<Appended, PartitionError> = answer.await;
        appended.expect("it is appended");
    }
    let plugins = |since: i64| {
        let of = TopicPlugins::default();
        Arc::new(of.compacted_since(Some(Timestamp::from_millis(since))))
    };
    for (has, asked) in [(1, 1), (2, 1), (2, 2)] {
        hosted.handle.configure(Arc::new(TopicSettings {
            id: hosted.topic.0,
            name: hosted.topic.1.clone(),
            config: Arc::new(configured(&config)),
            plugins: plugins(has),
            faults: Arc::default(),
        }));
        let purpose = CleaningPurpose::Clean(plugins(asked));
        let begun = hosted.handle.begin_cleaning(purpose).await;
        let begun = begun.expect("it is in service");
        assert_eq!(begun.is_some(), has == asked, "{has} {asked}");
    }
}
