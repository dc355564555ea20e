//! `DirSpace`: the room on a log directory's file system as it was last seen.

/// The room on a log directory's file system, and whether records are still taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirSpace {
    /// Size of the file system in bytes.
    pub total: u64,
    /// What can still be written, in bytes.
    pub free: u64,
    /// Below so many free bytes no records are taken; 0 for no such limit.
    pub min_free: u64,
    /// Whether no more files can be made on it, however many bytes are free.
    pub lacks_inodes: bool,
    /// Whether records are refused for want of room, or will be as soon as there are any.
    pub is_low: bool,
}
