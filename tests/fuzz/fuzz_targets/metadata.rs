//! libFuzzer's entry to the target of this name.
#![no_main]

#[path = "../../src/fuzz_targets/metadata.rs"]
mod metadata;

libfuzzer_sys::fuzz_target!(|input: &[u8]| metadata::run(input));
