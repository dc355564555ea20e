//! What is written here `rmp` writes too, and what `rmp` writes can be read here, at every length
//! and every size of integer at which the marker changes.

use super::*;
use crate::{Expected, MalformedReason};

const LENGTHS: [u32; 12] = [
    0, 1, 15, 16, 31, 32, 255, 256, 65_535, 65_536, 100_000, 1_000_000,
];

/// Each power of two, its neighbours, and their negatives.
fn integers() -> impl Iterator<Item = i64> {
    (0..63)
        .flat_map(|bit| [(1_i64 << bit) - 1, 1 << bit, (1 << bit) + 1])
        .flat_map(|int| [int, -int])
        .chain([i64::MIN, i64::MIN + 1, i64::MAX])
}

#[test]
fn integers_are_written_as_rmp_writes_them_and_read_back() {
    for int in integers() {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        put_int(&mut ours, int);
        rmp::encode::write_sint(&mut theirs, int).expect("a vec takes it");
        assert_eq!(ours, theirs, "{int}");
        let mut cursor = Cursor::new(&ours);
        assert_eq!(cursor.int_or_nil(), Ok(Some(int)));
        assert!(cursor.rest().is_empty());
    }
}

#[test]
fn longer_forms_of_a_small_integer_are_read_too() {
    let forms: [&[u8]; 9] = [
        &[7],
        &[0xcc, 7],
        &[0xcd, 0, 7],
        &[0xce, 0, 0, 0, 7],
        &[0xcf, 0, 0, 0, 0, 0, 0, 0, 7],
        &[0xd0, 7],
        &[0xd1, 0, 7],
        &[0xd2, 0, 0, 0, 7],
        &[0xd3, 0, 0, 0, 0, 0, 0, 0, 7],
    ];
    for form in forms {
        assert_eq!(Cursor::new(form).int_or_nil(), Ok(Some(7)), "{form:x?}");
        for len in 0..form.len() {
            let cut = Cursor::new(&form[..len]).int_or_nil();
            assert_eq!(
                cut,
                Err(MalformedReason::Truncated),
                "{form:x?} cut at {len}"
            );
        }
    }
    let above = [0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0];
    let read = Cursor::new(&above).int_or_nil();
    assert_eq!(read, Err(MalformedReason::IntegerRange));
}

#[test]
fn bytes_and_text_are_written_as_rmp_writes_them_and_read_back() {
    for len in LENGTHS {
        let text = "x".repeat(len as usize);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        put_bin_or_nil(&mut ours, Some(text.as_bytes()));
        put_str(&mut ours, &text);
        put_bin_or_nil(&mut ours, None);
        rmp::encode::write_bin(&mut theirs, text.as_bytes()).expect("a vec takes it");
        rmp::encode::write_str(&mut theirs, &text).expect("a vec takes it");
        rmp::encode::write_nil(&mut theirs).expect("a vec takes it");
        assert!(ours == theirs, "bin and str of {len} bytes");
        let mut cursor = Cursor::new(&ours);
        assert!(cursor.bytes_or_nil() == Ok(Some(text.as_bytes())));
        assert!(cursor.text_bytes() == Ok(text.as_bytes()));
        assert_eq!(cursor.bytes_or_nil(), Ok(None));
        assert!(cursor.rest().is_empty());
        assert!(ours.len() <= 2 * bin_bytes_max(text.len()) + 1);
    }
}

#[test]
fn arrays_are_written_as_rmp_writes_them_and_read_back() {
    for len in LENGTHS {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        put_array_len(&mut ours, len);
        rmp::encode::write_array_len(&mut theirs, len).expect("a vec takes it");
        assert_eq!(ours, theirs, "{len}");
        assert_eq!(Cursor::new(&ours).array_len(), Ok(len));
        for cut in 0..ours.len() {
            let read = Cursor::new(&ours[..cut]).array_len();
            assert_eq!(read, Err(MalformedReason::Truncated));
        }
    }
}

#[test]
fn what_is_refused_is_not_consumed() {
    for marker in 0..=0xff {
        let bytes = [marker];
        let mut cursor = Cursor::new(&bytes);
        if cursor.array_len().is_err() {
            assert_eq!(cursor.position_in(&bytes), 0, "array, {marker:#x}");
        }
        let mut cursor = Cursor::new(&bytes);
        if cursor.bytes_or_nil().is_err() {
            assert_eq!(cursor.position_in(&bytes), 0, "bytes, {marker:#x}");
        }
        let mut cursor = Cursor::new(&bytes);
        if cursor.text_bytes().is_err() {
            assert_eq!(cursor.position_in(&bytes), 0, "text, {marker:#x}");
        }
        let mut cursor = Cursor::new(&bytes);
        if cursor.int_or_nil().is_err() {
            assert_eq!(cursor.position_in(&bytes), 0, "int, {marker:#x}");
        }
    }
}

#[test]
fn another_type_is_told_from_an_early_end() {
    let wrong = |expected, marker| MalformedReason::WrongType { expected, marker };
    // A map, an ext, a float, a bool: nothing of the kind has a place in a record.
    for marker in [0x80, 0xc1, 0xc2, 0xc7, 0xca, 0xcb, 0xd4, 0xd8, 0xdf] {
        let bytes = [marker, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut cursor = Cursor::new(&bytes);
        assert_eq!(cursor.array_len(), Err(wrong(Expected::Array, marker)));
        let read = cursor.bytes_or_nil();
        assert_eq!(read, Err(wrong(Expected::BytesOrNil, marker)));
        assert_eq!(cursor.text_bytes(), Err(wrong(Expected::Text, marker)));
        let read = cursor.int_or_nil();
        assert_eq!(read, Err(wrong(Expected::IntegerOrNil, marker)));
    }
    for (bytes, of) in [
        (&[0xc4, 2, b'a'][..], "bin8"),
        (&[0xc5, 0], "bin16"),
        (&[0xc6, 0xff, 0xff, 0xff, 0xff], "bin32"),
        (&[0xa2, b'a'], "fixstr"),
        (&[0xd9], "str8"),
        (&[0xdb, 0, 0, 0], "str32"),
        (&[], "nothing"),
    ] {
        let read = Cursor::new(bytes).bytes_or_nil();
        assert_eq!(read, Err(MalformedReason::Truncated), "{of}");
    }
}

#[test]
fn text_has_to_be_utf8_and_bytes_need_not() {
    let bytes = [0xa2, 0xff, 0xfe];
    let mut cursor = Cursor::new(&bytes);
    assert_eq!(cursor.text_bytes(), Err(MalformedReason::NotUtf8));
    assert_eq!(cursor.position_in(&bytes), 0);
    assert_eq!(cursor.bytes_or_nil(), Ok(Some(&bytes[1..])));
    let umlaut = [0xa2, 0xc3, 0xa4];
    assert_eq!(Cursor::new(&umlaut).text_bytes(), Ok("ä".as_bytes()));
    // A name is text: bin is not taken for it.
    let bin = [0xc4, 1, b'a'];
    assert!(Cursor::new(&bin).text_bytes().is_err());
}
