//! `Operation`: one change of the recorded disk, in the words of the trait.

use std::path::PathBuf;

/// A change, or an attempt at one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A file came into being.
    CreateFile {
        /// Its path.
        path: PathBuf,
    },
    /// Bytes were written.
    Write {
        /// The file, by the path it was opened with.
        path: PathBuf,
        /// Where.
        position: u64,
        /// How many.
        len: usize,
    },
    /// A file was cut or extended.
    SetLen {
        /// The file, by the path it was opened with.
        path: PathBuf,
        /// Its length now.
        len: u64,
    },
    /// A file's data was made durable.
    SyncData {
        /// The file, by the path it was opened with.
        path: PathBuf,
    },
    /// A directory came into being.
    CreateDir {
        /// Its path.
        path: PathBuf,
    },
    /// A directory's entries were made durable.
    SyncDir {
        /// Its path.
        path: PathBuf,
    },
    /// Everything was made durable.
    SyncAll {
        /// A path on the file system.
        path: PathBuf,
    },
    /// A file or directory got another name.
    Rename {
        /// The old path.
        from: PathBuf,
        /// The new path.
        to: PathBuf,
    },
    /// A file was removed.
    RemoveFile {
        /// Its path.
        path: PathBuf,
    },
    /// A directory was removed.
    RemoveDir {
        /// Its path.
        path: PathBuf,
    },
}

impl Operation {
    /// Whether it makes something durable.
    pub fn is_sync(&self) -> bool {
        matches!(
            self,
            Self::SyncData { .. } | Self::SyncDir { .. } | Self::SyncAll { .. }
        )
    }

    /// The path it is about; the old one of a rename.
    pub fn path(&self) -> &std::path::Path {
        match self {
            Self::CreateFile { path }
            | Self::Write { path, .. }
            | Self::SetLen { path, .. }
            | Self::SyncData { path }
            | Self::CreateDir { path }
            | Self::SyncDir { path }
            | Self::SyncAll { path }
            | Self::Rename { from: path, .. }
            | Self::RemoveFile { path }
            | Self::RemoveDir { path } => path,
        }
    }
}

/// How an operation is made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing of it happens, with this error number (`EIO`, `ENOSPC`).
    Error(i32),
    /// A write writes so many bytes and says so, as a full disk or a signal make it.
    Short(usize),
    /// The process dies here: of a write, so many bytes are written; nothing works any more.
    Killed(usize),
}

impl Fault {
    /// The disk's own error.
    pub const EIO: Self = Self::Error(5);
    /// No space left.
    pub const ENOSPC: Self = Self::Error(28);
}
