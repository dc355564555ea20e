//! What is remembered of a key.

/// A key between the two passes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Key {
    /// Where its latest tombstone is; nothing of the key before it stays.
    pub(crate) from: u64,
    /// Its records from there on that the second pass did not come to yet.
    pub(crate) left: u32,
}

impl Key {
    /// Another record of the key in the first pass.
    pub(crate) fn count(&mut self, offset: u64, is_tombstone: bool) {
        if is_tombstone {
            *self = Key {
                from: offset,
                left: 0,
            };
        }
        self.left = self.left.saturating_add(1);
    }
}
