//! libFuzzer's entry to the target of this name.
#![no_main]

#[path = "../../src/fuzz_targets/response.rs"]
mod response;

libfuzzer_sys::fuzz_target!(|input: &[u8]| response::run(input));
