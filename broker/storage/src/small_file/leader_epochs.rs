//! `leader-epoch-checkpoint`: at which offset each leader epoch of a partition began (KIP-101).
//! Replicas find out with it where their logs part (KIP-279). Made again from the batch headers
//! when it is lost.
//!
//! One line an epoch, oldest first: `{epoch} {start offset}`.

use broker_model::{LeaderEpoch, Offset};

use super::{SmallFile, word};

/// The leader epochs of a partition, oldest first; both columns grow strictly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaderEpochs(Vec<(LeaderEpoch, Offset)>);

impl LeaderEpochs {
    pub(crate) const FILE: &str = "leader-epoch-checkpoint";

    /// The newest epoch that has a batch in the log.
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.0.last().map(|(epoch, _)| *epoch)
    }

    /// The epochs and their first offsets, oldest first.
    pub fn entries(&self) -> &[(LeaderEpoch, Offset)] {
        &self.0
    }

    /// Where the newest epoch not above `asked` ends: its number and the offset after its last
    /// record; `None` when the log has nothing that old (KIP-279).
    pub fn end_of(&self, asked: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let after = self.0.partition_point(|(epoch, _)| *epoch <= asked);
        let (found, _) = self.0.get(after.checked_sub(1)?)?;
        let end = self.0.get(after).map_or(log_end, |(_, start)| *start);
        Some((*found, end))
    }

    /// Notes that a batch of `epoch` begins at `offset`; says whether that is news.
    pub(crate) fn note(&mut self, epoch: LeaderEpoch, offset: Offset) -> bool {
        if self.latest().is_some_and(|latest| latest >= epoch) {
            return false;
        }
        // An epoch that wrote nothing leaves no trace.
        while self.0.last().is_some_and(|(_, start)| *start >= offset) {
            self.0.pop();
        }
        self.0.push((epoch, offset));
        true
    }

    /// Forgets what lies at or above `end`; says whether anything did.
    pub(crate) fn truncate_to(&mut self, end: Offset) -> bool {
        let before = self.0.len();
        self.0.retain(|(_, start)| *start < end);
        self.0.len() != before
    }

    /// Forgets epochs that end at or below `start`; says whether anything did.
    pub(crate) fn advance_start(&mut self, start: Offset) -> bool {
        let ended = self.0.partition_point(|(_, first)| *first <= start);
        let gone = ended.saturating_sub(1);
        self.0.drain(..gone);
        let mut changed = gone > 0;
        if let Some((_, first)) = self.0.first_mut().filter(|(_, first)| *first < start) {
            *first = start;
            changed = true;
        }
        changed
    }
}

impl SmallFile for LeaderEpochs {
    fn write_lines(&self, text: &mut String) {
        for (epoch, start) in &self.0 {
            text.push_str(&format!("{epoch} {start}\n"));
        }
    }

    fn from_lines(lines: &[&str]) -> Result<Self, String> {
        let mut entries: Vec<(LeaderEpoch, Offset)> = Vec::with_capacity(lines.len());
        for line in lines {
            let mut words = line.split(' ');
            let epoch = LeaderEpoch::new(word(&mut words, "epoch")?);
            let start = Offset::new(word(&mut words, "start offset")?);
            if entries
                .last()
                .is_some_and(|(before, from)| *before >= epoch || *from >= start)
            {
                return Err(format!("epoch {epoch} is out of order"));
            }
            entries.push((epoch, start));
        }
        Ok(Self(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(entries: &[(u32, u64)]) -> LeaderEpochs {
        let mut epochs = LeaderEpochs::default();
        for (epoch, start) in entries {
            epochs.note(LeaderEpoch::new(*epoch), Offset::new(*start));
        }
        epochs
    }

    #[test]
    fn an_epoch_ends_where_the_next_begins_and_the_last_at_the_log_end() {
        let epochs = epochs(&[(1, 0), (3, 10), (7, 25)]);
        let end_of = |asked| {
            epochs
                .end_of(LeaderEpoch::new(asked), Offset::new(40))
                .map(|(epoch, end)| (epoch.get(), end.get()))
        };
        assert_eq!(end_of(0), None);
        assert_eq!(end_of(1), Some((1, 10)));
        assert_eq!(end_of(5), Some((3, 25)));
        assert_eq!(end_of(7), Some((7, 40)));
        assert_eq!(end_of(9), Some((7, 40)));
    }

    #[test]
    fn an_epoch_without_records_is_replaced_by_the_next() {
        assert_eq!(
            epochs(&[(1, 0), (2, 10), (3, 10)]),
            epochs(&[(1, 0), (3, 10)])
        );
        assert_eq!(epochs(&[(2, 0), (1, 5)]), epochs(&[(2, 0)]));
    }

    #[test]
    fn moving_the_start_and_the_end_forgets_what_is_outside() {
        let mut moved = epochs(&[(1, 0), (3, 10), (7, 25)]);
        assert!(moved.advance_start(Offset::new(12)));
        assert_eq!(moved, epochs(&[(3, 12), (7, 25)]));
        assert!(moved.truncate_to(Offset::new(25)));
        assert_eq!(moved, epochs(&[(3, 12)]));
        assert!(!moved.truncate_to(Offset::new(25)));
    }
}
