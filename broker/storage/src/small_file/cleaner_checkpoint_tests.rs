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
    #![proptest_config(ProptestConfig::with_cases(60))]

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

#[test]
fn the_file_is_written_as_documented() {
    let mut checkpoint = CleanerCheckpoint::default();
    checkpoint.note(Offset::new(10), at(1_700_000_000_000));
    checkpoint.note(Offset::new(25), at(1_700_000_060_000));
    let text = String::from_utf8(checkpoint.encode()).unwrap();
    let lines = "version=1\nlast_cleaned=1700000060000\ncleanings=2\n\
                 10 1700000000000\n25 1700000060000\n";
    let crc = crc32fast::hash(lines.as_bytes());
    assert_eq!(text, format!("{lines}crc32={crc:08x}\n"));
    checkpoint.policy_since = Some(at(1_600_000_000_000));
    let text = String::from_utf8(checkpoint.encode()).unwrap();
    assert!(text.contains("\npolicy_since=1600000000000\n"), "{text}");
    let read = CleanerCheckpoint::decode(Path::new("f"), text.as_bytes()).unwrap();
    assert_eq!(read, checkpoint);
    let empty = CleanerCheckpoint::default();
    let read = CleanerCheckpoint::decode(Path::new("f"), &empty.encode()).unwrap();
    assert_eq!(read, empty);
}
