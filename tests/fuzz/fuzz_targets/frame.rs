//! libFuzzer's entry to the target of this name.
#![no_main]

#[path = "../../src/fuzz_targets/frame.rs"]
mod frame;

libfuzzer_sys::fuzz_target!(|input: &[u8]| frame::run(input));
