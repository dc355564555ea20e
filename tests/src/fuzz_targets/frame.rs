//! Bytes of a socket, cut into frames: however they arrive, the same frames come out, and a frame that
//! is put together again is the bytes it came from.

use broker_protocol::{Decoded, FrameDecoder, encode_frame};
use bytes::BytesMut;

/// The first byte says how far the connection is and in which pieces the rest arrives.
pub fn run(input: &[u8]) {
    let Some((how, stream)) = input.split_first() else {
        return;
    };
    let decoder = match how & 1 {
        0 => FrameDecoder::before_hello(),
        _ => FrameDecoder::after_hello(),
    };
    let whole = frames(decoder, stream, usize::MAX);
    let pieces = frames(decoder, stream, 1 + usize::from(how >> 1));
    assert_eq!(whole, pieces, "what arrives in pieces is the same");
    let again: Vec<u8> = whole
        .iter()
        .flat_map(|body| encode_frame(body).expect("it came out of a frame"))
        .collect();
    assert!(stream.starts_with(&again));
}

fn frames(decoder: FrameDecoder, stream: &[u8], piece: usize) -> Vec<Vec<u8>> {
    let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
    for arrived in stream.chunks(piece) {
        buffer.extend_from_slice(arrived);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Decoded::Frame(body)) => frames.push(body.to_vec()),
                Ok(Decoded::NeedMore { missing }) => {
                    assert!(missing > 0);
                    break;
                }
                Err(error) => {
                    let _ = error.to_string();
                    return frames;
                }
            }
        }
    }
    frames
}
