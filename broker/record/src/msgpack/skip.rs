//! Steps over one MessagePack value of any type but ext: keys and values that a serializer plugin is to
//! turn into bytes. Without recursion, so that no nesting can overflow the stack.

use broker_model::limits::NESTING_DEPTH_MAX;

use super::Cursor;
use crate::MalformedReason;

impl<'a> Cursor<'a> {
    /// The bytes of the value that starts here, whatever it is; the cursor then stands behind it.
    pub(crate) fn any_value(&mut self) -> Result<&'a [u8], MalformedReason> {
        let start = *self;
        // How many values are left in each array or map around the place where the cursor is.
        let mut left = [0_u64; NESTING_DEPTH_MAX];
        let mut depth = 0;
        loop {
            let children = self.step()?;
            if children > 0 {
                let Some(level) = left.get_mut(depth) else {
                    return Err(MalformedReason::TooDeep);
                };
                *level = children;
                depth += 1;
                continue;
            }
            while depth > 0 {
                left[depth - 1] -= 1;
                if left[depth - 1] > 0 {
                    break;
                }
                depth -= 1;
            }
            if depth == 0 {
                return Ok(self.since(start));
            }
        }
    }

    /// Steps over a marker and the bytes that belong to it; answers how many values follow inside it.
    fn step(&mut self) -> Result<u64, MalformedReason> {
        let rest = self.rest();
        let marker = *rest.first().ok_or(MalformedReason::Truncated)?;
        let (bytes, children) = match marker {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => (1, 0),
            0x80..=0x8f => (1, 2 * u64::from(marker & 0x0f)),
            0x90..=0x9f => (1, u64::from(marker & 0x0f)),
            0xa0..=0xbf => (1 + u64::from(marker & 0x1f), 0),
            0xcc | 0xd0 => (2, 0),
            0xcd | 0xd1 => (3, 0),
            0xca | 0xce | 0xd2 => (5, 0),
            0xcb | 0xcf | 0xd3 => (9, 0),
            0xc4 | 0xd9 => (2 + length(rest, 1)?, 0),
            0xc5 | 0xda => (3 + length(rest, 2)?, 0),
            0xc6 | 0xdb => (5 + length(rest, 4)?, 0),
            0xdc => (3, length(rest, 2)?),
            0xdd => (5, length(rest, 4)?),
            0xde => (3, 2 * length(rest, 2)?),
            0xdf => (5, 2 * length(rest, 4)?),
            0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => {
                return Err(MalformedReason::NoValue { marker });
            }
        };
        let bytes = usize::try_from(bytes).map_err(|_| MalformedReason::Truncated)?;
        let rest = rest.get(bytes..).ok_or(MalformedReason::Truncated)?;
        *self = Cursor::new(rest);
        Ok(children)
    }
}

/// The big-endian number of so many bytes behind the marker.
fn length(rest: &[u8], bytes: usize) -> Result<u64, MalformedReason> {
    let digits = rest.get(1..=bytes).ok_or(MalformedReason::Truncated)?;
    Ok(digits
        .iter()
        .fold(0, |number, digit| number << 8 | u64::from(*digit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skip(bytes: &[u8]) -> Result<(usize, usize), MalformedReason> {
        let mut cursor = Cursor::new(bytes);
        let value = cursor.any_value()?;
        Ok((value.len(), cursor.rest().len()))
    }

    #[test]
    fn every_type_but_ext_is_stepped_over() {
        for (bytes, len) in [
            (&b"\x07\x01"[..], 1),
            (b"\xc0", 1),
            (b"\xa2hi\x01", 3),
            (b"\xc4\x01x", 3),
            (b"\xc5\x00\x01x", 4),
            (b"\xda\x00\x01x", 4),
            (b"\xdb\x00\x00\x00\x01x", 6),
            (b"\xcb12345678", 9),
            (b"\x82\x01\x93\x01\x90\x80\xa1x\xc3\x05", 9),
            (b"\xdc\x00\x02\x01\x02\x03", 5),
            (b"\xde\x00\x01\x01\x91\xc0\x09", 6),
        ] {
            assert_eq!(skip(bytes), Ok((len, bytes.len() - len)), "{bytes:x?}");
        }
    }

    #[test]
    fn ext_and_unfinished_and_too_deep_values_are_refused() {
        assert_eq!(
            skip(b"\xd4\x01\x02"),
            Err(MalformedReason::NoValue { marker: 0xd4 })
        );
        for bytes in [
            &b""[..],
            b"\xa5hi",
            b"\x92\x01",
            b"\xdf\xff\xff\xff\xff",
            b"\xc6\xff",
        ] {
            assert_eq!(skip(bytes), Err(MalformedReason::Truncated), "{bytes:x?}");
        }
        let nested = |depth: usize| [vec![0x91; depth], vec![0xc0]].concat();
        assert!(skip(&nested(NESTING_DEPTH_MAX)).is_ok());
        assert_eq!(
            skip(&nested(NESTING_DEPTH_MAX + 1)),
            Err(MalformedReason::TooDeep)
        );
    }
}
