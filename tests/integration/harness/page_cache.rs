//! What of a partition's files is in memory, and how to let it go.

use std::fs;
use std::io::IoSliceMut;
use std::path::Path;

use rustix::fs::{Advice, fadvise};
use rustix::io::{ReadWriteFlags, preadv2};

/// Whether the start of a file is in memory.
fn is_cached(file: &fs::File) -> bool {
    let mut byte = [0];
    preadv2(
        file,
        &mut [IoSliceMut::new(&mut byte)],
        0,
        ReadWriteFlags::NOWAIT,
    )
    .is_ok()
}

/// Lets the cache go of a partition's records; false on a file system that only has memory.
pub(crate) fn forget(partition: &Path) -> bool {
    for entry in fs::read_dir(partition).expect("it is there") {
        let path = entry.expect("it can be listed").path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let file = fs::File::open(&path).expect("it can be opened");
            file.sync_all().expect("it can be synced");
            fadvise(&file, 0, None, Advice::DontNeed).expect("a hint is taken");
            if is_cached(&file) {
                return false;
            }
        }
    }
    true
}
