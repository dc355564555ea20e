//! Walks MessagePack without building anything: is this exactly one value, does every length lie
//! inside the frame, is it flat enough, is it free of ext types? Uses a fixed stack, so depth and
//! declared lengths cost nothing. Everything that reads a frame may rely on a body that passed.

use broker_model::limits::NESTING_DEPTH_MAX;

use crate::error_code::ErrorCode;
use crate::wire_error::{ErrorData, WireError};

/// Values that are looked at in the start of a body.
const START_VALUES_MAX: u64 = 1_000;

/// Why a byte string is not one acceptable MessagePack value. Positions count from its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// The bytes end before the value does.
    #[error("the value at byte {position} lacks {needed} bytes or more")]
    Truncated {
        /// Where the value starts.
        position: usize,
        /// How many bytes are missing at least.
        needed: u64,
    },
    /// Arrays and maps in arrays and maps in …
    #[error("the array or map at byte {position} is nested deeper than {NESTING_DEPTH_MAX} levels")]
    TooDeep {
        /// Where the value starts.
        position: usize,
    },
    /// An extension type.
    #[error("the value at byte {position} is an extension type, which this protocol does not use")]
    Extension {
        /// Where the value starts.
        position: usize,
    },
    /// The one marker that MessagePack never uses.
    #[error("byte {position} is 0xC1, which MessagePack never uses")]
    Reserved {
        /// Where it is.
        position: usize,
    },
    /// Bytes after the value.
    #[error("{extra} bytes follow the value, which ends at byte {position}")]
    TrailingBytes {
        /// Where the value ends.
        position: usize,
        /// How many bytes follow.
        extra: usize,
    },
}

impl ShapeError {
    /// The byte the error is about.
    pub const fn position(&self) -> usize {
        match self {
            Self::Truncated { position, .. }
            | Self::TooDeep { position }
            | Self::Extension { position }
            | Self::Reserved { position }
            | Self::TrailingBytes { position, .. } => *position,
        }
    }
}

impl From<ShapeError> for WireError {
    fn from(error: ShapeError) -> Self {
        let code = match error {
            ShapeError::TooDeep { .. } => ErrorCode::NestingTooDeep,
            _ => ErrorCode::MalformedFrame,
        };
        let limit = matches!(error, ShapeError::TooDeep { .. }).then_some(NESTING_DEPTH_MAX as u64);
        Self::new(code, error.to_string()).with_data(ErrorData {
            position: Some(error.position() as u64),
            limit,
            ..ErrorData::default()
        })
    }
}

/// Checks that `body` is exactly one acceptable value.
///
/// # Errors
/// The first thing wrong, with its position.
pub fn check(body: &[u8]) -> Result<(), ShapeError> {
    check_within(body, u64::MAX).map(drop)
}

/// How much there is in a body, as far as it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walked {
    /// All of it, and it is acceptable.
    Whole,
    /// More values than were to be walked at most. It may be acceptable or not.
    Further,
}

/// The same, walking over so many values at most: for whoever has not the time for more.
///
/// # Errors
/// The first thing wrong, with its position.
pub fn check_within(body: &[u8], values_max: u64) -> Result<Walked, ShapeError> {
    let Some(end) = walk(body, 0, NESTING_DEPTH_MAX, values_max)? else {
        return Ok(Walked::Further);
    };
    if end < body.len() {
        return Err(ShapeError::TrailingBytes {
            position: end,
            extra: body.len() - end,
        });
    }
    Ok(Walked::Whole)
}

/// Checks what there is of a body whose rest has not come, as far as it tells, and so many values at most.
///
/// # Errors
/// What is wrong whatever the rest is, with its position.
pub fn check_start(start: &[u8]) -> Result<(), ShapeError> {
    match walk(start, 0, NESTING_DEPTH_MAX, START_VALUES_MAX) {
        // The rest may have what is missing.
        Ok(_) | Err(ShapeError::Truncated { .. }) => Ok(()),
        Err(wrong) => Err(wrong),
    }
}

/// Where the value that starts at `from` ends. Nesting is counted from this value on.
///
/// # Errors
/// The first thing wrong, with its position in `bytes`.
pub fn value_end(bytes: &[u8], from: usize) -> Result<usize, ShapeError> {
    value_end_within(bytes, from, NESTING_DEPTH_MAX)
}

/// Like [`value_end`], for a value that may have fewer levels: it will stand inside others.
pub(crate) fn value_end_within(
    bytes: &[u8],
    from: usize,
    depth_max: usize,
) -> Result<usize, ShapeError> {
    let end = walk(bytes, from, depth_max, u64::MAX)?;
    Ok(end.expect("fewer values lie in a slice than a u64 counts"))
}

/// Where a value ends; none when there are more than `values_max` in it.
#[inline(always)]
fn walk(
    bytes: &[u8],
    from: usize,
    depth_max: usize,
    values_max: u64,
) -> Result<Option<usize>, ShapeError> {
    let mut at = from;
    let mut values_left = values_max;
    // Values still to come: on this level, and on those around it.
    let mut left = 1_u64;
    let mut outer = [0_u64; NESTING_DEPTH_MAX];
    let mut depth = 0_usize;
    loop {
        while left == 0 {
            let Some(level) = depth.checked_sub(1) else {
                return Ok(Some(at));
            };
            depth = level;
            left = outer.get(level).copied().unwrap_or_default();
        }
        left -= 1;
        if let Some(len) = bytes.get(at).map(|marker| fixed_len(*marker))
            && len > 0
            && bytes.len() - at >= len
        {
            at += len;
            continue;
        }
        match Head::read(bytes, at)? {
            Head::Scalar { end } => at = end,
            Head::Container { start, values } => {
                let Some(level) = outer.get_mut(depth).filter(|_| depth < depth_max) else {
                    return Err(ShapeError::TooDeep { position: at });
                };
                let Some(fewer) = values_left.checked_sub(values) else {
                    return Ok(None);
                };
                values_left = fewer;
                *level = left;
                depth += 1;
                left = values;
                at = start;
            }
        }
    }
}

/// How long a value with this marker is, if the marker alone says so; 0 otherwise.
fn fixed_len(marker: u8) -> usize {
    const LENGTHS: [u8; 256] = {
        let mut lengths = [0; 256];
        let mut marker = 0_u8;
        loop {
            lengths[marker as usize] = match marker {
                0x00..=0x7F | 0xE0..=0xFF | 0xC0 | 0xC2 | 0xC3 => 1,
                0xA0..=0xBF => 1 + (marker & 0x1F),
                0xCC | 0xD0 => 2,
                0xCD | 0xD1 => 3,
                0xCA | 0xCE | 0xD2 => 5,
                0xCB | 0xCF | 0xD3 => 9,
                _ => 0,
            };
            if marker == u8::MAX {
                break lengths;
            }
            marker += 1;
        }
    };
    usize::from(LENGTHS[usize::from(marker)])
}

/// What stands at a position, as far as its first bytes tell.
enum Head {
    /// A value without others in it.
    Scalar { end: usize },
    /// An array or a map: where its values start, and how many there are, keys included.
    Container { start: usize, values: u64 },
}

impl Head {
    #[inline(always)]
    fn read(bytes: &[u8], at: usize) -> Result<Self, ShapeError> {
        let (position, rest) = (at, bytes.get(at..).unwrap_or_default());
        let scalar = |len: usize| match len <= rest.len() {
            true => Ok(Self::Scalar { end: at + len }),
            false => Err(truncated(position, len - rest.len())),
        };
        // Every value inside takes at least one byte, so a lying count is caught right here.
        let container = |header: usize, values: u64| match rest.len().checked_sub(header) {
            Some(left) if values <= left as u64 => Ok(Self::Container {
                start: at + header,
                values,
            }),
            Some(left) => Err(ShapeError::Truncated {
                position,
                needed: values - left as u64,
            }),
            None => Err(truncated(position, header - rest.len())),
        };
        match *rest {
            [0x00..=0x7F | 0xE0..=0xFF | 0xC0 | 0xC2 | 0xC3, ..] => scalar(1),
            [marker @ 0xA0..=0xBF, ..] => scalar(1 + usize::from(marker & 0x1F)),
            [0xC4 | 0xD9, a, ..] => scalar(2 + usize::from(a)),
            [0xC5 | 0xDA, a, b, ..] => scalar(3 + usize::from(u16::from_be_bytes([a, b]))),
            [0xC6 | 0xDB, a, b, c, d, ..] => {
                let len = usize::try_from(u32::from_be_bytes([a, b, c, d]));
                scalar(len.unwrap_or(usize::MAX).saturating_add(5))
            }
            [0xCC | 0xD0, ..] => scalar(2),
            [0xCD | 0xD1, ..] => scalar(3),
            [0xCA | 0xCE | 0xD2, ..] => scalar(5),
            [0xCB | 0xCF | 0xD3, ..] => scalar(9),
            [marker @ 0x90..=0x9F, ..] => container(1, u64::from(marker & 0x0F)),
            [0xDC, a, b, ..] => container(3, u64::from(u16::from_be_bytes([a, b]))),
            [0xDD, a, b, c, d, ..] => container(5, u64::from(u32::from_be_bytes([a, b, c, d]))),
            [marker @ 0x80..=0x8F, ..] => container(1, u64::from(marker & 0x0F) * 2),
            [0xDE, a, b, ..] => container(3, u64::from(u16::from_be_bytes([a, b])) * 2),
            [0xDF, a, b, c, d, ..] => container(5, u64::from(u32::from_be_bytes([a, b, c, d])) * 2),
            [0xC1, ..] => Err(ShapeError::Reserved { position }),
            [0xC7..=0xC9 | 0xD4..=0xD8, ..] => Err(ShapeError::Extension { position }),
            // Only the length field can be cut off here.
            [] | [0xC4..=0xC6 | 0xD9..=0xDF, ..] => Err(truncated(position, 1)),
        }
    }
}

fn truncated(position: usize, needed: usize) -> ShapeError {
    ShapeError::Truncated {
        position,
        needed: needed as u64,
    }
}

#[cfg(test)]
mod tests {
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
}
