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
        if left == 0 {
            let Some(level) = depth.checked_sub(1) else {
                return Ok(Some(at));
            };
            depth = level;
            left = outer.get(level).copied().unwrap_or_default();
            continue;
        }
        let (start, values) = match Head::short_container(bytes, at) {
            Some(container) => container,
            None => match Head::read(bytes, at)? {
                Head::Scalar { end } => {
                    (at, left) = step_over_scalars(bytes, end, left - 1);
                    continue;
                }
                Head::Container { start, values } => (start, values),
            },
        };
        left -= 1;
        let Some(level) = outer.get_mut(depth).filter(|_| depth < depth_max) else {
            return Err(ShapeError::TooDeep { position: at });
        };
        let Some(fewer) = values_left.checked_sub(values) else {
            return Ok(None);
        };
        values_left = fewer;
        // Most hold only scalars, which takes no step down.
        let inside_left;
        (at, inside_left) = step_over_scalars(bytes, start, values);
        if inside_left > 0 {
            *level = left;
            depth += 1;
            left = inside_left;
        }
    }
}

/// Steps over values without others in them, as many as stand here in a row and no more than `left`: where the next one
/// stands, and how many are left then. What takes a closer look, as all that is wrong does, is left where it is.
#[inline(always)]
fn step_over_scalars(bytes: &[u8], mut at: usize, mut left: u64) -> (usize, u64) {
    while left > 0
        && let Some(marker) = bytes.get(at)
    {
        let known = SCALAR_LENGTHS[usize::from(*marker)];
        let mut len = usize::from(known);
        if known == TOLD_BY_THE_NEXT_BYTE
            && let Some(told) = bytes.get(at + 1)
        {
            len = 2 + usize::from(*told);
        }
        // One that is not known, which is 0, is longer than all there is.
        if len.wrapping_sub(1) >= bytes.len() - at {
            break;
        }
        at += len;
        left -= 1;
    }
    (at, left)
}

/// How long a value with this marker is, if that is told at once; otherwise 0.
const SCALAR_LENGTHS: [u8; 256] = {
    let mut lengths = [0; 256];
    let mut marker = 0_u8;
    loop {
        lengths[marker as usize] = match marker {
            0x00..=0x7F | 0xE0..=0xFF | 0xC0 | 0xC2 | 0xC3 => 1,
            0xA0..=0xBF => 1 + (marker & 0x1F),
            0xC4 | 0xD9 => TOLD_BY_THE_NEXT_BYTE,
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

/// Stands for the length of short bytes or text. Those that end behind it are not so long: what they have is told.
const TOLD_BY_THE_NEXT_BYTE: u8 = 0xFF;

/// What stands at a position, as far as its first bytes tell.
enum Head {
    /// A value without others in it.
    Scalar { end: usize },
    /// An array or a map: where its values start, and how many there are, keys included.
    Container { start: usize, values: u64 },
}

impl Head {
    /// What most values are in, a record for one: an array or a map of a few, where they start and how many there are.
    /// None of one that is cut off, too.
    #[inline(always)]
    fn short_container(bytes: &[u8], at: usize) -> Option<(usize, u64)> {
        let marker = *bytes.get(at).filter(|marker| **marker & 0xE0 == 0x80)?;
        let elements = u64::from(marker & 0x0F);
        let values = elements << u32::from(marker < 0x90);
        (values < (bytes.len() - at) as u64).then_some((at + 1, values))
    }

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
            [marker @ 0x80..=0x8F, ..] => container(1, u64::from(marker & 0x0F) * 2),
            [marker @ 0x90..=0x9F, ..] => container(1, u64::from(marker & 0x0F)),
            [0xDC, a, b, ..] => container(3, u64::from(u16::from_be_bytes([a, b]))),
            [0xDD, a, b, c, d, ..] => container(5, u64::from(u32::from_be_bytes([a, b, c, d]))),
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
#[path = "shape_tests.rs"]
mod tests;
