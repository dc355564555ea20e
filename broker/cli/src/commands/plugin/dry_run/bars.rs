//! `Bars`: counts as bars of one scale.

/// Bars whose longest one has a fixed width.
pub(super) struct Bars {
    most: u64,
}

const WIDTH: u64 = 20;

impl Bars {
    /// For counts up to the largest of these.
    pub(super) fn up_to<'a>(counts: impl Iterator<Item = &'a u64>) -> Self {
        Self {
            most: counts.copied().max().unwrap_or_default(),
        }
    }

    /// What is not nothing has at least one mark.
    pub(super) fn of(&self, count: u64) -> String {
        let marks = u128::from(count) * u128::from(WIDTH);
        let marks = marks.div_ceil(u128::from(self.most.max(1)));
        "█".repeat(usize::try_from(marks).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_in_proportion_and_never_vanish() {
        let bars = Bars::up_to([0, 1, 500, 1_000].iter());
        let lengths = [0, 1, 500, 1_000].map(|count| bars.of(count).chars().count());
        assert_eq!(lengths, [0, 1, 10, 20]);
        assert_eq!(Bars::up_to([].iter()).of(0), "");
    }
}
