//! How each kind of plugin is asked what a case says. Serializers, which have the most to compare,
//! are in `serializer_case`.

use broker_wasm::{
    Compactor, Layout, Partitioner, PluginError, Retention, RetentionView, SegmentFacts,
};

use super::case::{Case, Subject, TOPIC, is_same, shown};
use super::fixture::{CompactionCase, PartitionerCase, Record, RetentionCase};
use super::records::Columns;

/// How many places of an answer are shown where two answers differ.
const PLACES_SHOWN: usize = 10;
/// What a case that expects nothing is told.
pub(super) const EXPECTS_NOTHING: &str = "it expects nothing";

impl Case for PartitionerCase {
    type Answer = Vec<u32>;

    fn name(&self) -> &str {
        &self.name
    }

    fn expected_error(&self) -> Option<&str> {
        self.expect.error.as_deref()
    }

    fn mistake(&self) -> Option<String> {
        match (&self.expect.partitions, &self.expect.error) {
            _ if self.partitions == 0 => Some("a topic has at least 1 partition".to_owned()),
            (None, None) => Some(EXPECTS_NOTHING.to_owned()),
            (Some(expected), _) if expected.len() != self.records.len() => Some(format!(
                "expect.partitions has {} entries for {} records",
                expected.len(),
                self.records.len()
            )),
            _ => None,
        }
    }

    fn ask(&self, subject: &Subject<'_>) -> Result<Vec<u32>, PluginError> {
        let mut plugin = self.bind(subject)?;
        // As a broker asks: about a batch without keys as a whole first.
        match self.together(&mut plugin) {
            Some(together) => together,
            None => self.apart(&mut plugin),
        }
    }

    fn contradiction(
        &self,
        subject: &Subject<'_>,
        _answer: &Result<Vec<u32>, PluginError>,
    ) -> Option<String> {
        let mut plugin = self.bind(subject).ok()?;
        let together = self.together(&mut plugin)?;
        let apart = self.apart(&mut plugin);
        (!is_same(&together, &apart)).then(|| {
            let (together, apart) = (placed(&together), placed(&apart));
            format!(
                "`keyless` and `assign` disagree about records without keys: keyless, which a broker asks first, {together}; assign {apart}"
            )
        })
    }

    fn differences(&self, answer: &Vec<u32>) -> Vec<String> {
        let expected = self.expect.partitions.iter().flatten();
        let rows = self.records.iter().zip(expected.zip(answer)).enumerate();
        rows.filter(|(_, (_, (expected, got)))| expected != got)
            .map(|(row, (record, (expected, got)))| {
                let key = shown(record.key.0.as_deref());
                format!("record {row} (key {key}): expected partition {expected}, got {got}")
            })
            .collect()
    }
}

impl PartitionerCase {
    fn bind(&self, subject: &Subject<'_>) -> Result<Partitioner, PluginError> {
        let options = self.options.pairs();
        let engine = &subject.offline.engine;
        Partitioner::new(engine, &subject.plugin, TOPIC, &options)
    }

    /// What `keyless` answers for every record, if the case is one to ask it about and it knows an answer.
    fn together(&self, plugin: &mut Partitioner) -> Option<Result<Vec<u32>, PluginError>> {
        let mut keys = self.records.iter().map(|record| &record.key.0);
        if self.records.is_empty() || !keys.all(Option::is_none) {
            return None;
        }
        let records = u32::try_from(self.records.len()).unwrap_or(u32::MAX);
        let only = [self.partitions];
        let answer = plugin.keyless(records, &self.layout(&only)).transpose()?;
        Some(answer.map(|partition| vec![partition; self.records.len()]))
    }

    fn apart(&self, plugin: &mut Partitioner) -> Result<Vec<u32>, PluginError> {
        let (columns, only) = (Columns::produced(&self.records), [self.partitions]);
        plugin.assign(&columns.batch(), &self.layout(&only))
    }

    /// `only` is what the topic's counts are unless the case says more.
    fn layout<'a>(&'a self, only: &'a [u32]) -> Layout<'a> {
        Layout {
            partitions: self.partitions,
            counts: self.counts.as_deref().unwrap_or(only),
            sequence: self.sequence,
            batches: self.batches,
        }
    }
}

/// Where an answer sends records, in words; of many the first.
fn placed(answer: &Result<Vec<u32>, PluginError>) -> String {
    match answer {
        Ok(partitions) if partitions.len() <= PLACES_SHOWN => format!("says {partitions:?}"),
        Ok(partitions) => {
            let shown = partitions.get(..PLACES_SHOWN).unwrap_or_default();
            format!("says {shown:?} and so on")
        }
        Err(error) => format!("fails: {error}"),
    }
}

impl Case for RetentionCase {
    type Answer = u32;

    fn name(&self) -> &str {
        &self.name
    }

    fn expected_error(&self) -> Option<&str> {
        self.expect.error.as_deref()
    }

    fn mistake(&self) -> Option<String> {
        if let (None, None) = (self.expect.expired, &self.expect.error) {
            return Some(EXPECTS_NOTHING.to_owned());
        }
        let segments = self.facts();
        let torn = |segment: &&SegmentFacts| segment.next_offset < segment.base_offset;
        if let Some(segment) = segments.iter().find(torn) {
            let (base, next) = (segment.base_offset, segment.next_offset);
            return Some(format!("a segment cannot go from offset {base} to {next}"));
        }
        let pairs = segments.iter().zip(segments.iter().skip(1));
        let unordered = pairs.filter(|(one, next)| next.base_offset < one.next_offset);
        let mut unordered = unordered.map(|(_, next)| next.base_offset);
        let base = unordered.next()?;
        Some(format!(
            "segments go from old to new: the one at offset {base} begins before the one above it ends"
        ))
    }

    fn ask(&self, subject: &Subject<'_>) -> Result<u32, PluginError> {
        let options = self.options.pairs();
        let bounds = self.bounds.into();
        let engine = &subject.offline.engine;
        let mut plugin = Retention::new(engine, &subject.plugin, TOPIC, &options, bounds)?;
        let segments = self.facts();
        let end = segments.last().map_or(0, |segment| segment.next_offset);
        let high_watermark = self.high_watermark.unwrap_or(end);
        let sizes = segments.iter().map(|segment| segment.bytes);
        plugin.expired(&RetentionView {
            now_ms: self.now_ms,
            high_watermark,
            log_start: self
                .log_start
                .unwrap_or_else(|| segments.first().map_or(0, |segment| segment.base_offset)),
            log_end: self.log_end.unwrap_or(high_watermark),
            log_bytes: self
                .log_bytes
                .unwrap_or_else(|| sizes.fold(0, u64::saturating_add)),
            segments: &segments,
        })
    }

    fn differences(&self, answer: &u32) -> Vec<String> {
        let expected = self.expect.expired.unwrap_or_default();
        if expected == *answer {
            return Vec::new();
        }
        let count = self.segments.len();
        vec![format!(
            "expected {expected} of {count} segments to go, got {answer}"
        )]
    }
}

impl RetentionCase {
    fn facts(&self) -> Vec<SegmentFacts> {
        self.segments.iter().copied().map(Into::into).collect()
    }
}

impl Case for CompactionCase {
    /// The offsets of the records that stay.
    type Answer = Vec<u64>;

    fn name(&self) -> &str {
        &self.name
    }

    fn expected_error(&self) -> Option<&str> {
        self.expect.error.as_deref()
    }

    fn mistake(&self) -> Option<String> {
        let offsets = self.offsets();
        if let (None, None) = (&self.expect.keep, &self.expect.error) {
            return Some(EXPECTS_NOTHING.to_owned());
        }
        let mut pairs = offsets.iter().zip(offsets.iter().skip(1));
        if let Some((one, next)) = pairs.find(|(one, next)| next <= one) {
            return Some(format!("offset {next} comes behind offset {one}"));
        }
        let span = offsets.last().unwrap_or(&0) - offsets.first().unwrap_or(&0);
        if u32::try_from(span).is_err() {
            return Some("offsets of one case may be 4,294,967,295 apart".to_owned());
        }
        let expected = self.expect.keep.iter().flatten();
        let mut unknown = expected.filter(|offset| !offsets.contains(offset));
        unknown
            .next()
            .map(|offset| format!("no record has offset {offset}"))
    }

    fn ask(&self, subject: &Subject<'_>) -> Result<Vec<u64>, PluginError> {
        self.clean(subject, self.records.len().max(1))
    }

    fn contradiction(
        &self,
        subject: &Subject<'_>,
        answer: &Result<Vec<u64>, PluginError>,
    ) -> Option<String> {
        let one_by_one = self.clean(subject, 1);
        (!is_same(answer, &one_by_one)).then(|| {
            "the answer changes when the same records come one by one; a cleaning groups them as it likes"
                .to_owned()
        })
    }

    fn differences(&self, answer: &Vec<u64>) -> Vec<String> {
        let expected = self.expect.keep.as_deref().unwrap_or_default();
        let rows = self.records.iter().zip(self.offsets());
        let different = rows.filter_map(|(record, offset)| {
            let words = match (expected.contains(&offset), answer.contains(&offset)) {
                (true, false) => "expected to stay, is removed",
                (false, true) => "expected to be removed, stays",
                _ => return None,
            };
            let key = shown(record.key.0.as_deref());
            Some(format!("offset {offset} (key {key}): {words}"))
        });
        different.collect()
    }
}

impl CompactionCase {
    fn offsets(&self) -> Vec<u64> {
        let mut next = 0;
        let offset = |record: &Record| {
            let offset = record.offset.unwrap_or(next);
            next = offset.saturating_add(1);
            offset
        };
        self.records.iter().map(offset).collect()
    }

    /// A cleaning that hands over so many records at a time. What the first pass did not take in is
    /// not cleaned, and so it stays.
    fn clean(&self, subject: &Subject<'_>, piece: usize) -> Result<Vec<u64>, PluginError> {
        let options = self.options.pairs();
        let engine = &subject.offline.engine;
        let mut plugin = Compactor::new(engine, &subject.plugin, TOPIC, &options, self.now_ms)?;
        let offsets = self.offsets();
        let mut observed = 0;
        for (records, offsets) in self.records.chunks(piece).zip(offsets.chunks(piece)) {
            let taken = plugin.observe(&Columns::stored(records, offsets).batch())?;
            observed += taken as usize;
            if (taken as usize) < records.len() {
                break;
            }
        }
        let (clean, dirty) = offsets.split_at(observed.min(offsets.len()));
        let mut kept = Vec::new();
        let mut bitmap = Vec::new();
        for (records, offsets) in self.records.chunks(piece).zip(clean.chunks(piece)) {
            let records = records.get(..offsets.len()).unwrap_or(records);
            plugin.retain(&Columns::stored(records, offsets).batch(), &mut bitmap)?;
            let stays = |row: usize| {
                bitmap
                    .get(row / 8)
                    .is_some_and(|byte| byte >> (row % 8) & 1 == 1)
            };
            let rows = offsets.iter().enumerate();
            kept.extend(
                rows.filter(|(row, _)| stays(*row))
                    .map(|(_, offset)| *offset),
            );
        }
        kept.extend_from_slice(dirty);
        Ok(kept)
    }
}
