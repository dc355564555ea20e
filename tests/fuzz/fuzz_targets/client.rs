//! libFuzzer's entry to the target of this name.
#![no_main]

#[path = "../../src/fuzz_targets/client.rs"]
mod client;

libfuzzer_sys::fuzz_target!(|input: &[u8]| client::run(input));
