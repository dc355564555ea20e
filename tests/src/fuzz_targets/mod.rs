//! What is done with bytes from outside, one file a kind: the bodies of the fuzz targets, which
//! `tests/fuzz` drives with libFuzzer and `tests/corpus` with what libFuzzer has found so far. A target
//! panics when a promise is broken, and otherwise has nothing to say.

pub mod batch;
pub mod client;
pub mod config;
pub mod consumer;
pub mod disk;
pub mod durable_positions;
pub mod frame;
pub mod manifest;
pub mod metadata;
pub mod plugin_answer;
pub mod recovery;
pub mod request;
pub mod response;
pub mod round_trip;
pub mod small_files;
pub mod wasm_module;

/// What is tried with arbitrary bytes; it must not panic.
pub type Target = fn(&[u8]);

/// Every target with the name of its corpus.
pub const TARGETS: [(&str, Target); 15] = [
    ("batch", batch::run),
    ("client", client::run),
    ("config", config::run),
    ("consumer", consumer::run),
    ("durable_positions", durable_positions::run),
    ("frame", frame::run),
    ("manifest", manifest::run),
    ("metadata", metadata::run),
    ("plugin_answer", plugin_answer::run),
    ("recovery", recovery::run),
    ("request", request::run),
    ("response", response::run),
    ("round_trip", round_trip::run),
    ("small_files", small_files::run),
    ("wasm_module", wasm_module::run),
];
