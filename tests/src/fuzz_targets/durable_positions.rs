//! The file that says how far each partition is durable: any bytes, and slots with any numbers whose
//! checksums fit. Whatever it says, what is served is what was written.

use std::path::Path;

use arbitrary::{Arbitrary, Result, Unstructured};

use super::disk::{self, Stop};

const SLOT: usize = 64;

/// The first byte says how the machine stopped, and whether the rest is the file or slots for it.
pub fn run(input: &[u8]) {
    let Some((how, rest)) = input.split_first() else {
        return;
    };
    let disk = disk::image(match how & 1 {
        0 => Stop::Kill,
        _ => Stop::PowerLoss,
    });
    let path = Path::new(disk::DIR).join("durable-positions");
    let written = disk::read(&disk, &path);
    let bytes = match how & 2 {
        0 => rest.to_vec(),
        _ => slots(written, &mut Unstructured::new(rest)),
    };
    disk::write(&disk, &path, &bytes);
    disk::recover_unforged(&disk);
}

/// The file with some numbers of its slots changed, checksums made to fit.
fn slots(mut file: Vec<u8>, u: &mut Unstructured<'_>) -> Vec<u8> {
    for slot in file.chunks_exact_mut(SLOT).skip(2).take(4) {
        // Too few bytes change fewer slots.
        let _ = change(slot, u);
        let crc = crc32fast::hash(slot.get(..SLOT - 4).unwrap_or_default());
        if let Some(place) = slot.get_mut(SLOT - 4..) {
            place.copy_from_slice(&crc.to_be_bytes());
        }
    }
    file
}

fn change(slot: &mut [u8], u: &mut Unstructured<'_>) -> Result<()> {
    for _ in 0..4 {
        // Epoch, segment, position, end, boot, sequence; small numbers mostly.
        let (at, len) = *u.choose(&[(20, 4), (24, 8), (32, 4), (36, 8), (44, 8), (52, 8)])?;
        let number = match u8::arbitrary(u)? {
            255 => u64::arbitrary(u)?,
            254 => u64::from(u16::arbitrary(u)?),
            small => u64::from(small),
        };
        let bytes = number.to_be_bytes();
        let bytes = bytes.get(8 - len..).unwrap_or_default();
        if let Some(place) = slot.get_mut(at..at + len) {
            place.copy_from_slice(bytes);
        }
    }
    Ok(())
}
