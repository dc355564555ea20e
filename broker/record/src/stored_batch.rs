//! `StoredBatch`: one whole batch as it lies in a segment file or in the answer to a fetch. Parsing
//! checks the header alone; the body is verified when its records are asked for.

use bytes::Bytes;

use crate::{BatchHeader, BodyCrcMismatch, HeaderError, InvalidBatch, Records};

/// One whole batch in memory; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBatch {
    /// The decoded header.
    pub header: BatchHeader,
    /// The body as stored, maybe compressed.
    pub body: Bytes,
}

impl StoredBatch {
    /// Reads the batch at the start of `bytes`; returns it with the number of bytes it takes. The
    /// body is borrowed from `bytes` and not looked at: [`StoredBatch::records`] verifies it.
    ///
    /// # Errors
    /// [`BatchError::Incomplete`] when more bytes are needed, [`BatchError::Header`] when no batch
    /// starts here.
    pub fn parse(bytes: &Bytes) -> Result<(Self, usize), BatchError> {
        let needed = BatchHeader::LEN;
        let available = bytes.len();
        if available < needed {
            return Err(BatchError::Incomplete { needed, available });
        }
        let header = BatchHeader::decode(bytes)?;
        let needed = header.batch_len();
        if available < needed {
            return Err(BatchError::Incomplete { needed, available });
        }
        let body = bytes.slice(BatchHeader::LEN..needed);
        Ok((Self { header, body }, needed))
    }

    /// Verifies the body's checksum, decompresses it if need be, and gives access to its records.
    ///
    /// # Errors
    /// When the body is damaged, or is not what the header says.
    pub fn records(&self) -> Result<Records, BatchError> {
        self.records_within(usize::MAX)
    }

    /// The same for a body that may unfold to `unfolded_max` bytes.
    ///
    /// # Errors
    /// As above; [`BatchError::is_for_lack_of_room`] tells whether a higher limit may help.
    pub fn records_within(&self, unfolded_max: usize) -> Result<Records, BatchError> {
        Records::open(self, unfolded_max)
    }
}

/// Why stored bytes cannot be read as a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end before the batch does.
    #[error("the batch needs {needed} bytes, there are {available}")]
    Incomplete {
        /// Bytes of the batch, or of its header while that is incomplete.
        needed: usize,
        /// Bytes there are.
        available: usize,
    },
    /// No valid header.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The body is not the one that was stored.
    #[error(transparent)]
    BodyChecksum(#[from] BodyCrcMismatch),
    /// The body is intact but is not a body: it was produced unchecked (`batch.validation=trust`).
    #[error("the stored batch is not valid: {0}")]
    Invalid(#[from] InvalidBatch),
}

impl BatchError {
    /// Whether the body unfolds to more than the caller allowed, but perhaps not to more than any body may.
    pub fn is_for_lack_of_room(&self) -> bool {
        matches!(self, Self::Invalid(invalid) if invalid.is_for_lack_of_room())
    }
}

#[cfg(test)]
#[path = "stored_batch_tests.rs"]
mod tests;
