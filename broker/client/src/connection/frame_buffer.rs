//! `FrameBuffer`: bytes as they come from the socket, cut into frame bodies. Memory follows what
//! has arrived, never what a length field promises; small frames share one allocation.

use broker_model::limits::READ_BUFFER_TRUSTED_BYTES;
use broker_protocol::{Decoded, FRAME_HEADER_LEN, FrameDecoder, FrameError};
use bytes::{Bytes, BytesMut};

/// What is asked of the allocator for a connection that has nothing under way.
const SMALL_READ_BYTES: usize = 16 * 1024;

pub(super) struct FrameBuffer {
    decoder: FrameDecoder,
    bytes: BytesMut,
    /// What the frame at the front still lacks.
    missing: usize,
}

impl FrameBuffer {
    pub(super) fn new(body_bytes_max: usize) -> Self {
        Self {
            decoder: FrameDecoder::with_limit(body_bytes_max),
            bytes: BytesMut::new(),
            missing: FRAME_HEADER_LEN,
        }
    }

    /// Takes the next whole frame body out, if it is there.
    pub(super) fn next_body(&mut self) -> Result<Option<Bytes>, FrameError> {
        match self.decoder.decode(&mut self.bytes)? {
            Decoded::Frame(body) => {
                self.missing = FRAME_HEADER_LEN;
                Ok(Some(body))
            }
            Decoded::NeedMore { missing } => {
                self.missing = missing;
                Ok(None)
            }
        }
    }

    /// Room for the next read: the rest of the present frame as far as it may be trusted, then
    /// doubling with what has arrived.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        let trusted = READ_BUFFER_TRUSTED_BYTES.max(self.bytes.len());
        let wanted = self.missing.min(trusted);
        if self.bytes.capacity() - self.bytes.len() < wanted {
            self.bytes.reserve(wanted.max(SMALL_READ_BYTES));
        }
        &mut self.bytes
    }
}

#[cfg(test)]
mod tests {
    use broker_protocol::encode_frame;

    use super::*;

    #[test]
    fn frames_come_out_whole_however_they_arrive() {
        let bodies = [&b"one"[..], b"", b"three"];
        let stream: Vec<u8> = bodies
            .iter()
            .flat_map(|body| encode_frame(body).unwrap())
            .collect();
        for step in 1..stream.len() {
            let mut buffer = FrameBuffer::new(100);
            let mut taken = Vec::new();
            for chunk in stream.chunks(step) {
                buffer.room().extend_from_slice(chunk);
                while let Some(body) = buffer.next_body().unwrap() {
                    taken.push(body);
                }
            }
            assert_eq!(taken, bodies, "in steps of {step}");
        }
    }

    #[test]
    fn a_length_alone_reserves_no_more_than_is_trusted() {
        let mut buffer = FrameBuffer::new(64 << 20);
        let mut header = vec![0xCE];
        header.extend((48u32 << 20).to_be_bytes());
        buffer.room().extend_from_slice(&header);
        assert_eq!(buffer.next_body(), Ok(None));
        assert!(buffer.room().capacity() < 2 * READ_BUFFER_TRUSTED_BYTES);

        let arrived = vec![0; 8 << 20];
        buffer.room().extend_from_slice(&arrived);
        assert_eq!(buffer.next_body(), Ok(None));
        assert!(buffer.room().capacity() <= 4 * arrived.len());
    }

    #[test]
    fn foreign_bytes_and_giant_frames_are_refused() {
        let mut buffer = FrameBuffer::new(100);
        buffer.room().extend_from_slice(b"HTTP/1.1 400");
        assert!(buffer.next_body().is_err());

        let mut buffer = FrameBuffer::new(100);
        buffer.room().extend_from_slice(&[0xCE, 0, 0, 0, 101]);
        let refused = buffer.next_body().unwrap_err().to_string();
        assert!(
            refused.contains("101") && refused.contains("100"),
            "{refused}"
        );
    }
}
