//! Frames: `0xCE`, a big-endian u32 length, and so many bytes. `FrameDecoder` cuts them out of what
//! a socket delivered and refuses foreign protocols and oversized lengths at the first byte that
//! shows them. It allocates nothing by declared length; what is inside a frame is not its business.

use broker_model::limits::{FRAME_BYTES_MAX, FRAME_BYTES_MAX_BEFORE_HELLO};
use bytes::{Buf, Bytes, BytesMut};

use crate::error_code::ErrorCode;
use crate::wire_error::{ErrorData, WireError};

/// First byte of every frame; MessagePack's marker of a 32-bit unsigned integer.
pub const FRAME_MARKER: u8 = 0xCE;
/// Bytes before the body: marker and length.
pub const FRAME_HEADER_LEN: usize = 5;
/// Room that a frame gets at first: most answers need no more.
pub(crate) const SMALL_FRAME_BYTES: usize = 256;
/// How many bytes of a foreign protocol are kept for the error.
const FIRST_BYTES_MAX: usize = 16;

/// Cuts frames out of a byte stream.
///
/// ```
/// use broker_protocol::{Decoded, FrameDecoder, encode_frame};
/// use bytes::BytesMut;
///
/// let frame = encode_frame(b"\x93\x02\xA4ping\x80").expect("small enough");
/// let mut buffer = BytesMut::from(&frame[..3]);
/// let decoder = FrameDecoder::before_hello();
/// assert_eq!(decoder.decode(&mut buffer), Ok(Decoded::NeedMore { missing: 2 }));
/// buffer.extend_from_slice(&frame[3..]);
/// let Ok(Decoded::Frame(body)) = decoder.decode(&mut buffer) else { panic!("a frame") };
/// assert_eq!(&body[..], b"\x93\x02\xA4ping\x80");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameDecoder {
    body_bytes_max: usize,
}

/// What a buffer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// Not a whole frame yet.
    NeedMore {
        /// Bytes still missing, as far as can be told: of the header first, then of the body.
        missing: usize,
    },
    /// The body of a whole frame; it was taken out of the buffer.
    Frame(Bytes),
}

/// Why a byte stream is not one of frames. Nothing after it can be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The first byte is not [`FRAME_MARKER`].
    #[error("the bytes do not start a frame of this protocol{}", looks_like.hint())]
    ForeignProtocol {
        /// Up to 16 of them.
        first_bytes: Bytes,
        /// What they look like.
        looks_like: LooksLike,
    },
    /// The declared length is above the limit.
    #[error("a frame of {len} bytes was announced, at most {max} are allowed{}", hello_hint(*max))]
    TooLarge {
        /// Declared length of the body.
        len: usize,
        /// The limit.
        max: usize,
    },
}

/// Protocols that people point at the port by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LooksLike {
    /// A browser, a health check, a proxy.
    Http,
    /// A client that expects TLS.
    Tls,
    /// An SSH client.
    Ssh,
    /// A proxy that announces the client's address.
    ProxyProtocol,
    /// A Kafka client: length first, then a small API key.
    Kafka,
    /// None of these.
    Unknown,
}

impl LooksLike {
    /// Its name in `data.looks_like`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tls => "tls",
            Self::Ssh => "ssh",
            Self::ProxyProtocol => "proxy_protocol",
            Self::Kafka => "kafka",
            Self::Unknown => "unknown",
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::Http => "; they look like HTTP, this port does not serve it",
            Self::Tls => "; they look like TLS, this port is not encrypted",
            Self::Ssh => "; they look like SSH",
            Self::ProxyProtocol => "; they look like the PROXY protocol, which is not supported",
            Self::Kafka => "; they look like Kafka's protocol, which this port does not speak",
            Self::Unknown => "",
        }
    }

    fn guess(bytes: &[u8]) -> Self {
        const HTTP: [&[u8]; 10] = [
            b"GET ",
            b"HEAD ",
            b"POST ",
            b"PUT ",
            b"DELETE ",
            b"OPTIONS ",
            b"PATCH ",
            b"TRACE ",
            b"CONNECT ",
            b"PRI * HTTP",
        ];
        let starts = |with: &[u8]| bytes.starts_with(with);
        match bytes {
            [0x16, 0x03, ..] => Self::Tls,
            [0x00, _, _, _, 0x00, key, ..] if *key <= 100 => Self::Kafka,
            _ if starts(b"PROXY ") || starts(b"\r\n\r\n\0\r\nQUIT\n") => Self::ProxyProtocol,
            _ if HTTP.iter().any(|method| starts(method)) => Self::Http,
            _ if starts(b"SSH-") => Self::Ssh,
            _ => Self::Unknown,
        }
    }
}

fn hello_hint(max: usize) -> &'static str {
    if max == FRAME_BYTES_MAX_BEFORE_HELLO {
        " before `hello` was answered"
    } else {
        ""
    }
}

impl From<FrameError> for WireError {
    fn from(error: FrameError) -> Self {
        let message = error.to_string();
        match error {
            FrameError::ForeignProtocol {
                first_bytes,
                looks_like,
            } => Self::new(ErrorCode::ForeignProtocol, message).with_data(ErrorData {
                first_bytes: Some(first_bytes),
                looks_like: Some(looks_like.name().to_owned()),
                ..ErrorData::default()
            }),
            FrameError::TooLarge { len, max } => Self::new(ErrorCode::FrameTooLarge, message)
                .with_data(ErrorData {
                    actual: Some(len as u64),
                    limit: Some(max as u64),
                    ..ErrorData::default()
                }),
        }
    }
}

impl FrameDecoder {
    /// With the small limit that holds until `hello` was answered.
    pub const fn before_hello() -> Self {
        Self::with_limit(FRAME_BYTES_MAX_BEFORE_HELLO)
    }

    /// With the limit that `hello` announces.
    pub const fn after_hello() -> Self {
        Self::with_limit(FRAME_BYTES_MAX)
    }

    /// With a limit of one's own, in bytes of the body.
    pub const fn with_limit(body_bytes_max: usize) -> Self {
        Self { body_bytes_max }
    }

    /// Takes the first frame out of `buffer`, if it is whole. The buffer is left alone otherwise;
    /// making room for more is the caller's business (grow with what arrives, not with what is
    /// announced).
    ///
    /// # Errors
    /// When the bytes cannot be the start of an acceptable frame. The connection is lost then.
    pub fn decode(&self, buffer: &mut BytesMut) -> Result<Decoded, FrameError> {
        let Some(first) = buffer.first() else {
            return Ok(Decoded::NeedMore {
                missing: FRAME_HEADER_LEN,
            });
        };
        if *first != FRAME_MARKER {
            let shown = buffer.len().min(FIRST_BYTES_MAX);
            let first_bytes = Bytes::copy_from_slice(buffer.get(..shown).unwrap_or_default());
            let looks_like = LooksLike::guess(&first_bytes);
            return Err(FrameError::ForeignProtocol {
                first_bytes,
                looks_like,
            });
        }
        let Some(&[_, a, b, c, d]) = buffer.first_chunk::<FRAME_HEADER_LEN>() else {
            return Ok(Decoded::NeedMore {
                missing: FRAME_HEADER_LEN - buffer.len(),
            });
        };
        // A length that does not fit the address space is above any limit.
        let len = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if len > self.body_bytes_max {
            return Err(FrameError::TooLarge {
                len,
                max: self.body_bytes_max,
            });
        }
        let present = buffer.len() - FRAME_HEADER_LEN;
        if present < len {
            return Ok(Decoded::NeedMore {
                missing: len - present,
            });
        }
        buffer.advance(FRAME_HEADER_LEN);
        // An empty rest would keep the whole block in memory for as long as the connection keeps its buffer.
        let body = match buffer.capacity() == len {
            true => std::mem::take(buffer),
            false => buffer.split_to(len),
        };
        Ok(Decoded::Frame(body.freeze()))
    }
}

/// A body that is larger than any frame may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message has {len} bytes, a frame holds at most {max}")]
pub struct FrameTooLarge {
    /// Bytes of the body.
    pub len: u64,
    /// The limit.
    pub max: u64,
}

/// The header of a frame whose body has `len` bytes.
///
/// # Errors
/// When no frame may be that large.
pub fn frame_header(len: u64) -> Result<[u8; FRAME_HEADER_LEN], FrameTooLarge> {
    let max = FRAME_BYTES_MAX as u64;
    match u32::try_from(len) {
        Ok(fits) if len <= max => {
            let [a, b, c, d] = fits.to_be_bytes();
            Ok([FRAME_MARKER, a, b, c, d])
        }
        _ => Err(FrameTooLarge { len, max }),
    }
}

/// Puts a body into a frame.
///
/// # Errors
/// When no frame may be that large.
pub fn encode_frame(body: &[u8]) -> Result<Bytes, FrameTooLarge> {
    build_frame(|out| out.extend_from_slice(body))
}

/// Builds a frame in one buffer, which grows as it has to.
pub(crate) fn build_frame(write: impl FnOnce(&mut Vec<u8>)) -> Result<Bytes, FrameTooLarge> {
    build_frame_in(SMALL_FRAME_BYTES, write)
}

/// Builds a frame in one buffer, which has this capacity at first: room for the header, the body, then the header.
pub(crate) fn build_frame_in(
    capacity: usize,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<Bytes, FrameTooLarge> {
    let mut out = Vec::with_capacity(capacity);
    out.extend_from_slice(&[0; FRAME_HEADER_LEN]);
    write(&mut out);
    let header = frame_header((out.len() - FRAME_HEADER_LEN) as u64)?;
    if let Some(room) = out.first_chunk_mut() {
        *room = header;
    }
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Result<Decoded, FrameError> {
        FrameDecoder::before_hello().decode(&mut BytesMut::from(bytes))
    }

    #[test]
    fn a_frame_is_cut_out_and_the_next_one_stays() {
        let mut buffer = BytesMut::from(&b"\xCE\0\0\0\x02hi\xCE\0\0\0\0\xCE"[..]);
        let decoder = FrameDecoder::after_hello();
        let frame = |body: &'static [u8]| Ok(Decoded::Frame(Bytes::from_static(body)));
        assert_eq!(decoder.decode(&mut buffer), frame(b"hi"));
        assert_eq!(decoder.decode(&mut buffer), frame(b""));
        assert_eq!(
            decoder.decode(&mut buffer),
            Ok(Decoded::NeedMore { missing: 4 })
        );
        assert_eq!(&buffer[..], b"\xCE");
    }

    #[test]
    fn nothing_but_its_body_keeps_a_frame_in_memory() {
        let mut exact = BytesMut::with_capacity(FRAME_HEADER_LEN + 1000);
        exact.extend_from_slice(&frame_header(1000).expect("it is small"));
        exact.resize(FRAME_HEADER_LEN + 1000, 7);
        let decoded = FrameDecoder::before_hello().decode(&mut exact);
        let Ok(Decoded::Frame(body)) = decoded else {
            panic!("{decoded:?}");
        };
        assert_eq!(body.len(), 1000);
        assert!(body.is_unique(), "the buffer holds on to its memory");
        assert!(exact.is_empty());
    }

    #[test]
    fn missing_counts_the_header_first_and_then_the_body() {
        assert_eq!(decode(b""), Ok(Decoded::NeedMore { missing: 5 }));
        assert_eq!(decode(b"\xCE\0"), Ok(Decoded::NeedMore { missing: 3 }));
        assert_eq!(
            decode(b"\xCE\0\0\0\x0A"),
            Ok(Decoded::NeedMore { missing: 10 })
        );
        assert_eq!(
            decode(b"\xCE\0\0\0\x0Aabc"),
            Ok(Decoded::NeedMore { missing: 7 })
        );
    }

    #[test]
    fn a_length_above_the_limit_is_refused_before_its_body_arrives() {
        let max = FRAME_BYTES_MAX_BEFORE_HELLO;
        assert_eq!(
            decode(b"\xCE\0\0\x40\0"),
            Ok(Decoded::NeedMore { missing: max })
        );
        let len = max + 1;
        assert_eq!(
            decode(b"\xCE\0\0\x40\x01"),
            Err(FrameError::TooLarge { len, max })
        );
        let after = FrameDecoder::after_hello();
        let mut buffer = BytesMut::from(&b"\xCE\x01\0\0\x01"[..]);
        let (len, max) = (FRAME_BYTES_MAX + 1, FRAME_BYTES_MAX);
        assert_eq!(
            after.decode(&mut buffer),
            Err(FrameError::TooLarge { len, max })
        );
    }

    #[test]
    fn foreign_protocols_are_told_apart_by_their_first_bytes() {
        let cases: [(&[u8], LooksLike); 11] = [
            (b"GET / HTTP/1.1\r\n", LooksLike::Http),
            (b"P", LooksLike::Unknown), // POST, PUT, PRI or PROXY: too early to tell
            (b"POST /x HTTP/1.1", LooksLike::Http),
            (b"PRI * HTTP/2.0\r\n", LooksLike::Http),
            (b"PROXY TCP4 1.2.3.4", LooksLike::ProxyProtocol),
            (b"\r\n\r\n\0\r\nQUIT\n!", LooksLike::ProxyProtocol),
            (b"\x16\x03\x01\x02\0\x01", LooksLike::Tls),
            (b"SSH-2.0-OpenSSH", LooksLike::Ssh),
            (b"\0\0\0\x35\0\x12\0\x03", LooksLike::Kafka),
            (b"\x94\0\x01\xA4ping\x80", LooksLike::Unknown),
            (b"hello", LooksLike::Unknown),
        ];
        for (bytes, expected) in cases {
            let Err(FrameError::ForeignProtocol {
                looks_like,
                first_bytes,
            }) = decode(bytes)
            else {
                panic!("{bytes:02x?} was accepted");
            };
            assert_eq!(looks_like, expected, "{bytes:02x?}");
            assert!(bytes.starts_with(&first_bytes) && first_bytes.len() <= FIRST_BYTES_MAX);
        }
    }

    #[test]
    fn a_foreign_protocol_is_refused_with_what_it_looks_like() {
        let error = WireError::from(decode(b"GET / HTTP/1.1\r\nHost: x\r\n").unwrap_err());
        assert_eq!(error.code, ErrorCode::ForeignProtocol);
        assert!(error.message.contains("HTTP"), "{error}");
        let data = error.data.unwrap();
        assert_eq!(data.looks_like.as_deref(), Some("http"));
        assert_eq!(
            data.first_bytes.as_deref(),
            Some(&b"GET / HTTP/1.1\r\n"[..])
        );
    }

    #[test]
    fn no_frame_is_built_above_the_limit() {
        assert!(encode_frame(&vec![0; FRAME_BYTES_MAX]).is_ok());
        let (len, max) = (FRAME_BYTES_MAX as u64 + 1, FRAME_BYTES_MAX as u64);
        let too_large = Err(FrameTooLarge { len, max });
        assert_eq!(encode_frame(&vec![0; FRAME_BYTES_MAX + 1]), too_large);
    }
}
