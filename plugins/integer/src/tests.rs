//! The edges of every width there and back, and what does not fit.

use super::*;

fn integer(options: &[(&str, &str)]) -> Integer {
    Integer::new(&Config::new("orders", options.iter().copied())).unwrap()
}

#[test]
fn every_edge_of_every_width_goes_there_and_back() {
    for width in ["1", "2", "4", "8"] {
        for signed in ["true", "false"] {
            let mut plugin = integer(&[("width", width), ("signed", signed)]);
            for value in [plugin.smallest, -1, 0, 1, plugin.largest] {
                let mut row = Vec::new();
                match u64::try_from(value) {
                    Ok(value) => write_uint(&mut row, value),
                    Err(_) => write_int(&mut row, i64::try_from(value).unwrap()),
                }
                let stored = plugin.serialize(&BytesColumn::from_rows([Some(&row)]));
                if value < plugin.smallest {
                    assert_eq!(stored.errors.len(), 1);
                    continue;
                }
                assert_eq!(stored.rows.data.len().to_string(), width);
                let back = plugin.deserialize(&stored.rows);
                assert_eq!(
                    back.rows.data, row,
                    "{value} in {width} bytes, signed {signed}"
                );
            }
        }
    }
}

#[test]
fn eight_bytes_big_endian_is_the_default() {
    let outcome = integer(&[]).serialize(&BytesColumn::from_rows([Some(b"\xff")]));
    assert_eq!(outcome.rows.data, [0xff; 8]);
    let outcome = integer(&[]).serialize(&BytesColumn::from_rows([Some(b"\xcd\x01\x02")]));
    assert_eq!(outcome.rows.data, [0, 0, 0, 0, 0, 0, 1, 2]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let rows = [
        Some(&b"\xcd\x01\0"[..]),
        Some(b"\xa1x"),
        Some(b"\xca\0\0\0\0"),
        None,
    ];
    let outcome = integer(&[("width", "1")]).serialize(&BytesColumn::from_rows(rows));
    let errors: Vec<_> = outcome
        .errors
        .iter()
        .map(|error| error.message.as_str())
        .collect();
    assert_eq!(
        errors,
        [
            "256 is not between -128 and 127",
            "not an integer",
            "not an integer"
        ]
    );
    let outcome = integer(&[]).deserialize(&BytesColumn::from_rows([Some("short")]));
    assert_eq!(outcome.errors[0].message, "5 bytes instead of 8");
}

#[test]
fn a_wrong_configuration_is_refused() {
    for option in [
        ("width", "3"),
        ("width", "x"),
        ("signed", "yes"),
        ("wide", "8"),
    ] {
        assert!(
            Integer::new(&Config::new("t", [option])).is_err(),
            "{option:?}"
        );
    }
}
