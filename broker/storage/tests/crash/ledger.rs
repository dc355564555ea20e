//! The ledger: what each partition may hold after a stop, at each moment of a script.

use std::sync::Arc;

use broker_storage::io::recording::Moment;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) value: Vec<u8>,
    pub(crate) timestamp: i64,
    pub(crate) epoch: u32,
}

/// Whether a partition is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    No,
    /// It is being created or deleted.
    Maybe,
    Yes,
}

/// What is known of one partition.
#[derive(Clone, Debug)]
pub(crate) struct Expect {
    pub(crate) presence: Presence,
    /// The log start: from, to.
    pub(crate) start: (u64, u64),
    /// Where it ends at least after a power loss.
    pub(crate) durable: u64,
    /// Where it ends at least after a kill.
    pub(crate) written: u64,
    /// The one thing that can be at each offset; where it ends at most.
    pub(crate) content: Arc<Vec<Option<Entry>>>,
    /// Where it can end.
    pub(crate) boundaries: Arc<Vec<u64>>,
    /// The high watermark that is found, at least.
    pub(crate) high_watermark: u64,
}

impl Default for Expect {
    fn default() -> Self {
        Self {
            presence: Presence::No,
            start: (0, 0),
            durable: 0,
            written: 0,
            content: Arc::new(Vec::new()),
            boundaries: Arc::new(vec![0]),
            high_watermark: 0,
        }
    }
}

impl Expect {
    pub(crate) fn end(&self) -> u64 {
        self.content.len() as u64
    }

    /// The log ends here now, at a boundary or behind a log start that is above all that survived.
    pub(crate) fn cut(&mut self, end: u64) {
        let content = Arc::make_mut(&mut self.content);
        let boundaries = Arc::make_mut(&mut self.boundaries);
        content.truncate(end as usize);
        content.resize(end as usize, None);
        boundaries.retain(|boundary| *boundary <= end);
        if boundaries.last() != Some(&end) {
            boundaries.push(end);
        }
    }

    /// The boundary at or below an offset.
    pub(crate) fn boundary_below(&self, offset: u64) -> u64 {
        let found = self.boundaries.iter().rfind(|at| **at <= offset);
        found.copied().unwrap_or(0)
    }
}

/// All partitions, by number.
pub(crate) type World = Vec<Expect>;

/// One life of the disk: from a start to a stop.
pub(crate) struct Phase {
    pub(crate) moments: Vec<Moment>,
    /// What is known from so many changes on. Of entries with the same number all hold.
    pub(crate) timeline: Vec<(usize, World)>,
    /// Whether the recovery points may lag behind what was promised.
    pub(crate) recorded_late: bool,
}

impl Phase {
    /// What a disk after so many changes has to agree with: every entry of that number, or the last
    /// one before.
    pub(crate) fn known_after(&self, changes: usize) -> std::ops::Range<usize> {
        let to = self.timeline.partition_point(|(at, _)| *at <= changes);
        let from = self.timeline.partition_point(|(at, _)| *at < changes);
        from.min(to.saturating_sub(1))..to
    }
}
