//! Frames that no broker accepts, with the answer each gets. What a connection does with a frame is
//! played through here with the crate's own parts.

use broker_protocol::{
    Decoded, Envelope, ErrorCode, FrameDecoder, Method, WireError, encode_frame, error_frame,
};
use bytes::{Bytes, BytesMut};

use crate::methods::codec;
use crate::vectors::{hex_lines, json};

/// How far the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connection {
    Fresh,
    Greeted,
}

/// Bytes on a connection and what comes back.
#[derive(Clone, Debug)]
pub(crate) struct BadFrame {
    /// Unique on the page.
    pub(crate) title: &'static str,
    pub(crate) bytes: Bytes,
    connection: Connection,
}

impl BadFrame {
    /// The bytes as the page shows them.
    pub(crate) fn hex(&self) -> String {
        hex_lines(&self.bytes)
    }

    /// The envelope of the answer as the page shows it.
    pub(crate) fn answer_json(&self) -> String {
        let answer = answer(self.connection, &self.bytes);
        let answer = answer.unwrap_or_else(|| panic!("{:?} was accepted", self.title));
        json(&answer[broker_protocol::FRAME_HEADER_LEN..])
    }
}

/// What a connection answers to bytes that are wrong; `None` if they are not.
fn answer(connection: Connection, bytes: &[u8]) -> Option<Bytes> {
    let decoder = match connection {
        Connection::Fresh => FrameDecoder::before_hello(),
        Connection::Greeted => FrameDecoder::after_hello(),
    };
    let body = match decoder.decode(&mut BytesMut::from(bytes)) {
        Err(error) => return Some(error_frame(None, &error.into())),
        Ok(Decoded::NeedMore { missing }) => panic!("{missing} bytes are missing"),
        Ok(Decoded::Frame(body)) => body,
    };
    let (id, method, args) = match Envelope::parse(&body) {
        Err(bad) => return Some(error_frame(bad.id, &bad.error)),
        Ok(Envelope::Request { id, method, args }) => (id, method, args),
        Ok(_) => return None,
    };
    let error = refusal(connection, method, &body.slice_ref(args))?;
    Some(error_frame(Some(id), &error))
}

fn refusal(connection: Connection, method: &str, args: &Bytes) -> Option<WireError> {
    let method = match Method::parse(method) {
        Err(unknown) => return Some(unknown),
        Ok(method) => method,
    };
    if connection == Connection::Fresh && method != Method::Hello {
        let message = format!("send hello before {method}");
        return Some(WireError::new(ErrorCode::HelloRequired, message));
    }
    (codec(method).request)(args).err().map(WireError::from)
}

/// Every bad frame of the page.
pub(crate) fn all() -> Vec<BadFrame> {
    let raw = |title, connection, bytes: &[u8]| BadFrame {
        title,
        bytes: Bytes::copy_from_slice(bytes),
        connection,
    };
    let framed = |title, body: &[u8]| BadFrame {
        title,
        bytes: encode_frame(body).unwrap(),
        connection: Connection::Greeted,
    };
    let deep = [&b"\x94\x00\x07\xA4ping\x81\xA1x"[..], &[0x91; 32], b"\xC0"].concat();
    let early = encode_frame(b"\x94\x00\x01\xA4ping\x80").unwrap();
    vec![
        raw("TLS on the port", Connection::Fresh, b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03"),
        raw("64 KiB before hello", Connection::Fresh, b"\xCE\x00\x01\x00\x00"),
        raw("above the limit", Connection::Greeted, b"\xCE\x01\x00\x00\x01"),
        raw("ping before hello", Connection::Fresh, &early),
        framed("nothing in the frame", b""),
        framed("a map that ends early", b"\x94\x00\x06\xA4ping\x81"),
        framed("a count that lies", b"\x94\x00\x06\xA4ping\xDD\xFF\xFF\xFF\xFF"),
        framed("nested too deep", &deep),
        framed("an extension type", b"\x94\x00\x08\xA4ping\x81\xA1t\xD6\xFF\x00\x00\x00\x00"),
        framed("a byte too many", b"\x94\x00\x09\xA4ping\x80\xC0"),
        framed("the marker that does not exist", b"\x94\x00\x0A\xA4ping\xC1"),
        framed("no such envelope", b"\x94\x07\x0B\xA4ping\x80"),
        framed("no arguments", b"\x93\x00\x0C\xA4ping"),
        framed("an id in text", b"\x94\x00\xA27a\xA4ping\x80"),
        framed("a method in binary", b"\x94\x00\x0D\xC4\x04ping\x80"),
        framed("a misspelt method", b"\x94\x00\x0E\xA7metadta\x80"),
        framed("arguments in an array", b"\x94\x00\x0F\xACcreate_topic\x91\xA6orders"),
        framed("a field is missing", b"\x94\x00\x10\xACcreate_topic\x80"),
        framed(
            "a field of the wrong type",
            b"\x94\x00\x11\xA5fetch\x81\xAApartitions\x91\x83\xA5topic\xA6orders\xA9partition\x00\xA6offset\xA3ten",
        ),
        framed(
            "both forms of records",
            b"\x94\x00\x12\xA7produce\x83\xA5topic\xA6orders\xA4body\xC4\x01\x90\xA7records\x90",
        ),
    ]
}
