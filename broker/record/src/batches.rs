//! `Batches`: iterates a contiguous run of stored batches, as a segment file holds them and a fetch
//! in `batch` form answers them. The last one may be cut off; it then ends the run.

use bytes::{Buf, Bytes};

use crate::{BatchError, StoredBatch};

/// Iterates the batches of a run. After an error it is at its end.
#[derive(Clone, Debug)]
pub struct Batches {
    rest: Bytes,
    position: usize,
}

impl Batches {
    /// Starts at the first byte, which has to be the first of a header.
    pub fn new(run: Bytes) -> Self {
        Self {
            rest: run,
            position: 0,
        }
    }

    /// Where in the run the next batch starts, or would start.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Bytes not read; at the end of the iteration those of an incomplete last batch.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }
}

impl Iterator for Batches {
    type Item = Result<StoredBatch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        match StoredBatch::parse(&self.rest) {
            Ok((batch, consumed)) => {
                self.rest.advance(consumed);
                self.position += consumed;
                Some(Ok(batch))
            }
            Err(BatchError::Incomplete { .. }) => None,
            Err(error) => {
                self.rest.clear();
                Some(Err(error))
            }
        }
    }
}

impl std::iter::FusedIterator for Batches {}
