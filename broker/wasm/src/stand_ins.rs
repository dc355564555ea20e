//! `StandIns`: how often the fallback of a partitioner has answered in its place, topic by topic. Every batch may
//! need it, which is a line of the log once a minute and topic.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use broker_model::Occasional;

/// More topics are not remembered: what is told of them may then be told again within the minute.
const TOPICS_MAX: usize = 1_000;

/// By topic, the batches that the plugin failed on.
#[derive(Debug, Default)]
pub(crate) struct StandIns(Mutex<BTreeMap<String, Occasional>>);

impl StandIns {
    /// It failed on one more batch of a topic; `now` is monotonic. Answers on how many since it was told last
    /// when it is to be told now.
    pub(crate) fn happened(&self, topic: &str, now: Duration) -> Option<u64> {
        let mut topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = topics.get_mut(topic) {
            return known.happened(now);
        }
        if topics.len() >= TOPICS_MAX {
            topics.clear();
        }
        topics.entry(topic.to_owned()).or_default().happened(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(7);

    #[test]
    fn each_topic_is_told_at_once_and_then_once_a_minute() {
        let stand_ins = StandIns::default();
        for topic in ["a", "b"] {
            assert_eq!(stand_ins.happened(topic, NOW), Some(1));
            for _ in 0..99 {
                assert_eq!(stand_ins.happened(topic, NOW), None);
            }
        }
        let later = NOW + Duration::from_secs(60);
        assert_eq!(stand_ins.happened("a", later), Some(100));
    }

    #[test]
    fn topics_that_come_and_go_take_no_more_and_more_room() {
        let stand_ins = StandIns::default();
        for number in 0..2 * TOPICS_MAX {
            assert_eq!(stand_ins.happened(&format!("t{number}"), NOW), Some(1));
        }
        assert!(stand_ins.0.lock().unwrap().len() <= TOPICS_MAX);
    }
}
