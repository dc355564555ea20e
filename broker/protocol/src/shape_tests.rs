//! Tests of the walk: every kind of value and what is wrong with one, the limits, and that its shortcuts change
//! nothing.

use std::ops::RangeInclusive;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn nested(levels: usize) -> Vec<u8> {
    let mut bytes = vec![0x91; levels];
    bytes.push(0x01);
    bytes
}

#[test]
fn every_kind_of_value_is_walked_to_its_end() {
    let values: [&[u8]; 18] = [
        b"\x00",
        b"\xFF",
        b"\xC0",
        b"\xC3",
        b"\xCC\xFF",
        b"\xCD\x01\x00",
        b"\xCE\0\0\0\0",
        b"\xCF\0\0\0\0\0\0\0\0",
        b"\xD0\x80",
        b"\xD3\0\0\0\0\0\0\0\0",
        b"\xCA\0\0\0\0",
        b"\xCB\0\0\0\0\0\0\0\0",
        b"\xA2hi",
        b"\xD9\x02hi",
        b"\xC5\0\x02hi",
        b"\x80",
        b"\x92\x01\x02",
        b"\xDE\0\x01\xA1k\xDD\0\0\0\x01\x07",
    ];
    for value in values {
        assert_eq!(check(value), Ok(()), "{value:02x?}");
        for len in 0..value.len() {
            let cut = check(&value[..len]);
            assert!(
                matches!(cut, Err(ShapeError::Truncated { .. })),
                "{value:02x?}"
            );
        }
        let longer = [value, b"\xC0"].concat();
        let (position, extra) = (value.len(), 1);
        assert_eq!(
            check(&longer),
            Err(ShapeError::TrailingBytes { position, extra })
        );
    }
}

#[test]
fn nesting_is_allowed_up_to_the_limit() {
    assert_eq!(check(&nested(NESTING_DEPTH_MAX)), Ok(()));
    let position = NESTING_DEPTH_MAX;
    assert_eq!(
        check(&nested(NESTING_DEPTH_MAX + 1)),
        Err(ShapeError::TooDeep { position })
    );
    let mut empty_inside = vec![0x91; NESTING_DEPTH_MAX];
    empty_inside.push(0x80);
    assert_eq!(check(&empty_inside), Err(ShapeError::TooDeep { position }));
}

#[test]
fn levels_beside_each_other_do_not_add_up() {
    let mut bytes = vec![0xDC, 0x03, 0xE8];
    for _ in 0..1000 {
        bytes.extend(nested(NESTING_DEPTH_MAX - 1));
    }
    assert_eq!(check(&bytes), Ok(()));
}

#[test]
fn a_depth_bomb_is_refused_at_its_33rd_byte() {
    assert_eq!(
        check(&vec![0x91; 1 << 20]),
        Err(ShapeError::TooDeep {
            position: NESTING_DEPTH_MAX
        })
    );
}

#[test]
fn a_walk_ends_before_it_is_too_long() {
    let flat = [&[0xDC, 0x03, 0xE8][..], &[0xC0; 1000]].concat();
    assert_eq!(check_within(&flat, 1000), Ok(Walked::Whole));
    assert_eq!(check_within(&flat, 999), Ok(Walked::Further));
    let nested = [&[0xDC, 0x03, 0xE8][..], &b"\x92\xC0\xC0".repeat(1000)].concat();
    assert_eq!(check_within(&nested, 3000), Ok(Walked::Whole));
    assert_eq!(check_within(&nested, 2999), Ok(Walked::Further));
    let wrong_at_once = [&[0x92, 0xC1][..], &flat].concat();
    assert_eq!(
        check_within(&wrong_at_once, 10),
        Err(ShapeError::Reserved { position: 1 })
    );
}

#[test]
fn counts_that_cannot_be_true_are_refused_at_once() {
    for bomb in [
        b"\xDD\xFF\xFF\xFF\xFF",
        b"\xDF\xFF\xFF\xFF\xFF",
        b"\xC6\xFF\xFF\xFF\xFF",
    ] {
        let Err(ShapeError::Truncated {
            position: 0,
            needed,
        }) = check(bomb)
        else {
            panic!("{bomb:02x?} was accepted");
        };
        assert!(needed >= u64::from(u32::MAX), "{needed}");
    }
}

#[test]
fn extension_types_and_the_reserved_marker_are_refused_with_their_position() {
    for marker in [0xC7, 0xC8, 0xC9, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8] {
        let bytes = [&[0x92, 0x01, marker], &[0; 20][..]].concat();
        assert_eq!(check(&bytes), Err(ShapeError::Extension { position: 2 }));
    }
    assert_eq!(
        check(b"\x91\xC1"),
        Err(ShapeError::Reserved { position: 1 })
    );
}

#[test]
fn errors_become_answers_with_the_position() {
    let error = WireError::from(check(b"\x91\xC1").unwrap_err());
    assert_eq!(error.code, ErrorCode::MalformedFrame);
    assert_eq!(error.data.unwrap().position, Some(1));
    let error = WireError::from(check(&nested(40)).unwrap_err());
    assert_eq!(error.code, ErrorCode::NestingTooDeep);
    assert_eq!(error.data.unwrap().limit, Some(NESTING_DEPTH_MAX as u64));
}

/// The walk without any haste: value by value, and down into every array and map.
fn step_by_step(bytes: &[u8], values_max: u64) -> Result<Option<usize>, ShapeError> {
    let (mut at, mut values_left) = (0, values_max);
    let mut levels = vec![1];
    while let Some(left) = levels.last_mut() {
        if *left == 0 {
            levels.pop();
            continue;
        }
        *left -= 1;
        match Head::read(bytes, at)? {
            Head::Scalar { end } => at = end,
            Head::Container { .. } if levels.len() > NESTING_DEPTH_MAX => {
                return Err(ShapeError::TooDeep { position: at });
            }
            Head::Container { start, values } => {
                let Some(fewer) = values_left.checked_sub(values) else {
                    return Ok(None);
                };
                (at, values_left) = (start, fewer);
                levels.push(values);
            }
        }
    }
    Ok(Some(at))
}

proptest! {
    #[test]
    fn shortcuts_lead_where_a_walk_step_by_step_does(
        parts in vec(prop_oneof![
            8 => prop_oneof![Just(0x90..=0x95), Just(0x80..=0x82), Just(0xC0..=0xC4), Just(0xCA..=0xDF)],
            1 => Just(0x91..=0x91),
            1 => Just(0..=0xFF),
        ].prop_flat_map(|markers: RangeInclusive<u8>| (markers, 0..12_usize, 1..40_usize)), 0..60),
        values_max in 0..200_u64,
    ) {
        // A marker, so many bytes behind it, and that over again now and then.
        let bytes: Vec<u8> = parts.iter().flat_map(|(marker, behind, times)| {
            let part = [&[*marker][..], &vec![1; *behind]].concat();
            part.repeat(if *behind < 2 { *times } else { 1 })
        }).collect();
        for values_max in [values_max, u64::MAX] {
            prop_assert_eq!(
                walk(&bytes, 0, NESTING_DEPTH_MAX, values_max),
                step_by_step(&bytes, values_max),
                "{:02x?}", bytes
            );
        }
    }
}
