//! The recorded disk: files and directories, each with what a process sees and what would be left
//! after a power loss. What is not synced is kept as a list of changes, so that any part of it can
//! be lost.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Component, Path};
use std::sync::Arc;

/// Names a file or directory for as long as the disk lives.
pub(super) type Id = u64;

/// The root directory.
pub(super) const ROOT: Id = 0;

/// A change of a file that is not durable.
#[derive(Clone, Debug)]
pub(super) enum FileChange {
    Write { position: usize, bytes: Vec<u8> },
    SetLen(usize),
}

/// A change of a directory that is not durable.
#[derive(Clone, Debug)]
pub(super) enum DirChange {
    Set(String, Id),
    Remove(String),
    Rename { from: String, to: String, id: Id },
}

/// A file's bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct FileNode {
    pub(super) data: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) pending: Vec<FileChange>,
    /// Whether it was ever synced.
    pub(super) is_synced: bool,
    /// How often it was changed.
    pub(super) changes: u64,
}

/// A directory's entries.
#[derive(Clone, Debug, Default)]
pub(super) struct DirNode {
    pub(super) entries: BTreeMap<String, Id>,
    pub(super) durable: BTreeMap<String, Id>,
    pub(super) pending: Vec<DirChange>,
}

/// Either.
#[derive(Clone, Debug)]
pub(super) enum Node {
    File(FileNode),
    Dir(DirNode),
}

/// All of them. A copy shares with its original what neither changes.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    pub(super) nodes: BTreeMap<Id, Arc<Node>>,
    next: Id,
}

impl FileNode {
    pub(super) fn change(&mut self, change: FileChange) {
        apply_to_file(&mut self.data, &change);
        self.pending.push(change);
        self.changes += 1;
    }

    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            apply_to_file(&mut self.durable, &change);
        }
        self.is_synced = true;
    }
}

impl DirNode {
    pub(super) fn change(&mut self, change: DirChange) {
        apply_to_dir(&mut self.entries, &change);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            apply_to_dir(&mut self.durable, &change);
        }
    }
}

pub(super) fn apply_to_file(bytes: &mut Vec<u8>, change: &FileChange) {
    match change {
        FileChange::Write {
            position,
            bytes: new,
        } => {
            let end = position + new.len();
            extend_to(bytes, end);
            bytes[*position..end].copy_from_slice(new);
        }
        FileChange::SetLen(len) => {
            bytes.truncate(*len);
            extend_to(bytes, *len);
        }
    }
}

/// Zeros up to a length. Not `resize`, which takes a byte at a time where nothing is optimised.
pub(super) fn extend_to(bytes: &mut Vec<u8>, len: usize) {
    if let Some(more) = len.checked_sub(bytes.len()).filter(|more| *more > 0) {
        bytes.extend_from_slice(&vec![0; more]);
    }
}

pub(super) fn apply_to_dir(entries: &mut BTreeMap<String, Id>, change: &DirChange) {
    match change {
        DirChange::Set(name, id) => {
            entries.insert(name.clone(), *id);
        }
        DirChange::Remove(name) => {
            entries.remove(name);
        }
        DirChange::Rename { from, to, id } => {
            entries.remove(from);
            entries.insert(to.clone(), *id);
        }
    }
}

impl Disk {
    pub(super) fn new() -> Self {
        Self {
            nodes: BTreeMap::from([(ROOT, Arc::new(Node::Dir(DirNode::default())))]),
            next: ROOT + 1,
        }
    }

    pub(super) fn add(&mut self, node: Node) -> Id {
        let id = self.next;
        self.next += 1;
        self.nodes.insert(id, Arc::new(node));
        id
    }

    /// Feeds everything that a process sees to a hasher.
    pub(super) fn hash_visible(&self, at: Id, hasher: &mut impl Hasher) {
        let Ok(dir) = self.dir(at) else { return };
        dir.entries.len().hash(hasher);
        for (name, id) in &dir.entries {
            name.hash(hasher);
            match self.file(*id) {
                Ok(file) => (file.data.len(), crc32fast::hash(&file.data)).hash(hasher),
                Err(_) => self.hash_visible(*id, hasher),
            }
        }
    }

    /// Bytes of all files that a process sees.
    pub(super) fn used(&self) -> u64 {
        let lens = self.nodes.values().map(|node| match &**node {
            Node::File(file) => file.data.len() as u64,
            Node::Dir(_) => 0,
        });
        lens.sum()
    }

    /// What is at a path.
    pub(super) fn find(&self, path: &Path) -> io::Result<Id> {
        let mut at = ROOT;
        for name in names(path) {
            at = *self
                .dir(at)?
                .entries
                .get(name)
                .ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(at)
    }

    /// Whether some directory has it.
    pub(super) fn is_linked(&self, id: Id) -> bool {
        self.nodes.values().any(|node| match &**node {
            Node::Dir(dir) => dir.entries.values().any(|entry| *entry == id),
            Node::File(_) => false,
        })
    }

    /// The directory that a path's last name is in, and that name.
    pub(super) fn parent<'p>(&self, path: &'p Path) -> io::Result<(Id, &'p str)> {
        let name = names(path).last().ok_or(io::ErrorKind::InvalidInput)?;
        let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.find(parent)?, name))
    }

    pub(super) fn dir(&self, id: Id) -> io::Result<&DirNode> {
        match self.nodes.get(&id).map(|node| &**node) {
            Some(Node::Dir(dir)) => Ok(dir),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    pub(super) fn dir_mut(&mut self, id: Id) -> io::Result<&mut DirNode> {
        match self.nodes.get_mut(&id).map(Arc::make_mut) {
            Some(Node::Dir(dir)) => Ok(dir),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    pub(super) fn file(&self, id: Id) -> io::Result<&FileNode> {
        match self.nodes.get(&id).map(|node| &**node) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn file_mut(&mut self, id: Id) -> io::Result<&mut FileNode> {
        match self.nodes.get_mut(&id).map(Arc::make_mut) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        }
    }
}

pub(super) fn names(path: &Path) -> impl Iterator<Item = &str> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    })
}
