//! Many numbers in MessagePack, each in its shortest form: answers about routed records have two for every
//! record, so they are written block by block and not byte by byte.

/// Bytes that the longest number takes.
const NUMBER_BYTES_MAX: usize = 9;
/// Numbers that room is made for at once.
const BLOCK: usize = 256;

/// Writes the elements of an array of numbers or nil.
pub(crate) fn write_numbers(
    mut values: impl ExactSizeIterator<Item = Option<u64>>,
    out: &mut Vec<u8>,
) {
    while values.len() > 0 {
        let mut end = out.len();
        let block = values.len().min(BLOCK);
        out.resize(end + block * NUMBER_BYTES_MAX, 0);
        for value in values.by_ref().take(block) {
            let room = out.get_mut(end..).and_then(<[u8]>::first_chunk_mut);
            let len = room.map_or(0, |room| put_shortest(value, room));
            end += len;
        }
        out.truncate(end);
    }
}

/// Puts a number in its shortest form into the room for the longest; how many of the bytes that takes. The others
/// may be anything then.
#[inline(always)]
fn put_shortest(value: Option<u64>, room: &mut [u8; NUMBER_BYTES_MAX]) -> usize {
    // The marker is the first byte of the word, the number stands right behind it.
    let (word, len): (u64, usize) = match value {
        None => (0xC0 << 56, 1),
        Some(number @ 0..=0x7F) => (number << 56, 1),
        Some(number @ 0x80..=0xFF) => (0xCC << 56 | number << 48, 2),
        Some(number @ 0x100..=0xFFFF) => (0xCD << 56 | number << 40, 3),
        Some(number @ 0x1_0000..=0xFFFF_FFFF) => (0xCE << 56 | number << 24, 5),
        Some(number) => {
            let [marker, rest @ ..] = room;
            (*marker, *rest) = (0xCF, number.to_be_bytes());
            return NUMBER_BYTES_MAX;
        }
    };
    let [room @ .., _] = room;
    *room = word.to_be_bytes();
    len
}

/// A number in its shortest form, and how many of the bytes that is.
fn shortest(value: Option<u64>) -> ([u8; NUMBER_BYTES_MAX], usize) {
    let mut bytes = [0; NUMBER_BYTES_MAX];
    let len = put_shortest(value, &mut bytes);
    (bytes, len)
}

/// How many bytes a number takes in its shortest form.
pub(crate) fn shortest_len(value: u64) -> usize {
    shortest(Some(value)).1
}

/// Writes the same element so many times.
pub(crate) fn write_same(value: Option<u64>, count: usize, out: &mut Vec<u8>) {
    let (bytes, len) = shortest(value);
    let Some(one) = bytes.get(..len) else { return };
    match one {
        [byte] => out.resize(out.len() + count, *byte),
        _ => repeat(one, count, out),
    }
}

/// Writes `one` so many times, most of it by copying what was written.
fn repeat(one: &[u8], count: usize, out: &mut Vec<u8>) {
    let start = out.len();
    let end = start + one.len() * count;
    out.reserve(end - start);
    while out.len() < end {
        match out.len() - start {
            0 => out.extend_from_slice(one),
            written => out.extend_from_within(start..start + written.min(end - out.len())),
        }
    }
}

/// Writes so many numbers, each the one before and one more. Stops at the largest number that there is.
pub(crate) fn write_rising(first: u64, count: u32, out: &mut Vec<u8>) {
    let mut next = Some(first);
    let mut left = count;
    while let Some(first) = next
        && left > 0
    {
        // All of a run take the same number of bytes.
        let (_, len) = shortest(Some(first));
        let largest = match len {
            1 => 0x7F,
            2 => 0xFF,
            3 => 0xFFFF,
            5 => 0xFFFF_FFFF,
            _ => u64::MAX,
        };
        let room = u32::try_from(largest - first).unwrap_or(u32::MAX);
        let run = left.min(room.saturating_add(1));
        match len {
            3 => write_run(first, run, out, |[_, _, _, _, _, _, a, b]| [0xCD, a, b]),
            5 => write_run(first, run, out, |[_, _, _, _, a, b, c, d]| {
                [0xCE, a, b, c, d]
            }),
            _ => write_numbers((0..run).map(|index| Some(first + u64::from(index))), out),
        }
        left -= run;
        next = first.checked_add(u64::from(run));
    }
}

/// Writes numbers that take `N` bytes each, which are made from their eight.
fn write_run<const N: usize>(
    first: u64,
    count: u32,
    out: &mut Vec<u8>,
    form: impl Fn([u8; 8]) -> [u8; N],
) {
    let start = out.len();
    out.resize(start + N * count as usize, 0);
    let (places, _) = out.get_mut(start..).unwrap_or_default().as_chunks_mut();
    for (place, index) in places.iter_mut().zip(0..count) {
        *place = form((first + u64::from(index)).to_be_bytes());
    }
}
