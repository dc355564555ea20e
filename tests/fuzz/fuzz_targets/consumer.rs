//! libFuzzer's entry to the target of this name.
#![no_main]

#[path = "../../src/fuzz_targets/consumer.rs"]
mod consumer;

libfuzzer_sys::fuzz_target!(|input: &[u8]| consumer::run(input));
