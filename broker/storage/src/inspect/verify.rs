//! Verifying a partition: checksums, records, order, indexes and small files, and whether there is as much
//! as was noted elsewhere. Reads every byte and goes on behind damage, so that one run names everything
//! that is wrong; each finding says what the broker does about it.

mod set_back;

use std::io;
use std::path::Path;

use broker_model::{Offset, TopicPartition};

use super::indexes::{IndexState, Indexes};
use super::noted::Noted;
use super::topics::check_number;
use super::{
    DirNotes, Finding, FindingKind, Found, SegmentFile, SegmentReader, look_again, segments,
};
use crate::corruption::{Corruption, Damage};
use crate::index::{IndexPoint, Owner, is_of_another};
use crate::io::Io;
use crate::segment::file_name;
use crate::small_file::RecoveryPoint;

/// What a partition holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Data files.
    pub segments: u64,
    /// Good batches.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of the data files.
    pub bytes: u64,
    /// The first offset there is.
    pub first: Offset,
    /// The offset after the last one.
    pub next: Offset,
}

/// How partitions are verified.
#[derive(Clone, Copy)]
pub struct Verifier<'a> {
    io: &'a dyn Io,
    notes: Option<&'a DirNotes>,
    in_use: bool,
    progress: Option<&'a dyn Fn(u64)>,
}

/// Reads everything in a partition directory; what is wrong goes to `report`, in order.
///
/// # Errors
/// When the directory cannot be listed.
pub fn verify_partition(
    io: &dyn Io,
    partition_dir: &Path,
    report: &mut dyn FnMut(Finding),
) -> io::Result<Summary> {
    Verifier::new(io).partition(partition_dir, report)
}

impl<'a> Verifier<'a> {
    /// One that knows the partition alone.
    pub fn new(io: &'a dyn Io) -> Self {
        Self {
            io,
            notes: None,
            in_use: false,
            progress: None,
        }
    }

    /// Compares partitions with what is noted in their log directory.
    #[must_use]
    pub fn with_notes(mut self, notes: &'a DirNotes) -> Self {
        self.notes = Some(notes);
        self
    }

    /// A broker is running: what it is writing, and what it deletes meanwhile, is no finding.
    #[must_use]
    pub fn beside_a_broker(mut self) -> Self {
        self.in_use = true;
        self
    }

    /// Told of bytes as they are read.
    #[must_use]
    pub fn with_progress(mut self, progress: &'a dyn Fn(u64)) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Reads everything in a partition directory; what is wrong goes to `report`, in order. Beside a broker, what
    /// is wrong is looked at again: what it changes meanwhile is not so any more.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn partition(&self, dir: &Path, report: &mut dyn FnMut(Finding)) -> io::Result<Summary> {
        let (summary, found) = look_again(self.in_use, |report| self.look(dir, report))?;
        found.into_iter().for_each(report);
        Ok(summary)
    }

    fn look(&self, dir: &Path, report: &mut dyn FnMut(Finding)) -> io::Result<Summary> {
        let mut files = segments(self.io, dir)?;
        let mut noted = Noted::read(self.io, dir, &files, report);
        let name = dir.file_name().and_then(|name| name.to_str());
        let partition = name.and_then(TopicPartition::from_dir_name);
        let named = self.notes.zip(partition.as_ref());
        let point = named.and_then(|(notes, partition)| {
            let topic_id = notes.topic_of(partition, noted.metadata)?;
            notes.point(&(topic_id, partition.partition))
        });
        let number = partition.as_ref().map(|partition| partition.partition);
        let numbered = noted.metadata.zip(number);
        let owner = numbered.map_or(Owner::default(), |(metadata, number)| {
            Owner::of(metadata.topic_id, number)
        });
        let is_metadata = partition
            .as_ref()
            .is_some_and(|partition| partition.topic.is_cluster_metadata());
        let known = named.and_then(|(notes, name)| self.known_reach(notes, name, point));
        let beyond =
            known.and_then(|known| noted.pass_start_beyond_end(self.io, &files, owner, known));
        let beyond = beyond.map(|finding| match is_metadata {
            true => finding.of_metadata(),
            false => finding,
        });
        beyond.into_iter().for_each(&mut *report);
        // A running broker deletes at this moment.
        let deleted = noted.pass_deleted(dir, &mut files);
        let deleted = deleted.filter(|_| !self.in_use);
        deleted.into_iter().for_each(&mut *report);
        let misplaced =
            named.and_then(|(notes, partition)| notes.check_topic(dir, partition, noted.metadata));
        let is_misplaced = misplaced.is_some();
        misplaced.into_iter().for_each(&mut *report);
        let other = numbered.and_then(|(found, number)| check_number(dir, found, number));
        other.into_iter().for_each(&mut *report);
        let lost_power = point.filter(|point| {
            self.notes
                .is_some_and(|notes| notes.lost_power_since(point))
        });
        let mut pass = Pass {
            verifier: self,
            owner,
            point,
            lost_power,
            start: noted.start.unwrap_or_default(),
            settled: noted.settled(),
            put: &noted.put,
            is_cut: false,
            is_whole: true,
            is_metadata,
            summary: Summary::default(),
            report,
        };
        pass.summary.first = files.first().map_or(Offset::ZERO, |segment| segment.base);
        pass.summary.next = pass.summary.first;
        pass.check_beginning(dir, noted.start, &files);
        pass.segments(&files);
        // It is noted by name.
        let own = named.filter(|_| !is_misplaced);
        let high_watermark = own.and_then(|(notes, name)| notes.high_watermark(name));
        pass.check_end(dir, &files, high_watermark);
        Ok(pass.summary)
    }

    /// How far a log is noted to have come at least, unless its end may have gone with the machine's power, or a
    /// running broker has moved it on.
    fn known_reach(
        &self,
        notes: &DirNotes,
        partition: &TopicPartition,
        point: Option<RecoveryPoint>,
    ) -> Option<Offset> {
        let is_whole = notes.is_clean() || point.is_some_and(|point| notes.is_of_this_boot(&point));
        let durable = point.map(|point| point.end);
        let known = durable.max(notes.high_watermark(partition));
        (is_whole && !self.in_use).then(|| known.unwrap_or_default())
    }
}

/// One partition under way.
struct Pass<'a> {
    verifier: &'a Verifier<'a>,
    owner: Owner,
    point: Option<RecoveryPoint>,
    /// The point, where the machine was restarted since, or writes were lost: what lies above it may be torn.
    lost_power: Option<RecoveryPoint>,
    /// Where the log begins, and below what files may have been deleted or replaced.
    start: Offset,
    settled: Offset,
    /// Segments that a cleaning was putting in place.
    put: &'a [Offset],
    /// Whether the next start cuts the log where it was read up to.
    is_cut: bool,
    /// Whether the last segment ends with a batch.
    is_whole: bool,
    /// Whether it is the broker's own log, of which nothing may be missing.
    is_metadata: bool,
    summary: Summary,
    report: &'a mut dyn FnMut(Finding),
}

/// What the next start does about what went with the power.
const CUT: &str = "it was not durable when the machine went down, or its disk was away: the next start cuts the log off here";

impl Pass<'_> {
    fn data(&mut self, corruption: Corruption) {
        let finding = self.finding(corruption);
        (self.report)(finding);
    }

    fn finding(&self, corruption: Corruption) -> Finding {
        let finding = Finding::data(corruption);
        match self.is_metadata {
            true => finding.of_metadata(),
            false => finding,
        }
    }

    /// Offsets between the log start and the first segment.
    fn check_beginning(&mut self, dir: &Path, start: Option<Offset>, files: &[SegmentFile]) {
        let Some(start) = start.filter(|_| !self.verifier.in_use) else {
            return;
        };
        if let Some(first) = files.first().filter(|first| first.base > start) {
            self.lose_if_empty(start, files);
            self.is_cut = self.is_torn_at(first.base, 0);
            let finding = self.finding(Corruption {
                file: dir.join(file_name(start)),
                position: 0,
                offset: start,
                next_good: Some(first.base),
                damage: Damage::Hole,
            });
            (self.report)(match self.is_cut {
                true => finding.unfinished(CUT),
                false => finding,
            });
        }
    }

    fn check_owner(&mut self, segment: &SegmentFile) {
        if is_of_another(self.verifier.io, &segment.path, self.owner) {
            (self.report)(Finding {
                kind: FindingKind::Damage,
                file: segment.path.clone(),
                position: None,
                offset: Some(segment.base),
                what: "the segment is another partition's, as both its index files say".to_owned(),
                then: "the partition is offline until the files are where they were written"
                    .to_owned(),
            });
        }
    }

    fn check_follows(&mut self, before: Option<&SegmentFile>, rest: &[SegmentFile]) {
        let next = self.summary.next;
        if let Some(segment) = rest.first().filter(|segment| segment.base != next) {
            self.lose_if_empty(next, rest);
            self.is_cut = self.is_torn_at(segment.base, 0);
            let finding = Finding {
                kind: FindingKind::Damage,
                file: before.unwrap_or(segment).path.clone(),
                position: before.map(|before| before.bytes),
                offset: Some(next),
                what: format!("offsets {next} to {} are in no segment", segment.base),
                then: match self.is_metadata {
                    true => Finding::METADATA.to_owned(),
                    false => "they are refused to readers, who can go on behind them".to_owned(),
                },
            };
            (self.report)(match self.is_cut {
                true => finding.unfinished(CUT),
                false => finding,
            });
        }
    }

    /// Whether what does not fit at this place was never durable, and went with the machine's power.
    fn is_torn_at(&self, base: Offset, position: u64) -> bool {
        self.lost_power.is_some_and(|point| {
            // Or all that was durable is deleted.
            let is_above = base > point.segment || point.end <= self.start;
            is_above || (base == point.segment && position >= u64::from(point.position))
        })
    }

    /// Whether nothing is known that may have taken what was written since the durable point.
    fn is_of_this_era(&self) -> bool {
        let notes = self.verifier.notes.filter(|_| !self.verifier.in_use);
        let with_point = notes.zip(self.point);
        with_point.is_some_and(|(notes, point)| notes.are_of_its_era(&point))
    }

    /// What was noted of the log's end.
    fn check_end(&mut self, dir: &Path, files: &[SegmentFile], noted: Option<Offset>) {
        // A running broker has noted more by now, and deletes.
        if self.verifier.in_use {
            return;
        }
        let (point, next) = (self.point, self.summary.next);
        // What follows where the log is cut says nothing of what was durable there.
        let is_gone = |point: &RecoveryPoint| {
            let mut bases = files.iter().map(|file| file.base);
            match self.is_cut {
                true => bases.all(|base| base != point.segment),
                false => bases.all(|base| base < point.segment),
            }
        };
        let reach = next.max(self.settled);
        if let Some(point) = point.filter(|point| point.end > reach && is_gone(point)) {
            let bytes = u64::from(point.position);
            self.data(Corruption {
                file: dir.join(file_name(point.segment)),
                position: 0,
                offset: next,
                next_good: Some(point.end),
                damage: Damage::Missing { bytes },
            });
        }
        let durable = point.map_or(Offset::ZERO, |point| point.end);
        if let Some(noted) = noted.filter(|noted| *noted > next && *noted > durable) {
            if self.lost_power.is_some() || self.is_set_back() {
                // Under `sync` nothing is acknowledged above the durable point.
                return (self.report)(Finding::lost_with_the_power(dir, next.max(durable), noted));
            }
            self.data(Corruption {
                file: files
                    .last()
                    .map_or_else(|| dir.to_owned(), |last| last.path.clone()),
                position: files.last().map_or(0, |last| last.bytes),
                offset: next,
                next_good: Some(noted),
                damage: Damage::BelowHighWatermark,
            });
        }
    }

    fn segments(&mut self, files: &[SegmentFile]) {
        for (number, segment) in files.iter().enumerate() {
            let before = number.checked_sub(1).and_then(|before| files.get(before));
            self.check_follows(before, files.get(number..).unwrap_or_default());
            self.check_owner(segment);
            let below = files.get(number + 1).map(|next| next.base);
            match self.segment(segment, below) {
                Ok(()) => {}
                Err(error) if self.verifier.in_use && error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    (self.report)(Finding::unreadable(&segment.path, &error));
                    self.summary.next = below.unwrap_or(self.summary.next);
                }
            }
            if self.is_cut {
                break;
            }
        }
    }

    /// A segment whose offsets are `below` that of the next one, if one follows.
    fn segment(&mut self, segment: &SegmentFile, below: Option<Offset>) -> io::Result<()> {
        let (verifier, is_last) = (self.verifier, below.is_none());
        self.summary.segments += 1;
        self.summary.bytes += segment.bytes;
        self.summary.next = segment.base;
        if self.is_cut {
            return Ok(());
        }
        let mut reader = SegmentReader::open_of(verifier.io, segment, self.owner, below)?;
        let is_put = self.put.contains(&segment.base);
        let mut indexes = Indexes::of(verifier.io, segment, is_put);
        let mut last = IndexPoint::first(segment.base);
        while let Some(found) = reader.next_found()? {
            let (position, header) = match found {
                Found::Batch { position, header } => (position, header),
                Found::Damage(corruption) => {
                    indexes.pass_damage();
                    let is_bad = is_last && corruption.damage != Damage::Incomplete;
                    if is_bad && self.is_of_this_era() && reader.has_lost_its_end(&corruption)? {
                        self.lost_power = self.point;
                    }
                    self.is_cut = self.is_torn_at(segment.base, corruption.position);
                    self.damage(corruption, segment, is_last);
                    match self.is_cut {
                        true => break,
                        false => continue,
                    }
                }
            };
            if let Err(error) = reader.batch(position, &header)?.records() {
                self.data(Corruption {
                    file: segment.path.clone(),
                    position,
                    offset: header.base_offset,
                    next_good: Some(header.next_offset()),
                    damage: Damage::Records {
                        reason: error.to_string(),
                    },
                });
            }
            self.summary.batches += 1;
            self.summary.records += u64::from(header.record_count);
            self.summary.next = header.next_offset();
            last = last.after(position, &header);
            indexes.pass(&last);
            if let Some(progress) = verifier.progress {
                progress(header.batch_len() as u64);
            }
        }
        self.is_whole = u64::from(last.position) == segment.bytes;
        self.check_length(segment, &last);
        let end = Some(&last).filter(|_| !is_last);
        indexes.finish(end, self.index_state(segment), self.report);
        Ok(())
    }

    /// What a stop may have done to the indexes of a segment that was read to its end.
    fn index_state(&self, segment: &SegmentFile) -> IndexState {
        let notes = self.verifier.notes.zip(self.point);
        // Indexes are made durable with the data that follows them, and not by a stop.
        let is_above = |point: &RecoveryPoint| {
            // Where all that was durable is deleted, a truncation may be removing the rest.
            segment.base >= point.segment || point.end <= self.start
        };
        match notes.filter(|(_, point)| is_above(point)) {
            Some((notes, point)) if notes.was_restarted_since(&point) => IndexState::Unsynced,
            Some((notes, _)) if !notes.is_clean() => IndexState::UnderWay,
            // All of it was deleted.
            _ if self.summary.next <= self.start => IndexState::UnderWay,
            _ => IndexState::Durable,
        }
    }

    fn damage(&mut self, corruption: Corruption, segment: &SegmentFile, is_last: bool) {
        let is_tail = is_last && corruption.damage == Damage::Incomplete;
        let is_short = |point: RecoveryPoint| {
            point.segment == segment.base && segment.bytes < u64::from(point.position)
        };
        if is_tail && (self.verifier.in_use || self.point.is_some_and(is_short)) {
            // Being written, or told with everything else that is missing.
            return;
        }
        let is_end = |point: RecoveryPoint| {
            point.segment == segment.base && corruption.position == u64::from(point.position)
        };
        let is_clean = self.verifier.notes.is_some_and(DirNotes::is_clean);
        let is_put_there =
            is_last && is_clean && corruption.next_good.is_none() && self.point.is_some_and(is_end);
        let mut finding = self.finding(corruption);
        if is_put_there {
            finding.then = "it stands behind the end at which the log was closed, so nobody was told of it: the next start cuts it off".to_owned();
        } else if self.is_cut {
            finding = finding.unfinished(CUT);
        } else if is_tail {
            finding = finding.unfinished(
                "an unfinished write, which nobody was told of: the next start cuts it off",
            );
        }
        (self.report)(finding);
    }

    /// Durable bytes that are not there.
    fn check_length(&mut self, segment: &SegmentFile, last: &IndexPoint) {
        let point = self.point.filter(|point| point.segment == segment.base);
        let point = point.filter(|point| point.end > self.settled);
        if let Some(point) = point.filter(|point| segment.bytes < u64::from(point.position)) {
            self.data(Corruption {
                file: segment.path.clone(),
                position: segment.bytes,
                offset: last.offset,
                next_good: Some(point.end),
                damage: Damage::Missing {
                    bytes: u64::from(point.position) - segment.bytes,
                },
            });
        }
    }
}
