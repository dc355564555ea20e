//! A vector: a whole frame with a title, as the page prints it, and the checks that it is what its
//! title says.

use broker_protocol::{
    Answer, Decoded, Envelope, FRAME_HEADER_LEN, FrameDecoder, Method, Request, WireError,
    encode_frame, error_frame, notification_frame, request_frame, response_frame,
};
use bytes::{Bytes, BytesMut};

use crate::methods::codec;
use crate::msgpack::{self, Value};

/// A frame with a title.
#[derive(Clone, Debug)]
pub(crate) struct Vector {
    /// Unique on the page, such as `ping request`.
    pub(crate) title: String,
    pub(crate) method: Method,
    pub(crate) frame: Bytes,
}

impl Vector {
    /// A request. `variant` tells several of one method apart.
    pub(crate) fn request<R: Request>(id: u64, variant: &str, request: &R) -> Self {
        Self::new::<R>("request", variant, request_frame(id, request).unwrap())
    }

    /// A notification.
    pub(crate) fn notification<R: Request>(variant: &str, request: &R) -> Self {
        Self::new::<R>(
            "notification",
            variant,
            notification_frame(request).unwrap(),
        )
    }

    /// A successful answer.
    pub(crate) fn response<R: Request>(id: u64, variant: &str, response: &R::Response) -> Self {
        Self::new::<R>("response", variant, response_frame(id, response))
    }

    /// An error answer.
    pub(crate) fn error<R: Request>(id: u64, variant: &str, error: &WireError) -> Self {
        Self::new::<R>("error", variant, error_frame(Some(id), error))
    }

    fn new<R: Request>(kind: &str, variant: &str, frame: Bytes) -> Self {
        let comma = if variant.is_empty() { "" } else { ", " };
        Self {
            title: format!("{} {kind}{comma}{variant}", R::METHOD),
            method: R::METHOD,
            frame,
        }
    }

    /// The body of the frame.
    pub(crate) fn body(&self) -> Bytes {
        self.frame.slice(FRAME_HEADER_LEN..)
    }

    /// The envelope as the page shows it.
    pub(crate) fn json(&self) -> String {
        json(&self.body())
    }

    /// The bytes as the page shows them: the frame's header on a line of its own.
    pub(crate) fn hex(&self) -> String {
        hex_lines(&self.frame)
    }

    /// The arguments or the result.
    pub(crate) fn payload(&self) -> Value {
        let Some(Value::Array(mut elements)) = msgpack::decode(&self.body(), 32) else {
            panic!("{}: not an array", self.title);
        };
        elements.pop().unwrap()
    }

    /// Decodes the frame through the typed API, encodes it again, and compares.
    pub(crate) fn check(&self) -> Result<(), String> {
        let again = self
            .recoded()
            .map_err(|problem| format!("{}: {problem}", self.title))?;
        if again != self.frame {
            let (before, after) = (self.hex(), hex_lines(&again));
            return Err(format!("{}: was\n{before}\nbecame\n{after}", self.title));
        }
        Ok(())
    }

    fn recoded(&self) -> Result<Bytes, String> {
        let mut buffer = BytesMut::from(&self.frame[..]);
        let decoded = FrameDecoder::after_hello().decode(&mut buffer);
        let Ok(Decoded::Frame(body)) = decoded else {
            return Err(format!("not a frame: {decoded:?}"));
        };
        if !buffer.is_empty() {
            return Err("more than one frame".to_owned());
        }
        let codec = codec(self.method);
        let (recode, payload) = match Envelope::parse(&body).map_err(|e| e.to_string())? {
            Envelope::Request { method, args, .. } | Envelope::Notification { method, args } => {
                if method != self.method.name() {
                    return Err(format!("a request for {method}"));
                }
                (codec.request, args)
            }
            Envelope::Response { result, .. } => {
                let answer = Answer::parse(&body).map_err(|e| e.to_string())?;
                if let Err(error) = answer.outcome {
                    return Ok(error_frame(answer.id, &error));
                }
                (codec.response, result)
            }
        };
        let payload_at = body.len() - payload.len();
        let again = recode(&body.slice(payload_at..)).map_err(|e| e.to_string())?;
        let whole = [&body[..payload_at], &again].concat();
        encode_frame(&whole).map_err(|e| e.to_string())
    }
}

/// A frame's body as JSON.
pub(crate) fn json(body: &[u8]) -> String {
    msgpack::decode(body, 32)
        .expect("one MessagePack value")
        .to_json()
}

/// Hexadecimal lines, the frame's header on the first.
pub(crate) fn hex_lines(frame: &[u8]) -> String {
    const PER_LINE: usize = 24;
    let line = |bytes: &[u8]| {
        let bytes: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        bytes.join(" ")
    };
    let (header, body) = frame.split_at(FRAME_HEADER_LEN.min(frame.len()));
    let lines = std::iter::once(header)
        .chain(body.chunks(PER_LINE))
        .map(line);
    lines.collect::<Vec<_>>().join("\n")
}

/// Reads hexadecimal lines back.
pub(crate) fn from_hex(text: &str) -> Result<Bytes, String> {
    let digits = text.split_whitespace();
    let bytes: Result<Vec<u8>, _> = digits.map(|pair| u8::from_str_radix(pair, 16)).collect();
    bytes.map(Bytes::from).map_err(|error| error.to_string())
}
