//! The checkpoints and other small files of a log directory, each with any content, whose checksum fits
//! or not: the directory opens or says why not, and the data is served as it was written.

use super::disk::{self, Stop};

/// The files at the top of the directory, then the partition's.
const FILES: [&str; 11] = [
    "meta.properties",
    "recovery-point-checkpoint",
    "replication-offset-checkpoint",
    "orders-0/partition.metadata",
    "orders-0/leader-epoch-checkpoint",
    "orders-0/log-start-offset-checkpoint",
    "orders-0/cleaner-checkpoint",
    "orders-0/cleaning-swap",
    "log-directories",
    "clock-doubt",
    "orders-0/known-losses",
];

/// The first byte chooses the file, how the machine stopped, and whether a checksum is put below.
pub fn run(input: &[u8]) {
    let Some((how, content)) = input.split_first() else {
        return;
    };
    let disk = disk::image(match how & 0x40 {
        0 => Stop::Kill,
        _ => Stop::PowerLoss,
    });
    let Some(file) = FILES.get(usize::from(how & 0xf)) else {
        return;
    };
    let mut bytes = content.to_vec();
    if how & 0x80 != 0 {
        let crc = crc32fast::hash(&bytes);
        bytes.extend(format!("crc32={crc:08x}\n").into_bytes());
    }
    disk::write(&disk, &std::path::Path::new(disk::DIR).join(file), &bytes);
    disk::recover_unforged(&disk);
}
