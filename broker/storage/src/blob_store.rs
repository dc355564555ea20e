//! `BlobStore`: whole files named by the digest of what is in them, in one directory beside the
//! partitions. Stored durably and in one step; what a name promises, whoever reads it checks.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::health::{DirFailed, is_passing};
use crate::io::OpenMode;
use crate::log_dir::DirShared;

/// The directory's name. It does not end in a number, so it is no partition's.
pub(crate) const BLOB_DIR: &str = "plugin-modules";
/// Hexadecimal digits of a SHA-256 digest.
const DIGEST_LEN: usize = 64;

/// The blobs of a log directory. Cheap to clone.
#[derive(Clone)]
pub struct BlobStore {
    shared: Arc<DirShared>,
    path: PathBuf,
}

/// Why a blob was not stored, read or removed.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// No digest that a blob can be named by.
    #[error("{given:?} is no digest: 64 lower-case hexadecimal digits are")]
    NotADigest {
        /// What was given, shortened to 80 characters.
        given: String,
    },
    /// The directory is out of service.
    #[error(transparent)]
    DirFailed(#[from] DirFailed),
    /// A file could not be read or written.
    #[error("{}: {source}", .file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl BlobError {
    /// Whether it says nothing about the blob: there was no file descriptor, no permission or no room.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_passing(source))
    }
}

impl BlobStore {
    pub(crate) fn new(shared: Arc<DirShared>) -> Self {
        let path = shared.path.join(BLOB_DIR);
        Self { shared, path }
    }

    /// Stores a blob under its digest. Durable when this returns; fine when it is there already.
    ///
    /// # Errors
    /// When the name is no digest, or the files cannot be written.
    pub fn put(&self, digest: &str, blob: &[u8]) -> Result<(), BlobError> {
        let file = self.file(digest)?;
        self.shared.health.check()?;
        // Two that store the same blob would share its temporary file.
        let _one_at_a_time = self.shared.replacing();
        if self.load(&file)?.is_some_and(|there| there == blob) {
            return Ok(());
        }
        let io = &self.shared.io;
        let stored = io
            .create_dir_all(&self.path)
            .and_then(|()| io.sync_dir(&self.shared.path))
            .and_then(|()| io.replace_small(&file, blob));
        stored.map_err(|source| {
            self.shared.observe_write(&file, &source);
            BlobError::Io { file, source }
        })
    }

    /// The blob of a digest; `None` when there is none.
    ///
    /// # Errors
    /// When the name is no digest, or the file cannot be read.
    pub fn get(&self, digest: &str) -> Result<Option<Bytes>, BlobError> {
        let file = self.file(digest)?;
        Ok(self.load(&file)?.map(Bytes::from))
    }

    /// The same as the disk has it, where that can be had: what is cached may hide what has rotted.
    ///
    /// # Errors
    /// As for [`BlobStore::get`].
    pub fn reread(&self, digest: &str) -> Result<Option<Bytes>, BlobError> {
        // One that cannot be opened is told of by the reading.
        if let Ok(file) = self.shared.io.open(&self.file(digest)?, OpenMode::Read) {
            file.drop_cached(0, 0);
        }
        self.get(digest)
    }

    /// The digests that there are blobs of, sorted.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn list(&self) -> Result<Vec<String>, BlobError> {
        let entries = match self.shared.io.list(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(self.failed(&self.path, source)),
        };
        let names = entries.into_iter().filter(|entry| !entry.is_dir);
        let mut digests: Vec<String> = names
            .map(|entry| entry.name)
            .filter(|name| is_digest(name))
            .collect();
        digests.sort();
        Ok(digests)
    }

    /// Removes a blob; fine when there is none. After a power loss it may be there again.
    ///
    /// # Errors
    /// When the name is no digest, or the file cannot be removed.
    pub fn remove(&self, digest: &str) -> Result<(), BlobError> {
        let file = self.file(digest)?;
        match self.shared.io.remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.failed(&file, error)),
            _ => Ok(()),
        }
    }

    fn file(&self, digest: &str) -> Result<PathBuf, BlobError> {
        match is_digest(digest) {
            true => Ok(self.path.join(digest)),
            false => Err(BlobError::NotADigest {
                given: digest.chars().take(80).collect(),
            }),
        }
    }

    fn load(&self, file: &Path) -> Result<Option<Vec<u8>>, BlobError> {
        let read = self.shared.io.read_small(file);
        read.map_err(|source| self.failed(file, source))
    }

    fn failed(&self, file: &Path, source: io::Error) -> BlobError {
        self.shared.health.observe(file, &source);
        BlobError::Io {
            file: file.to_owned(),
            source,
        }
    }
}

impl std::fmt::Debug for BlobStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Whether this can be a blob's name.
pub(crate) fn is_digest(name: &str) -> bool {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    name.len() == DIGEST_LEN && name.bytes().all(is_hex)
}
