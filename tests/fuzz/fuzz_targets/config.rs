//! libFuzzer's entry to the target of this name.
#![no_main]

#[path = "../../src/fuzz_targets/config.rs"]
mod config;

libfuzzer_sys::fuzz_target!(|input: &[u8]| config::run(input));
