//! MessagePack for plugins: a reader that copies nothing, a check of whole values, and writers. The
//! broker's logical values are MessagePack without extension types, nested at most [`DEPTH_MAX`] deep.
//!
//! ```
//! use plugin_sdk::messagepack::{self, Reader, Value};
//!
//! let mut bytes = Vec::new();
//! messagepack::write_map_len(&mut bytes, 1);
//! messagepack::write_str(&mut bytes, "id");
//! messagepack::write_int(&mut bytes, 7);
//!
//! let mut reader = Reader::new(&bytes);
//! assert_eq!(reader.read(), Ok(Value::Map(1)));
//! assert_eq!(reader.read(), Ok(Value::Str("id")));
//! assert_eq!(reader.read(), Ok(Value::Int(7)));
//! assert!(reader.is_at_end());
//! ```

mod reader;
mod writer;

pub use reader::{Malformed, Reader, Value, check};
pub use writer::{
    write_array_len, write_bin, write_bool, write_f32, write_f64, write_int, write_map_len,
    write_nil, write_str, write_uint,
};

/// How deep arrays and maps may be nested, as in the broker's protocol.
pub const DEPTH_MAX: usize = 32;
