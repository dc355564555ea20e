//! The files of a cleaning that is not finished: `{base}.{extension}.{id}.cleaned`. They are nothing
//! to anybody until the swap, and go with whoever owns them: a failed cleaning leaves none behind. What
//! a killed broker leaves behind is swept away when the log is opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use broker_model::Offset;

use crate::index::{IndexEntry, OffsetEntry, TimeEntry};
use crate::io::Io;
use crate::segment::file_name;
use crate::small_file::{CleanerCheckpoint, SmallFile};

/// The extension of every such file.
pub(crate) const CLEANED: &str = "cleaned";
/// The extensions of a segment's files.
pub(super) const EXTENSIONS: [&str; 3] = [OffsetEntry::EXTENSION, TimeEntry::EXTENSION, "log"];

/// The file of a segment, by extension.
pub(super) fn segment_file(dir: &Path, base: Offset, extension: &str) -> PathBuf {
    dir.join(file_name(base)).with_extension(extension)
}

/// What it is called before the swap.
pub(super) fn cleaned_file(dir: &Path, base: Offset, extension: &str, id: u64) -> PathBuf {
    segment_file(dir, base, &format!("{extension}.{id}.{CLEANED}"))
}

/// The checkpoint before the swap.
pub(super) fn cleaned_checkpoint(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("{}.{id}.{CLEANED}", CleanerCheckpoint::FILE))
}

/// The files of one cleaning; removed when this is dropped, unless the swap has begun.
pub(super) struct CleanedFiles {
    io: Arc<dyn Io>,
    dir: PathBuf,
    id: u64,
    paths: Vec<PathBuf>,
}

impl CleanedFiles {
    /// No files yet, under a number that no other cleaning of this process has.
    pub(super) fn new(io: &Arc<dyn Io>, dir: &Path) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        Self {
            io: Arc::clone(io),
            dir: dir.to_owned(),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            paths: Vec::new(),
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// The path of a segment's file, which is going to be made.
    pub(super) fn add(&mut self, base: Offset, extension: &str) -> PathBuf {
        let path = cleaned_file(&self.dir, base, extension, self.id);
        self.paths.push(path.clone());
        path
    }

    /// Makes the checkpoint that the swap puts in place, durable but for its name.
    pub(super) fn add_checkpoint(&mut self, checkpoint: &CleanerCheckpoint) -> std::io::Result<()> {
        let path = cleaned_checkpoint(&self.dir, self.id);
        self.paths.push(path.clone());
        let file = self.io.open(&path, crate::io::OpenMode::Truncate)?;
        file.write_all_at(&checkpoint.encode(), 0)?;
        file.sync_data()
    }

    /// Removes the files of a segment that is not wanted any more.
    pub(super) fn discard(&mut self, base: Offset) {
        for extension in EXTENSIONS {
            let path = cleaned_file(&self.dir, base, extension, self.id);
            self.paths.retain(|known| *known != path);
            let _ = self.io.remove_file(&path);
        }
    }

    /// From here on the journal says what becomes of them.
    pub(super) fn keep(&mut self) {
        self.paths.clear();
    }
}

impl Drop for CleanedFiles {
    fn drop(&mut self) {
        for path in &self.paths {
            // Those that cannot be removed, or were never made, do no harm: they are swept later.
            let _ = self.io.remove_file(path);
        }
    }
}
