//! What a request that waits holds in memory: its own bytes, not the block that they were read in together with others,
//! which is several times as large. There may be very many that wait.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;

/// What is no longer than this is copied.
pub(crate) const SHORT_BYTES: usize = 4 * 1024;

/// The same bytes in a block of their own, if they are few.
pub(crate) fn apart(bytes: Bytes) -> Bytes {
    match bytes.len() {
        ..=SHORT_BYTES => Bytes::copy_from_slice(&bytes),
        _ => bytes,
    }
}

/// What comes of `work` that need not wait.
pub(crate) async fn at_once<F: Future + ?Sized>(mut work: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|context| {
        Poll::Ready(match work.as_mut().poll(context) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_bytes_do_not_keep_the_block_that_they_were_read_in() {
        let block = Bytes::from(vec![7; 16 * 1024]);
        let waiting = apart(block.slice(100..200));
        assert_eq!(waiting, block.slice(100..200));
        assert!(block.is_unique(), "nobody else holds it");
        let _many = apart(block.slice(..SHORT_BYTES + 1));
        assert!(
            !block.is_unique(),
            "to copy them is more work than they are worth"
        );
    }
}
