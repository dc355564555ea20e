//! `recovery-point-checkpoint` at the top of a log directory: up to where each partition is durable,
//! under which boot of the machine that was noted, and whether the broker stopped cleanly.
//!
//! A snapshot; the file `durable-positions` has the newer ones, told apart by their sequence.
//! One line a partition: `{topic id} {partition} {segment} {position} {end offset} {epoch} {boot} {sequence}`, and
//! ` async` where acknowledgements did not wait for syncs.

use std::collections::BTreeMap;

use broker_model::{LeaderEpoch, Offset, PartitionId, TopicId};

use super::{SmallFile, value_of, word};
use crate::era::Era;

/// Up to where a partition is durable. Below, a bad batch is corruption; above, it may be torn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecoveryPoint {
    /// Base offset of the segment it lies in.
    pub(crate) segment: Offset,
    /// Bytes of that segment that are durable.
    pub(crate) position: u32,
    /// The offset after the last durable record.
    pub(crate) end: Offset,
    /// The leader epoch of the last durable batch.
    pub(crate) epoch: LeaderEpoch,
    /// The era under which the log was last written, as a number.
    pub(crate) boot: u64,
    /// Grows with every point noted in this directory: the larger one is the newer.
    pub(crate) sequence: u64,
    /// Whether records behind it may have been acknowledged before they were synced (`flush.mode = async`).
    pub(crate) is_async: bool,
}

impl RecoveryPoint {
    /// More changes than any directory sees; what counts further is not a count.
    const SEQUENCE_MAX: u64 = 1 << 62;

    /// Whether bytes and offsets fit together: a segment without bytes has no offsets, none spans more of
    /// them than an index can say. One that cannot be true is as good as lost, as going by it would cut
    /// what is durable.
    pub(crate) fn is_possible(&self) -> bool {
        let offsets = self.end.get().checked_sub(self.segment.get());
        let fits = |offsets| match self.position {
            0 => offsets == 0,
            _ => offsets > 0 && u32::try_from(offsets).is_ok(),
        };
        offsets.is_some_and(fits) && self.sequence <= Self::SEQUENCE_MAX
    }
}

/// The recovery points of a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecoveryPoints {
    /// Whether every log was synced and closed, and nothing was written since.
    pub(crate) clean: bool,
    /// Under which the logs were last written.
    pub(crate) era: Era,
    /// By topic and partition.
    pub(crate) points: BTreeMap<(TopicId, PartitionId), RecoveryPoint>,
}

impl RecoveryPoints {
    pub(crate) const FILE: &str = "recovery-point-checkpoint";
}

impl SmallFile for RecoveryPoints {
    fn write_lines(&self, text: &mut String) {
        text.push_str(&format!("clean={}\n", self.clean));
        text.push_str(&format!("boot_id={}\n", self.era));
        for ((topic_id, partition), point) in &self.points {
            text.push_str(&format!(
                "{topic_id} {partition} {} {} {} {} {:016x} {}{}\n",
                point.segment,
                point.position,
                point.end,
                point.epoch,
                point.boot,
                point.sequence,
                if point.is_async { " async" } else { "" },
            ));
        }
    }

    fn from_lines(lines: &[&str]) -> Result<Self, String> {
        let mut found = Self {
            clean: value_of(lines, "clean")? == "true",
            era: Era::named(value_of(lines, "boot_id")?),
            points: BTreeMap::new(),
        };
        for line in lines.iter().skip(2) {
            let mut words = line.split(' ');
            let topic_id: TopicId = word(&mut words, "topic id")?;
            let partition = PartitionId::new(word(&mut words, "partition")?);
            let point = RecoveryPoint {
                segment: Offset::new(word(&mut words, "segment")?),
                position: word(&mut words, "position")?,
                end: Offset::new(word(&mut words, "end offset")?),
                epoch: LeaderEpoch::new(word(&mut words, "epoch")?),
                boot: words
                    .next()
                    .and_then(|word| u64::from_str_radix(word, 16).ok())
                    .ok_or("a line has no boot")?,
                sequence: word(&mut words, "sequence")?,
                is_async: words.next() == Some("async"),
            };
            if !point.is_possible() {
                return Err("a line says what cannot be true".to_owned());
            }
            found.points.insert((topic_id, partition), point);
        }
        Ok(found)
    }
}
