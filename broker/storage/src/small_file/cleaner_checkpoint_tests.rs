//! When an offset was first covered: exact while there is room, later than true when entries are
//! merged, and never earlier.

use std::path::Path;

use proptest::prelude::*;

use super::*;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn covered_by(checkpoint: &CleanerCheckpoint, offset: u64) -> Option<i64> {
    let entries = checkpoint.entries.iter();
    let mut covering = entries.filter(|(to, _)| to.get() > offset);
    covering.next().map(|(_, at)| at.as_millis())
}

#[test]
fn the_first_cleaning_that_covered_an_offset_counts() {
    let mut checkpoint = CleanerCheckpoint::default();
    assert_eq!(checkpoint.cleaned_to(), Offset::ZERO);
    checkpoint.note(Offset::new(10), at(100));
    checkpoint.note(Offset::new(10), at(200));
    checkpoint.note(Offset::new(30), at(300));
    assert_eq!(checkpoint.cleaned_to(), Offset::new(30));
    assert_eq!(
        (checkpoint.cleanings, checkpoint.last_cleaned),
        (3, Some(at(300)))
    );
    assert_eq!(checkpoint.covered_at(at(99)), Offset::ZERO);
    assert_eq!(checkpoint.covered_at(at(100)), Offset::new(10));
    assert_eq!(checkpoint.covered_at(at(299)), Offset::new(10));
    assert_eq!(checkpoint.covered_at(at(300)), Offset::new(30));
    assert!(checkpoint.truncate_to(Offset::new(20)));
    assert_eq!(checkpoint.covered_at(at(400)), Offset::new(20));
    assert!(checkpoint.truncate_to(Offset::ZERO));
    assert_eq!(checkpoint.entries, []);
}

proptest! {
    #[test]
    fn an_offset_never_counts_as_covered_before_it_was(
        steps in proptest::collection::vec((0_u64..4, 0_i64..100, 0_u8..20), 1..150),
    ) {
        let mut checkpoint = CleanerCheckpoint::default();
        // When each offset was first covered.
        let mut truth: Vec<Option<i64>> = vec![None; 600];
        let (mut to, mut now) = (0, 0);
        for (further, later, cut) in steps {
            (to, now) = (to + further, now + later);
            if cut == 0 {
                to = to.saturating_sub(6);
                checkpoint.truncate_to(Offset::new(to));
                truth[usize::try_from(to).unwrap()..].fill(None);
            }
                        checkpoint.note(Offset::new(to), at(now));
            for covered in &mut truth[..usize::try_from(to).unwrap()] {
                covered.get_or_insert(now);
            }
            prop_assert!(checkpoint.entries.len() <= ENTRIES_MAX);
            for (offset, truth) in (0..).zip(&truth) {
                let known = covered_by(&checkpoint, offset);
                prop_assert_eq!(known.is_some(), truth.is_some(), "offset {}", offset);
                prop_assert!(known >= *truth, "offset {}", offset);
            }
            let bytes = checkpoint.encode();
            let read = CleanerCheckpoint::decode(Path::new("f"), &bytes).unwrap();
            prop_assert_eq!(&read, &checkpoint);
        }
    }
}
