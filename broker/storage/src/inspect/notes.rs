//! `DirNotes`: what the files at the top of a log directory say of its partitions: durable points, high
//! watermarks. What is damaged in them is reported; what can be read is what partitions are compared with.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use broker_model::{Offset, PartitionId, TopicId, TopicPartition};

use super::{Finding, FindingKind, Topics};
use crate::durable_positions::{DurablePositions, FoundSlots, PartitionKey, read_slots};
use crate::era::Era;
use crate::io::Io;
use crate::log_dir::doomed_key;
use crate::small_file::{
    DoubtedClock, HighWatermarks, LogDirectories, MetaProperties, PartitionMetadata, RecoveryPoint,
    RecoveryPoints, SmallFile,
};

/// What is noted in a log directory.
#[derive(Clone, Debug, Default)]
pub struct DirNotes {
    dir: PathBuf,
    points: BTreeMap<PartitionKey, RecoveryPoint>,
    high_watermarks: HighWatermarks,
    /// Whether the last broker stopped cleanly.
    clean: bool,
    /// Whether some of the points are damaged.
    is_doubtful: bool,
    /// The era now.
    era: Option<u64>,
    /// Which topics there are, where that is known.
    topics: Option<Topics>,
}

impl DirNotes {
    /// Whether a directory is a broker's log directory.
    pub fn are_in(io: &dyn Io, dir: &Path) -> bool {
        let known = [
            MetaProperties::FILE,
            RecoveryPoints::FILE,
            DurablePositions::FILE,
            HighWatermarks::FILE,
        ];
        io.list(dir).is_ok_and(|entries| {
            let mut entries = entries.iter();
            entries.any(|entry| known.contains(&entry.name.as_str()))
        })
    }

    /// Reads the files at the top of a log directory; what is wrong goes to `report`.
    ///
    /// # Errors
    /// When a newer broker wrote `durable-positions`.
    pub fn read(io: &dyn Io, dir: &Path, report: &mut dyn FnMut(Finding)) -> io::Result<Self> {
        let mut found = Vec::new();
        let notes = Self::look(io, dir, &mut |finding| found.push(finding))?;
        let entries = io.list(dir)?;
        let is_there = |file: &Path| entries.iter().any(|entry| file == dir.join(&entry.name));
        let is_unused = notes.know_of_nobody() && super::partitions(io, dir)?.is_empty();
        for finding in found {
            let missing = Some(&finding.file).filter(|file| !is_there(file));
            let missing = missing.and_then(|file| file.file_name()?.to_str());
            report(match missing {
                Some(name) if is_unused && name != MetaProperties::FILE => finding.unfinished(
                    "a start was stopped that had made this directory, which holds nothing: the next one goes on with it",
                ),
                Some(RecoveryPoints::FILE) if !notes.is_doubtful => {
                    let then = finding.then.clone();
                    finding.unfinished(&then)
                }
                _ => finding,
            });
        }
        Ok(notes)
    }

    /// Whether there is no word of any partition.
    fn know_of_nobody(&self) -> bool {
        self.points.is_empty() && self.high_watermarks.0.is_empty()
    }

    fn look(io: &dyn Io, dir: &Path, report: &mut dyn FnMut(Finding)) -> io::Result<Self> {
        let mut files = SmallFiles { io, dir, report };
        files.required::<MetaProperties>(
            MetaProperties::FILE,
            "damaged or unreadable, the broker does not start, so that no directory is taken for another's; missing, the directory gets a new identity: restore it from a copy",
        );
        let checkpoint = files.required::<RecoveryPoints>(
            RecoveryPoints::FILE,
            "it is made anew from durable-positions, which knows more; the start counts as one after a crash",
        );
        // A broker that was killed in its first seconds has written none.
        let was_written = checkpoint
            .as_ref()
            .is_some_and(|points| points.clean || !points.points.is_empty());
        let expected = match was_written {
            true => Expected::Always,
            false => Expected::Maybe,
        };
        let high_watermarks = files.read::<HighWatermarks>(
            HighWatermarks::FILE,
            expected,
            "it is made anew; until then the loss of a log's end is only noticed by its durable point",
        );
        files.required::<LogDirectories>(
            LogDirectories::FILE,
            "it is made anew at the next start, which does not notice when one of the broker's log directories is missing or left out",
        );
        files.optional::<DoubtedClock>(
            DoubtedClock::FILE,
            "the wall clock was in doubt, and the next start does not know since when: nothing is deleted for its age for log.retention.clock.grace.ms",
        );
        let clean = checkpoint.as_ref().is_some_and(|points| points.clean);
        let noted = checkpoint.as_ref().map(|points| points.era.clone());
        let era = Era::of(io, dir, &noted.unwrap_or_default()).ok();
        let found = read_points(io, dir, clean, report)?;
        let found = found.unwrap_or_else(FoundSlots::nothing);
        let checkpointed = checkpoint.map_or_else(BTreeMap::new, |checkpoint| checkpoint.points);
        let is_lagging = !found.lagging(&checkpointed).is_empty();
        Ok(Self {
            dir: dir.to_owned(),
            points: found.merged_with(&checkpointed),
            high_watermarks: high_watermarks.unwrap_or_default(),
            clean,
            is_doubtful: found.lost_any || is_lagging,
            era: era.map(|era| era.number()),
            topics: None,
        })
    }

    /// The log directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Compares partitions with the topics that there are, too.
    #[must_use]
    pub fn with_topics(self, topics: Topics) -> Self {
        let topics = Some(topics);
        Self { topics, ..self }
    }

    /// Partitions that had data and have no directory any more.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn check_directories(
        &self,
        io: &dyn Io,
        report: &mut dyn FnMut(Finding),
    ) -> io::Result<()> {
        let mut there = Vec::new();
        for partition in super::partitions(io, &self.dir)? {
            let file = partition.path.join(PartitionMetadata::FILE);
            let metadata = PartitionMetadata::load(io, &file).ok().flatten();
            let number = partition.partition.partition;
            there.push((self.topic_of(&partition.partition, metadata), number));
        }
        // Those under way to be deleted are there under another name.
        let entries = io.list(&self.dir)?;
        let doomed: Vec<PartitionKey> = entries
            .iter()
            .filter_map(|entry| doomed_key(&entry.name))
            .collect();
        for ((topic_id, number), point) in &self.points {
            let is_there = there.iter().any(|(found, partition)| {
                partition == number && found.is_none_or(|found| found == *topic_id)
            });
            let is_deleted = |topics: &Topics| topics.deleted.contains(topic_id);
            let is_doomed = doomed.contains(&(*topic_id, *number))
                || self.topics.as_ref().is_some_and(is_deleted);
            if !is_there && !is_doomed && point.end > Offset::ZERO {
                report(self.gone(*topic_id, *number, point));
            }
        }
        Ok(())
    }

    fn gone(&self, topic_id: TopicId, number: PartitionId, point: &RecoveryPoint) -> Finding {
        Finding {
            kind: FindingKind::Damage,
            file: self.dir.clone(),
            position: None,
            offset: Some(point.end),
            what: format!(
                "the directory of partition {number} of the topic with id {topic_id} is gone, and it held records up to offset {}",
                point.end
            ),
            then: match topic_id == TopicId::CLUSTER_METADATA {
                true => "the broker does not start, because its topics are not known for certain: restore the directory of __cluster_metadata-0 from a copy; the partitions are not touched".to_owned(),
                false => "the partition is offline until it is put back, or an empty directory of its name is made in its place".to_owned(),
            },
        }
    }

    /// Whose data a partition's directory holds: the topic's that it names itself, or else that of its name.
    pub(super) fn topic_of(
        &self,
        partition: &TopicPartition,
        metadata: Option<PartitionMetadata>,
    ) -> Option<TopicId> {
        let topic = &partition.topic;
        let by_name = || match topic.is_cluster_metadata() {
            true => Some(TopicId::CLUSTER_METADATA),
            false => self.topics.as_ref()?.ids.get(topic).copied(),
        };
        metadata.map(|metadata| metadata.topic_id).or_else(by_name)
    }

    /// What is wrong with the directory of a partition that says whose data it holds.
    pub(super) fn check_topic(
        &self,
        dir: &Path,
        partition: &TopicPartition,
        metadata: Option<PartitionMetadata>,
    ) -> Option<Finding> {
        let none_known = Topics::default();
        let is_fixed = partition.topic.is_cluster_metadata();
        let topics = self.topics.as_ref().or(is_fixed.then_some(&none_known))?;
        topics.check(dir, partition, metadata?.topic_id)
    }

    /// Whether every log was synced and closed at its durable point.
    pub(super) fn is_clean(&self) -> bool {
        self.clean
    }

    /// Whether a point was noted since the machine was started.
    pub(super) fn is_of_this_boot(&self, point: &RecoveryPoint) -> bool {
        self.era == Some(point.boot)
    }

    /// Whether the machine was restarted since a point was noted, without a stop of the broker.
    pub(super) fn lost_power_since(&self, point: &RecoveryPoint) -> bool {
        self.was_restarted_since(point) && !self.clean
    }

    /// Whether the machine was restarted since a point was noted: what was not synced may be gone.
    pub(super) fn was_restarted_since(&self, point: &RecoveryPoint) -> bool {
        let is_other = self.era.is_some_and(|era| era != point.boot);
        is_other && !self.is_doubtful
    }

    /// Whether a point was noted in this era.
    pub(super) fn are_of_its_era(&self, point: &RecoveryPoint) -> bool {
        self.is_of_this_boot(point) && !self.is_doubtful
    }

    /// The durable point of a partition.
    pub(super) fn point(&self, key: &PartitionKey) -> Option<RecoveryPoint> {
        self.points.get(key).copied()
    }

    /// The high watermark of a partition.
    pub(super) fn high_watermark(&self, partition: &TopicPartition) -> Option<Offset> {
        self.high_watermarks.0.get(partition).copied()
    }
}

/// The durable points, as far as they can be read; what is wrong with them goes to `report`. `clean` is whether the
/// last stop was.
fn read_points(
    io: &dyn Io,
    dir: &Path,
    clean: bool,
    report: &mut dyn FnMut(Finding),
) -> io::Result<Option<FoundSlots>> {
    let file = dir.join(DurablePositions::FILE);
    let bytes = match io.read_small(&file) {
        Ok(bytes) => bytes,
        Err(error) => {
            report(Finding {
                then: "it does not start: make the file readable or put a copy of the same time back; moved away, it counts as missing, and the broker goes by its last checkpoint and names what is in doubt".to_owned(),
                ..Finding::unreadable(&file, &error)
            });
            return Ok(None);
        }
    };
    let found = read_slots(bytes.as_deref())?;
    let then = match clean {
        true => "it is made anew from the checkpoint of the clean stop, nothing is lost",
        false => {
            "the other slot is in force, or the checkpoint's older point; nothing above that is taken for an unfinished write, and the doubt is reported"
        }
    };
    // A slot that was being written has a twin, as every one has.
    let kind = match found.lost_any || clean {
        true => FindingKind::Damage,
        false => FindingKind::Unfinished,
    };
    for (position, what) in &found.problems {
        report(Finding {
            kind,
            file: file.clone(),
            position: *position,
            offset: None,
            what: what.clone(),
            then: then.to_owned(),
        });
    }
    Ok(Some(found))
}

/// Whether a file is missed when it is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Always,
    Maybe,
}

/// Reads the small files of a directory; those that are damaged are reported.
pub(super) struct SmallFiles<'a> {
    pub(super) io: &'a dyn Io,
    pub(super) dir: &'a Path,
    pub(super) report: &'a mut dyn FnMut(Finding),
}

impl SmallFiles<'_> {
    /// A file that has to be there. `then` is what the broker does about it.
    pub(super) fn required<F: SmallFile>(&mut self, name: &str, then: &str) -> Option<F> {
        self.read(name, Expected::Always, then)
    }

    /// A file that need not be there.
    pub(super) fn optional<F: SmallFile>(&mut self, name: &str, then: &str) -> Option<F> {
        self.read(name, Expected::Maybe, then)
    }

    pub(super) fn read<F: SmallFile>(
        &mut self,
        name: &str,
        expected: Expected,
        then: &str,
    ) -> Option<F> {
        match F::load(self.io, &self.dir.join(name)) {
            Ok(None) if expected == Expected::Always => {
                self.wrong(name, "the file is missing".to_owned(), then)
            }
            Ok(found) => found,
            Err(error) => self.wrong(name, error.to_string(), then),
        }
    }

    fn wrong<F>(&mut self, name: &str, what: String, then: &str) -> Option<F> {
        (self.report)(Finding {
            kind: FindingKind::Damage,
            file: self.dir.join(name),
            position: None,
            offset: None,
            what,
            then: then.to_owned(),
        });
        None
    }
}
