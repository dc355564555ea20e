//! What becomes of configurations that come faster than the partition takes them. It lives on the thread of the test,
//! and runs when that waits.

use super::*;

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
