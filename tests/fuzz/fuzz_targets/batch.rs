//! libFuzzer's entry to the target of this name.
#![no_main]

#[path = "../../src/fuzz_targets/batch.rs"]
mod batch;

libfuzzer_sys::fuzz_target!(|input: &[u8]| batch::run(input));
