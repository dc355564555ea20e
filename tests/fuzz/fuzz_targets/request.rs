//! libFuzzer's entry to the target of this name.
#![no_main]

#[path = "../../src/fuzz_targets/request.rs"]
mod request;

libfuzzer_sys::fuzz_target!(|input: &[u8]| request::run(input));
