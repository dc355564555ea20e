//! `Request` and `Response`: what every API file implements. Arguments and results travel as maps
//! with string keys; the two hot ones (produce, fetch) have decoders of their own that borrow.

use std::fmt;

use broker_model::limits::REQUEST_ELEMENTS_MAX;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::de;
use crate::error_code::ErrorCode;
use crate::method::Method;
use crate::wire_error::{ErrorData, WireError};

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

    /// At most how many bytes that takes, if it is known to be more than a little: so much room is made at once.
    fn encoded_len_max(&self) -> usize {
        0
    }

    /// Reads the result map; byte strings of the result may share the frame's memory.
    ///
    /// # Errors
    /// When a field is missing or has another type than documented.
    fn decode(result: &Bytes) -> Result<Self, InvalidValue>;
}

/// Arguments or a result that do not have the documented shape: where, and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidValue {
    /// Such as `partitions[3].offset`; empty for the value as a whole.
    path: String,
    message: String,
}

impl InvalidValue {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            path: String::new(),
            message: message.into(),
        }
    }

    /// The same error, inside the value of this key.
    pub(crate) fn inside(mut self, key: &str) -> Self {
        let dot = match self.path.chars().next() {
            None | Some('[') => "",
            Some(_) => ".",
        };
        self.path = format!("{key}{dot}{}", self.path);
        self
    }

    /// The same error, inside this element of an array.
    pub(crate) fn at(self, index: usize) -> Self {
        self.inside(&format!("[{index}]"))
    }

    /// Where the value is wrong, such as `partitions[3].offset`; empty for the value as a whole.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "`{}`: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for InvalidValue {}

impl serde::de::Error for InvalidValue {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }
}

impl From<InvalidValue> for WireError {
    fn from(invalid: InvalidValue) -> Self {
        let message = invalid.to_string();
        let error = Self::new(ErrorCode::MalformedRequest, message);
        if invalid.path.is_empty() {
            return error;
        }
        error.with_data(ErrorData {
            key: Some(invalid.path),
            ..ErrorData::default()
        })
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
    de::from_slice(bytes)
}

/// Reads the arguments of a request, which have to be of a reasonable number of elements.
pub(crate) fn decode_arguments<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, InvalidValue> {
    de::from_slice_within(bytes, REQUEST_ELEMENTS_MAX)
}

/// Implements both traits for a pair of plain serde structs; `of` leaves out the result, which
/// another method has as well.
macro_rules! plain_call {
    ($method:ident, $request:ty => of $response:ty) => {
        impl $crate::call::Request for $request {
            const METHOD: $crate::method::Method = $crate::method::Method::$method;
            type Response = $response;

            fn encode(&self, out: &mut Vec<u8>) {
                $crate::call::encode_map(self, out);
            }

            fn decode(args: &bytes::Bytes) -> Result<Self, $crate::call::InvalidValue> {
                $crate::call::decode_arguments(args)
            }
        }
    };
    ($method:ident, $request:ty => $response:ty) => {
        $crate::call::plain_call!($method, $request => of $response);

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
