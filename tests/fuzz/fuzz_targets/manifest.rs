//! libFuzzer's entry to the target of this name.
#![no_main]

#[path = "../../src/fuzz_targets/manifest.rs"]
mod manifest;

libfuzzer_sys::fuzz_target!(|input: &[u8]| manifest::run(input));
