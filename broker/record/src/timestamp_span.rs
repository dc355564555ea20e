//! `TimestampSpan`: the base and the max timestamp of a batch, gathered record by record.
//!
//! The rule: the base timestamp is what records without a timestamp get. Where every record has its
//! own, the base timestamp is the first record's. The max timestamp is the largest of them all,
//! records without their own counted at the base timestamp.

use broker_model::Timestamp;

/// The timestamps of a batch, as far as its records have been seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TimestampSpan {
    first: Option<i64>,
    /// Of those that were seen; 0 before.
    max: i64,
    some_without: bool,
}

impl TimestampSpan {
    /// Takes in the next record's own timestamp.
    #[inline(always)]
    pub(crate) fn add(&mut self, own: Option<i64>) {
        match own {
            Some(time) if self.first.is_none() => (self.first, self.max) = (own, time),
            Some(time) => self.max = self.max.max(time),
            None => self.some_without = true,
        }
    }

    /// The one base timestamp the records allow; `None` when some have none of their own, so that
    /// any is allowed.
    pub(crate) fn required_base(&self) -> Option<Timestamp> {
        if self.some_without {
            return None;
        }
        self.first.map(Timestamp::from_millis)
    }

    /// The largest timestamp under this base timestamp.
    pub(crate) fn max(&self, base: Timestamp) -> Timestamp {
        let own = self.first.map(|_| Timestamp::from_millis(self.max));
        match own {
            Some(own) if self.some_without => own.max(base),
            Some(own) => own,
            None => base,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(own: &[Option<i64>]) -> TimestampSpan {
        let mut span = TimestampSpan::default();
        own.iter().for_each(|own| span.add(*own));
        span
    }

    const NOW: Timestamp = Timestamp::from_millis(50);

    #[test]
    fn the_first_record_sets_the_base_when_all_have_their_own() {
        let span = span(&[Some(7), Some(9), Some(-3)]);
        assert_eq!(span.required_base(), Some(Timestamp::from_millis(7)));
        assert_eq!(span.max(Timestamp::from_millis(7)).as_millis(), 9);
    }

    #[test]
    fn records_without_a_timestamp_count_at_the_base() {
        let early = span(&[Some(7), None]);
        assert_eq!(early.required_base(), None);
        assert_eq!(early.max(NOW), NOW);
        let late = span(&[None, Some(70)]);
        assert_eq!(late.max(NOW).as_millis(), 70);
        assert_eq!(span(&[None]).max(NOW), NOW);
    }
}
