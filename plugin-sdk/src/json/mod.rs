//! JSON text to MessagePack and back, strictly: what the one cannot say of the other is refused with its
//! reason, so that nothing changes on the way there and back.
//!
//! | JSON | MessagePack |
//! |---|---|
//! | `null`, `true`, `false` | nil, true, false |
//! | a number without `.` and exponent | an integer of 64 bits, signed or not; a larger one is refused |
//! | any other number | a number of 64 bits; one too large for it is refused |
//! | a string | str |
//! | an array, an object | an array, a map; a name that comes twice is refused |
//!
//! The other way, besides: a number of 32 bits is written with as many digits as it needs; NaN, the
//! infinities, map keys that are no text, and bytes ([`Binary`]) are refused.
//!
//! ```
//! use plugin_sdk::json::{self, Binary};
//!
//! let (mut value, mut text) = (Vec::new(), Vec::new());
//! json::to_messagepack(br#"{ "id": 7, "tags": [] }"#, &mut value).unwrap();
//! json::from_messagepack(&value, Binary::Refuse, &mut text).unwrap();
//! assert_eq!(text, br#"{"id":7,"tags":[]}"#);
//! ```

mod parser;
mod printer;

pub use parser::to_messagepack;
pub use printer::{Binary, from_messagepack};
