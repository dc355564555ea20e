//! Tests against the public face of the crate: PROTOCOL.md is read and compared with the code, and
//! arbitrary bytes are thrown at everything that decodes.

#![allow(
    clippy::unwrap_used,
    reason = "the configuration that allows it in tests only sees functions marked #[test]"
)]

mod bad_frames;
mod methods;
mod msgpack;
mod page;
mod page_checks;
mod page_limits;
mod properties;
mod samples;
mod samples_admin;
mod samples_plugins;
mod samples_typed;
mod vectors;
