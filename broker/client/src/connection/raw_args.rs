//! `RawArgs`: the argument map of a request as bytes that are there already, in pieces, so that a
//! batch body goes from the batch builder to the socket without being copied.

use broker_protocol::{FRAME_HEADER_LEN, FrameTooLarge, Method, frame_header};
use bytes::Bytes;

/// The argument map of a request, encoded already, in one or more pieces that are written one
/// after the other.
#[derive(Clone, Debug, Default)]
pub struct RawArgs(pub Vec<Bytes>);

impl From<Bytes> for RawArgs {
    fn from(args: Bytes) -> Self {
        Self(vec![args])
    }
}

/// Frame header and the envelope `[0, id, method,` up to the arguments that follow.
pub(super) fn frame_head(id: u64, method: Method, args: &RawArgs) -> Result<Bytes, FrameTooLarge> {
    let method = method.name().as_bytes();
    let mut envelope = Vec::with_capacity(64);
    // An array of four, the kind of a request, and the id as a 64-bit integer.
    envelope.extend_from_slice(&[0x94, 0x00, 0xCF]);
    envelope.extend_from_slice(&id.to_be_bytes());
    let length = u8::try_from(method.len()).expect("method names are shorter than 32 bytes");
    assert!(length < 32, "method names are shorter than 32 bytes");
    envelope.push(0xA0 | length);
    envelope.extend_from_slice(method);

    let args_bytes: usize = args.0.iter().map(Bytes::len).sum();
    let header = frame_header((envelope.len() + args_bytes) as u64)?;
    let mut head = Vec::with_capacity(FRAME_HEADER_LEN + envelope.len());
    head.extend_from_slice(&header);
    head.extend_from_slice(&envelope);
    Ok(head.into())
}

#[cfg(test)]
mod tests {
    use broker_protocol::Envelope;

    use super::*;

    #[test]
    fn a_request_in_pieces_reads_as_one() {
        let args = RawArgs(vec![
            Bytes::from_static(b"\x81\xA1"),
            Bytes::from_static(b"a\x07"),
        ]);
        let mut frame = frame_head(u64::MAX, Method::DescribeCluster, &args)
            .unwrap()
            .to_vec();
        args.0
            .iter()
            .for_each(|piece| frame.extend_from_slice(piece));
        assert_eq!(
            frame[1..5],
            u32::try_from(frame.len() - 5).unwrap().to_be_bytes()
        );
        assert_eq!(
            Envelope::parse(&frame[5..]).unwrap(),
            Envelope::Request {
                id: u64::MAX,
                method: "describe_cluster",
                args: b"\x81\xA1a\x07",
            }
        );
    }
}
