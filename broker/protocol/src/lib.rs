//! The wire protocol: frames, envelopes, one module per method, and the table of errors. Says how
//! things look on the wire, never how they are carried out. `PROTOCOL.md` beside this crate is the
//! public description; tests read its tables and vectors and hold this code against them.
//!
//! ```
//! use broker_protocol::api::ping::{PingRequest, PingResponse};
//! use broker_protocol::{Answer, Decoded, Envelope, FrameDecoder, Request, Response};
//! use bytes::BytesMut;
//!
//! // The client sends a request …
//! let mut wire = BytesMut::from(&broker_protocol::request_frame(7, &PingRequest {})?[..]);
//! // … the broker cuts the frame out, reads the envelope, and answers …
//! let Decoded::Frame(body) = FrameDecoder::after_hello().decode(&mut wire)? else { panic!() };
//! let Envelope::Request { id, method, args } = Envelope::parse(&body)? else { panic!() };
//! assert_eq!((id, method), (7, "ping"));
//! PingRequest::decode(&body.slice_ref(args))?;
//! let mut wire = BytesMut::from(&broker_protocol::response_frame(id, &PingResponse::default())[..]);
//! // … and the client finds its answer by the id.
//! let Decoded::Frame(body) = FrameDecoder::after_hello().decode(&mut wire)? else { panic!() };
//! let answer = Answer::parse(&body)?;
//! assert_eq!(answer.id, Some(7));
//! assert_eq!(PingResponse::decode(&answer.outcome?)?, PingResponse::default());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod api;
mod call;
mod de;
mod envelope;
mod error_code;
mod frame;
mod method;
mod numbers;
mod plugin_revision;
mod reader;
mod refused_record;
pub mod shape;
mod wire;
mod wire_error;
mod writer;

pub use call::{InvalidValue, Request, Response};
pub use envelope::{
    Answer, BadEnvelope, Envelope, error_frame, notification_frame, request_frame, response_frame,
};
pub use error_code::ErrorCode;
pub use frame::{
    Decoded, FRAME_HEADER_LEN, FRAME_MARKER, FrameDecoder, FrameError, FrameTooLarge, LooksLike,
    encode_frame, frame_header,
};
pub use method::{Method, feature};
pub use plugin_revision::{DeployedRevision, LimitOverrides};
pub use refused_record::{DeadLetter, RefusedRecord};
pub use wire_error::{ErrorData, LeaderHint, WireError};

/// Lowest protocol version this build speaks.
pub const PROTOCOL_MIN: u32 = 1;
/// Highest protocol version this build speaks.
pub const PROTOCOL_MAX: u32 = 1;
