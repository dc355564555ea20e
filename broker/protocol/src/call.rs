//! `Request` and `Response`: what every API file implements. Arguments and results travel as maps
//! with string keys; the two hot ones (produce, fetch) have decoders of their own that borrow.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error_code::ErrorCode;
use crate::method::Method;
use crate::wire_error::WireError;

/// The arguments of a method.
pub trait Request: Sized {
    /// The method they belong to.
    const METHOD: Method;
    /// What the method answers.
    type Response: Response;

    /// Appends the argument map.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads the argument map; byte strings of the result may share the frame's memory.
    ///
    /// # Errors
    /// When a field is missing or has another type than documented.
    fn decode(args: &Bytes) -> Result<Self, InvalidValue>;
}

/// The result of a method.
pub trait Response: Sized {
    /// Appends the result map.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads the result map; byte strings of the result may share the frame's memory.
    ///
    /// # Errors
    /// When a field is missing or has another type than documented.
    fn decode(result: &Bytes) -> Result<Self, InvalidValue>;
}

/// Arguments or a result that do not have the documented shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidValue {
    message: String,
}

impl InvalidValue {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }

    /// The same error, inside the value of this key.
    pub(crate) fn inside(self, key: &str) -> Self {
        Self::new(format!("`{key}`: {}", self.message))
    }
}

impl From<InvalidValue> for WireError {
    fn from(invalid: InvalidValue) -> Self {
        Self::new(ErrorCode::MalformedRequest, invalid.message)
    }
}

/// Appends a value as a map with string keys.
pub(crate) fn encode_map<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    let mut serializer = rmp_serde::Serializer::new(out).with_struct_map();
    value
        .serialize(&mut serializer)
        .expect("our structs always serialize, and a Vec takes every byte");
}

/// Reads a value from a map with string keys.
pub(crate) fn decode_map<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, InvalidValue> {
    rmp_serde::from_slice(bytes).map_err(|error| InvalidValue::new(error.to_string()))
}

/// Implements both traits for a pair of plain serde structs.
macro_rules! plain_call {
    ($method:ident, $request:ty => $response:ty) => {
        impl $crate::call::Request for $request {
            const METHOD: $crate::method::Method = $crate::method::Method::$method;
            type Response = $response;

            fn encode(&self, out: &mut Vec<u8>) {
                $crate::call::encode_map(self, out);
            }

            fn decode(args: &bytes::Bytes) -> Result<Self, $crate::call::InvalidValue> {
                $crate::call::decode_map(args)
            }
        }

        impl $crate::call::Response for $response {
            fn encode(&self, out: &mut Vec<u8>) {
                $crate::call::encode_map(self, out);
            }

            fn decode(result: &bytes::Bytes) -> Result<Self, $crate::call::InvalidValue> {
                $crate::call::decode_map(result)
            }
        }
    };
}
pub(crate) use plain_call;
