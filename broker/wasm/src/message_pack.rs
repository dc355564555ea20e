//! Whether bytes are exactly one MessagePack value that the broker may put into an answer: whole, with
//! nothing behind it, not nested too deep, without ext types, its text in UTF-8.

use broker_model::limits::NESTING_DEPTH_MAX;

/// Why bytes are not one value.
pub(crate) fn problem(bytes: &[u8]) -> Option<&'static str> {
    let mut rest = bytes;
    // How many values are still to come on each level, the innermost last.
    let mut open = [0_u64; NESTING_DEPTH_MAX];
    let mut depth = 0;
    loop {
        match step(&mut rest) {
            Err(problem) => return Some(problem),
            Ok(None) => {}
            Ok(Some(_)) if depth == NESTING_DEPTH_MAX => return Some("is nested too deep"),
            Ok(Some(0)) => {}
            Ok(Some(values)) => {
                open[depth] = values;
                depth += 1;
                continue;
            }
        }
        // A value has ended, and with it every level whose last it was.
        loop {
            if depth == 0 {
                return (!rest.is_empty()).then_some("has bytes behind its MessagePack value");
            }
            open[depth - 1] -= 1;
            if open[depth - 1] > 0 {
                break;
            }
            depth -= 1;
        }
    }
}

const TORN: &str = "is not a whole MessagePack value";

/// Steps over one marker with its bytes; answers how many values follow as elements of an array or a map.
fn step(rest: &mut &[u8]) -> Result<Option<u64>, &'static str> {
    let marker = take(rest, 1)?[0];
    match marker {
        0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => Ok(None),
        0x80..=0x8f => Ok(Some(u64::from(marker & 0x0f) * 2)),
        0x90..=0x9f => Ok(Some(u64::from(marker & 0x0f))),
        0xa0..=0xbf => text(rest, u64::from(marker & 0x1f)),
        0xc4..=0xc6 => {
            let len = number(rest, 1 << (marker - 0xc4))?;
            take(rest, len).map(|_| None)
        }
        0xca | 0xce | 0xd2 => take(rest, 4).map(|_| None),
        0xcb | 0xcf | 0xd3 => take(rest, 8).map(|_| None),
        0xcc | 0xd0 => take(rest, 1).map(|_| None),
        0xcd | 0xd1 => take(rest, 2).map(|_| None),
        0xd9..=0xdb => {
            let len = number(rest, 1 << (marker - 0xd9))?;
            text(rest, len)
        }
        0xdc | 0xdd => number(rest, 2 << (marker - 0xdc)).map(Some),
        0xde | 0xdf => number(rest, 2 << (marker - 0xde)).map(|pairs| Some(pairs * 2)),
        0xc1 => Err("has a marker that MessagePack does not have"),
        0xc7..=0xc9 | 0xd4..=0xd8 => Err("has a MessagePack ext type, which is not used here"),
    }
}

fn text(rest: &mut &[u8], len: u64) -> Result<Option<u64>, &'static str> {
    let bytes = take(rest, len)?;
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(None),
        Err(_) => Err("has a str that is not UTF-8"),
    }
}

/// A big-endian number of so many bytes.
fn number(rest: &mut &[u8], bytes: u64) -> Result<u64, &'static str> {
    let bytes = take(rest, bytes)?.iter();
    Ok(bytes.fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn take<'a>(rest: &mut &'a [u8], bytes: u64) -> Result<&'a [u8], &'static str> {
    let at = usize::try_from(bytes).map_err(|_| TORN)?;
    let (taken, left) = rest.split_at_checked(at).ok_or(TORN)?;
    *rest = left;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_of_every_form_is_good() {
        let good: [&[u8]; 19] = [
            b"\x00",
            b"\xc0",
            b"\xff",
            b"\xa2ab",
            b"\xd9\x01a",
            b"\xda\0\x01a",
            b"\xdb\0\0\0\x01a",
            b"\xc4\x01\xff",
            b"\xc5\0\x01\xff",
            b"\xc6\0\0\0\x01\xff",
            b"\xca\0\0\0\0",
            b"\xcf\0\0\0\0\0\0\0\0",
            b"\xcc\xff",
            b"\xd1\xff\xff",
            b"\x92\x01\x90",
            b"\xdc\0\x02\x01\x02",
            b"\xdd\0\0\0\x01\x80",
            b"\x81\xa1a\x91\xc3",
            b"\xde\0\x01\x01\x02",
        ];
        for value in good {
            assert_eq!(problem(value), None, "{value:x?}");
        }
    }

    #[test]
    fn every_proper_prefix_of_a_value_is_torn() {
        let value = b"\x82\xa1a\x92\xcd\x01\x02\xc4\x02xy\xd9\x01b\xcb\0\0\0\0\0\0\0\0";
        assert_eq!(problem(value), None);
        for end in 0..value.len() {
            assert_eq!(problem(&value[..end]), Some(TORN), "cut at {end}");
        }
    }

    #[test]
    fn what_does_not_belong_into_an_answer_is_named() {
        assert_eq!(
            problem(b"\x01\x02"),
            Some("has bytes behind its MessagePack value")
        );
        assert_eq!(problem(b"\xa1\xff"), Some("has a str that is not UTF-8"));
        assert!(problem(b"\xd4\x01\x02").unwrap().contains("ext type"));
        assert!(problem(b"\xc1").unwrap().contains("marker"));
        assert_eq!(problem(b"\xdf\xff\xff\xff\xff"), Some(TORN));
        let nested = |levels: usize| [vec![0x91; levels], vec![0xc0]].concat();
        assert_eq!(problem(&nested(NESTING_DEPTH_MAX)), None);
        assert_eq!(
            problem(&nested(NESTING_DEPTH_MAX + 1)),
            Some("is nested too deep")
        );
        let empty_inside = [vec![0x91; NESTING_DEPTH_MAX], vec![0x90]].concat();
        assert_eq!(problem(&empty_inside), Some("is nested too deep"));
    }
}
