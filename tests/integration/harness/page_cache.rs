//! What of a partition's files is in memory, and how to let it go.

use std::fs;
use std::io::IoSliceMut;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Advice, fadvise};
use rustix::io::{ReadWriteFlags, preadv2};

/// How often the cache is asked to let go of a file. What is just being read stays, and a look for it begins to read.
const ATTEMPTS: u32 = 200;

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
    let entries = fs::read_dir(partition).expect("it is there");
    let mut paths = entries.map(|entry| entry.expect("it can be listed").path());
    paths.all(|path| {
        path.extension().is_none_or(|extension| extension != "log") || forget_file(&path)
    })
}

fn forget_file(path: &Path) -> bool {
    let file = fs::File::open(path).expect("it can be opened");
    // A look reads no more than the page it is for.
    fadvise(&file, 0, None, Advice::Random).expect("a hint is taken");
    for _ in 0..ATTEMPTS {
        file.sync_all().expect("it can be synced");
        fadvise(&file, 0, None, Advice::DontNeed).expect("a hint is taken");
        if !is_cached(&file) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}
