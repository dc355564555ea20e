//! Walks MessagePack without building anything: is this exactly one value, does every length lie
//! inside the frame, is it flat enough, is it free of ext types? Uses a fixed stack, so depth and
//! declared lengths cost nothing. Everything that reads a frame may rely on a body that passed.

use broker_model::limits::NESTING_DEPTH_MAX;

use crate::error_code::ErrorCode;
use crate::wire_error::{ErrorData, WireError};

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
    let end = value_end(body, 0)?;
    if end < body.len() {
        return Err(ShapeError::TrailingBytes {
            position: end,
            extra: body.len() - end,
        });
    }
    Ok(())
}

/// Where the value that starts at `from` ends. Nesting is counted from this value on.
///
/// # Errors
/// The first thing wrong, with its position in `bytes`.
pub fn value_end(bytes: &[u8], from: usize) -> Result<usize, ShapeError> {
    let mut at = from;
    // Values still to come on each open level.
    let mut open = [0_u64; NESTING_DEPTH_MAX];
    let mut depth = 0;
    loop {
        let head = Head::read(bytes, at)?;
        if let Some(children) = head.children {
            let Some(level) = open.get_mut(depth) else {
                return Err(ShapeError::TooDeep { position: at });
            };
            *level = children;
            if children > 0 {
                depth += 1;
                at = head.end;
                continue;
            }
        }
        at = head.end;
        // One value is complete; so may be the levels it was the last of.
        loop {
            let Some(level) = depth.checked_sub(1).and_then(|index| open.get_mut(index)) else {
                return Ok(at);
            };
            *level -= 1;
            if *level > 0 {
                break;
            }
            depth -= 1;
        }
    }
}

/// The first bytes of a value: everything of a scalar, marker and length of an array or map.
struct Head {
    /// Where the scalar, or the marker and length of the container, ends.
    end: usize,
    /// Values inside, for containers.
    children: Option<u64>,
}

impl Head {
    fn read(bytes: &[u8], at: usize) -> Result<Self, ShapeError> {
        let truncated = |needed| ShapeError::Truncated {
            position: at,
            needed,
        };
        let marker = *bytes.get(at).ok_or(truncated(1))?;
        // Length of the length field, and what it counts.
        let (len_bytes, body) = match marker {
            0x00..=0x7F | 0xE0..=0xFF | 0xC0 | 0xC2 | 0xC3 => (0, Body::Bytes(0)),
            0x80..=0x8F => (0, Body::Values(u64::from(marker & 0x0F) * 2)),
            0x90..=0x9F => (0, Body::Values(u64::from(marker & 0x0F))),
            0xA0..=0xBF => (0, Body::Bytes(u64::from(marker & 0x1F))),
            0xC1 => return Err(ShapeError::Reserved { position: at }),
            0xC4 | 0xD9 => (1, Body::CountedBytes),
            0xC5 | 0xDA => (2, Body::CountedBytes),
            0xC6 | 0xDB => (4, Body::CountedBytes),
            0xC7..=0xC9 | 0xD4..=0xD8 => return Err(ShapeError::Extension { position: at }),
            0xCC | 0xD0 => (0, Body::Bytes(1)),
            0xCD | 0xD1 => (0, Body::Bytes(2)),
            0xCA | 0xCE | 0xD2 => (0, Body::Bytes(4)),
            0xCB | 0xCF | 0xD3 => (0, Body::Bytes(8)),
            0xDC => (2, Body::CountedValues(1)),
            0xDD => (4, Body::CountedValues(1)),
            0xDE => (2, Body::CountedValues(2)),
            0xDF => (4, Body::CountedValues(2)),
        };
        let start = at + 1 + len_bytes;
        let length = match bytes.get(at + 1..start) {
            Some(field) => big_endian(field),
            None => return Err(truncated((start - bytes.len()) as u64)),
        };
        let left = (bytes.len() - start) as u64;
        let (needed, children) = match body {
            Body::Bytes(count) => (count, None),
            Body::CountedBytes => (length, None),
            Body::Values(count) => (count, Some(count)),
            Body::CountedValues(each) => (length * each, Some(length * each)),
        };
        // Every value inside takes at least one byte, so a lying count is caught right here.
        if needed > left {
            return Err(truncated(needed - left));
        }
        let scalar = match children {
            Some(_) => 0,
            None => usize::try_from(needed).map_err(|_| truncated(needed))?,
        };
        Ok(Self {
            end: start + scalar,
            children,
        })
    }
}

enum Body {
    Bytes(u64),
    CountedBytes,
    Values(u64),
    CountedValues(u64),
}

fn big_endian(field: &[u8]) -> u64 {
    field
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
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
