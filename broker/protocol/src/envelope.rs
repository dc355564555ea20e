//! The envelope inside a frame: request `[0, id, method, args]`, response
//! `[1, id, error|nil, result|nil]`, notification `[2, method, args]`. Parsing borrows; an error
//! keeps the request's id whenever that can be read, so that it still reaches whoever asked.

use broker_model::limits::FRAME_BYTES_MAX;
use bytes::Bytes;

use crate::call::{InvalidValue, Request, Response, decode_map, encode_map};
use crate::error_code::ErrorCode;
use crate::frame::{
    FRAME_HEADER_LEN, FrameTooLarge, SMALL_FRAME_BYTES, build_frame, build_frame_in,
};
use crate::reader::{Kind, Reader};
use crate::shape::{self, ShapeError, Walked};
use crate::wire_error::{ErrorData, WireError};

const REQUEST: u8 = 0;
const RESPONSE: u8 = 1;
const NOTIFICATION: u8 = 2;

/// Most bytes of a frame with a successful answer besides the result: header, array, kind, id and nil.
const RESPONSE_BYTES_MAX: usize = FRAME_HEADER_LEN + 1 + 1 + 9 + 1;
/// Most bytes of an error answer.
const ERROR_BYTES_MAX: usize = 16 * 1024;
/// Most bytes of an error answer that lists refused records, which comes only after `hello`.
const REFUSED_BYTES_MAX: usize = 1024 * 1024;

/// A parsed envelope. The slices lie in the frame's body: `body.slice_ref(args)` shares its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope<'a> {
    /// Wants an answer with the same id.
    Request {
        /// Chosen by the sender, unique among its requests under way.
        id: u64,
        /// The method's name, known or not.
        method: &'a str,
        /// One MessagePack value.
        args: &'a [u8],
    },
    /// Answers a request.
    Response {
        /// The request's id; absent when it could not be read, which ends the connection.
        id: Option<u64>,
        /// One MessagePack value, nil on success.
        error: &'a [u8],
        /// One MessagePack value, nil on failure.
        result: &'a [u8],
    },
    /// Wants no answer.
    Notification {
        /// The method's name, known or not.
        method: &'a str,
        /// One MessagePack value.
        args: &'a [u8],
    },
}

/// A frame body that is not an envelope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct BadEnvelope {
    /// Whom to answer. Without it the answer has id nil and the connection is closed after it.
    pub id: Option<u64>,
    /// What to answer.
    pub error: WireError,
}

impl<'a> Envelope<'a> {
    /// Checks the shape of the whole body and takes the envelope apart.
    ///
    /// # Errors
    /// When the body is not one acceptable MessagePack value, or is no envelope.
    pub fn parse(body: &'a [u8]) -> Result<Self, BadEnvelope> {
        match shape::check(body) {
            Ok(()) => Self::take_apart(body),
            Err(error) => Err(malformed(body, error)),
        }
    }

    /// The same for a body of at most so many values; none when there are more.
    pub fn parse_within(body: &'a [u8], values_max: u64) -> Option<Result<Self, BadEnvelope>> {
        match shape::check_within(body, values_max) {
            Ok(Walked::Whole) => Some(Self::take_apart(body)),
            Ok(Walked::Further) => None,
            Err(error) => Some(Err(malformed(body, error))),
        }
    }

    /// Takes the envelope of a body apart that nobody has checked; none when that fails. Its last element is all that
    /// is left, whatever that is: whoever reads it to its end knows what is wrong with it.
    pub fn unchecked(body: &'a [u8]) -> Option<Self> {
        Self::read(&mut Reader::new(body)).ok()
    }

    /// What is wrong with a body of which only the start is there, if that tells: whatever follows then, it is
    /// no envelope. Looks at a few values only.
    ///
    /// # Errors
    /// The first thing wrong.
    pub fn check_start(start: &[u8]) -> Result<(), BadEnvelope> {
        shape::check_start(start).map_err(|error| malformed(start, error))
    }

    fn take_apart(body: &'a [u8]) -> Result<Self, BadEnvelope> {
        Self::read(&mut Reader::new(body)).map_err(|invalid| BadEnvelope {
            id: request_id(body),
            error: invalid.into(),
        })
    }

    /// The last element is what is left of a body that was checked, so it need not be walked again.
    fn read(reader: &mut Reader<'a>) -> Result<Self, InvalidValue> {
        let len = reader.read_array_len()?;
        let kind: u64 = reader.read_number("the kind of an envelope")?;
        let kind = u8::try_from(kind).unwrap_or(u8::MAX);
        let wanted = match kind {
            REQUEST | RESPONSE => 4,
            NOTIFICATION => 3,
            _ => {
                return Err(InvalidValue::new(
                    "an envelope starts with 0 (request), 1 (response) or 2 (notification)",
                ));
            }
        };
        if len != wanted {
            return Err(InvalidValue::new(format!(
                "an envelope of kind {kind} has {wanted} elements, this one has {len}"
            )));
        }
        match kind {
            REQUEST => Ok(Self::Request {
                id: reader.read_number("a request id")?,
                method: read_method(reader)?,
                args: reader.read_rest(),
            }),
            RESPONSE => Ok(Self::Response {
                id: read_optional_id(reader)?,
                error: reader.read_raw()?,
                result: reader.read_rest(),
            }),
            _ => Ok(Self::Notification {
                method: read_method(reader)?,
                args: reader.read_rest(),
            }),
        }
    }
}

fn read_method<'a>(reader: &mut Reader<'a>) -> Result<&'a str, InvalidValue> {
    match reader.kind()? {
        Kind::Str => reader.read_str(),
        _ => Err(reader.unexpected("the name of a method")),
    }
}

fn read_optional_id(reader: &mut Reader<'_>) -> Result<Option<u64>, InvalidValue> {
    if reader.take_nil()? {
        return Ok(None);
    }
    reader.read_number("a request id").map(Some)
}

fn malformed(body: &[u8], error: ShapeError) -> BadEnvelope {
    BadEnvelope {
        id: request_id(body),
        error: error.into(),
    }
}

/// The id of what looks like a request, however broken the rest is.
fn request_id(body: &[u8]) -> Option<u64> {
    let mut reader = Reader::new(body);
    reader.read_array_len().ok()?;
    let kind: u8 = reader.read_number("").ok()?;
    if kind != REQUEST {
        return None;
    }
    reader.read_number("").ok()
}

/// An answer as its receiver wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Which request it answers; `None` means the sender is about to close the connection.
    pub id: Option<u64>,
    /// The result, still encoded (see [`Response::decode`]) and sharing the frame's memory.
    pub outcome: Result<Bytes, WireError>,
}

impl Answer {
    /// Parses the body of a frame as a response.
    ///
    /// # Errors
    /// When it is no well-formed response.
    pub fn parse(body: &Bytes) -> Result<Self, BadEnvelope> {
        let Envelope::Response { id, error, result } = Envelope::parse(body)? else {
            return Err(BadEnvelope {
                id: None,
                error: WireError::new(ErrorCode::MalformedRequest, "expected a response"),
            });
        };
        if is_nil(error) {
            return Ok(Self {
                id,
                outcome: Ok(body.slice_ref(result)),
            });
        }
        match decode_map(error) {
            Ok(error) => Ok(Self {
                id,
                outcome: Err(error),
            }),
            Err(invalid) => Err(BadEnvelope {
                id,
                error: invalid.into(),
            }),
        }
    }
}

fn is_nil(value: &[u8]) -> bool {
    value == [0xC0]
}

/// A whole frame with a request.
///
/// # Errors
/// When it is larger than a frame may be.
pub fn request_frame<R: Request>(id: u64, request: &R) -> Result<Bytes, FrameTooLarge> {
    build_frame(|out| {
        request_prefix(id, R::METHOD.name(), out);
        request.encode(out);
    })
}

/// A whole frame with a notification: a request that nobody answers.
///
/// # Errors
/// When it is larger than a frame may be.
pub fn notification_frame<R: Request>(request: &R) -> Result<Bytes, FrameTooLarge> {
    build_frame(|out| {
        notification_prefix(R::METHOD.name(), out);
        request.encode(out);
    })
}

/// A whole frame with a successful answer. One that is larger than a frame may be turns into the
/// error that says so; what was asked for has been done all the same.
pub fn response_frame<R: Response>(id: u64, response: &R) -> Bytes {
    let capacity = SMALL_FRAME_BYTES.max(response.encoded_len_max() + RESPONSE_BYTES_MAX);
    let frame = build_frame_in(capacity.min(FRAME_BYTES_MAX), |out| {
        response_prefix(id, out);
        response.encode(out);
    });
    frame
        .unwrap_or_else(|too_large| error_frame(Some(id), &WireError::from(too_large).indefinite()))
}

/// A whole frame with an error answer; without an id when the request's could not be read. An error
/// that quotes too much of its request loses its facts and the end of its message; one that lists
/// refused records loses the last of them.
pub fn error_frame(id: Option<u64>, error: &WireError) -> Bytes {
    let frame = build_frame(|out| {
        let head = out.len();
        write_error(id, error, out);
        let mut listed = error.refused_listed();
        while listed > 0 && out.len() - head > REFUSED_BYTES_MAX {
            listed /= 2;
            out.truncate(head);
            write_error(id, &error.with_refused_at_most(listed), out);
        }
        if listed == 0 && out.len() - head > ERROR_BYTES_MAX {
            out.truncate(head);
            write_error(id, &error.shortened(ERROR_BYTES_MAX / 2), out);
        }
    });
    frame.expect("a shortened error is far smaller than a frame may be")
}

fn write_error(id: Option<u64>, error: &WireError, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0x94, RESPONSE]);
    match id {
        Some(id) => write_unsigned(id, out),
        None => out.push(0xC0),
    }
    encode_map(error, out);
    out.push(0xC0);
}

pub(crate) fn request_prefix(id: u64, method: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0x94, REQUEST]);
    write_unsigned(id, out);
    encode_map(&method, out);
}

pub(crate) fn notification_prefix(method: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0x93, NOTIFICATION]);
    encode_map(&method, out);
}

/// Everything of a successful response up to its result.
pub(crate) fn response_prefix(id: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0x94, RESPONSE]);
    write_unsigned(id, out);
    out.push(0xC0);
}

pub(crate) fn write_unsigned(value: u64, out: &mut Vec<u8>) {
    rmp::encode::write_uint(out, value).expect("a Vec takes every byte");
}

impl From<FrameTooLarge> for WireError {
    fn from(error: FrameTooLarge) -> Self {
        Self::new(ErrorCode::FrameTooLarge, error.to_string()).with_data(ErrorData {
            actual: Some(error.len),
            limit: Some(error.max),
            ..ErrorData::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::hello::HelloRequest;
    use crate::api::metadata::{MetadataRequest, MetadataResponse};
    use crate::api::ping::{PingRequest, PingResponse};
    use crate::frame::FRAME_HEADER_LEN;

    fn body(frame: &Bytes) -> Bytes {
        frame.slice(FRAME_HEADER_LEN..)
    }

    #[test]
    fn requests_and_notifications_are_taken_apart_without_copying() {
        let frame = body(&request_frame(u64::MAX, &HelloRequest::new("x")).unwrap());
        let Ok(Envelope::Request { id, method, args }) = Envelope::parse(&frame) else {
            panic!("not a request");
        };
        assert_eq!((id, method), (u64::MAX, "hello"));
        assert_eq!(
            HelloRequest::decode(&frame.slice_ref(args)),
            Ok(HelloRequest::new("x"))
        );
        let frame = body(&notification_frame(&PingRequest {}).unwrap());
        let (method, args) = ("ping", &b"\x80"[..]);
        assert_eq!(
            Envelope::parse(&frame),
            Ok(Envelope::Notification { method, args })
        );
    }

    #[test]
    fn answers_carry_a_result_or_an_error() {
        let answer = Answer::parse(&body(&response_frame(3, &PingResponse::default()))).unwrap();
        assert_eq!(answer.id, Some(3));
        assert!(PingResponse::decode(&answer.outcome.unwrap()).is_ok());
        let busy = WireError::new(ErrorCode::Busy, "full")
            .with_retriable(false)
            .indefinite();
        let answer = Answer::parse(&body(&error_frame(None, &busy))).unwrap();
        assert_eq!((answer.id, answer.outcome), (None, Err(busy)));
    }

    #[test]
    fn an_error_code_from_the_future_keeps_its_number_and_name() {
        let frame = b"\x94\x01\x05\x82\xA4code\xCD\x27\x0F\xA4name\xA4LATE\xC0";
        let error = Answer::parse(&Bytes::from_static(frame))
            .unwrap()
            .outcome
            .unwrap_err();
        assert_eq!((error.code, error.number()), (ErrorCode::Unknown, 9999));
        assert_eq!(error.to_string(), "LATE: ");
        assert!(!error.definite && !error.retriable);
        let again = body(&error_frame(Some(5), &error));
        assert_eq!(Answer::parse(&again).unwrap().outcome, Err(error));
    }

    #[test]
    fn the_id_of_a_broken_request_is_kept_if_it_can_be_read() {
        let id_of = |body: &[u8]| Envelope::parse(body).unwrap_err().id;
        assert_eq!(id_of(b"\x94\x00\x2A\xA4ping\x81"), Some(42)); // args end early
        assert_eq!(id_of(b"\x94\x00\x2A\xA4ping\x80\x00"), Some(42)); // trailing byte
        assert_eq!(id_of(b"\x94\x00\x2A\x07\x80"), Some(42)); // the method is a number
        assert_eq!(id_of(b"\x93\x00\x2A\xA4ping"), Some(42)); // no args
        assert_eq!(id_of(b"\x94\x00\xA1x\xA4ping\x80"), None); // the id is text
        assert_eq!(id_of(b"\x94\x00\xFF\xA4ping\x80"), None); // the id is negative
        assert_eq!(id_of(b"\x94\x07\x2A\xA4ping\x80"), None); // no such kind
        assert_eq!(id_of(b"\x93\x02\x2A\x80"), None); // a notification has none
        assert_eq!(id_of(b""), None);
    }

    #[test]
    fn what_is_wrong_with_an_envelope_is_said() {
        let message = |body: &[u8]| Envelope::parse(body).unwrap_err().error.to_string();
        assert_eq!(
            message(b"\x80"),
            "MALFORMED_REQUEST: expected an array, found a map"
        );
        assert_eq!(
            message(b"\x94\x00\x01\xC4\x04ping\x80"),
            "MALFORMED_REQUEST: expected the name of a method, found binary"
        );
        assert_eq!(
            message(b"\x93\x00\x01\xA4ping"),
            "MALFORMED_REQUEST: an envelope of kind 0 has 4 elements, this one has 3"
        );
    }

    #[test]
    fn an_answer_that_fits_no_frame_turns_into_an_indefinite_error() {
        let huge = MetadataResponse {
            cluster_id: "x".repeat(17 << 20),
            ..MetadataResponse::default()
        };
        let answer = Answer::parse(&body(&response_frame(9, &huge))).unwrap();
        let error = answer.outcome.unwrap_err();
        assert_eq!((answer.id, error.code), (Some(9), ErrorCode::FrameTooLarge));
        assert!(!error.definite);
        let request = MetadataRequest {
            topics: Some(vec!["x".repeat(17 << 20)]),
        };
        assert!(request_frame(1, &request).is_err());
    }

    #[test]
    fn an_error_that_quotes_too_much_is_shortened() {
        let facts = ErrorData {
            topic: Some("y".repeat(1 << 20)),
            ..ErrorData::default()
        };
        let error = WireError::new(ErrorCode::InvalidTopic, "é".repeat(1 << 20)).with_data(facts);
        let frame = error_frame(Some(1), &error);
        assert!(frame.len() <= ERROR_BYTES_MAX, "{}", frame.len());
        let short = Answer::parse(&body(&frame)).unwrap().outcome.unwrap_err();
        assert_eq!(short.code, ErrorCode::InvalidTopic);
        assert!(short.message.starts_with("éé") && short.message.ends_with('…'));
    }

    #[test]
    fn an_error_lists_as_many_refused_records_as_fit() {
        let refused = |index| crate::RefusedRecord {
            index,
            field: "value".to_owned(),
            reason: "x".repeat(256),
            ..crate::RefusedRecord::default()
        };
        let listed = |count: u32| {
            let error = WireError::new(ErrorCode::RecordRefused, "no").with_data(ErrorData {
                refused: (0..count).map(refused).collect(),
                refused_count: Some(u64::from(count)),
                ..ErrorData::default()
            });
            let frame = error_frame(Some(1), &error);
            let header = crate::frame::FRAME_HEADER_LEN;
            assert!(frame.len() < REFUSED_BYTES_MAX + 1024, "{}", frame.len());
            let answer = Answer::parse(&frame.slice(header..)).unwrap();
            let data = answer.outcome.unwrap_err().data.unwrap();
            assert_eq!(data.refused_count, Some(u64::from(count)));
            data.refused.len()
        };
        assert_eq!(listed(1_000), 1_000);
        let some = listed(50_000);
        assert!((1_000..50_000).contains(&some), "{some}");
    }
}
