//! libFuzzer's entry to the target of this name.
#![no_main]

#[path = "../../src/fuzz_targets/round_trip.rs"]
mod round_trip;

libfuzzer_sys::fuzz_target!(|input: &[u8]| round_trip::run(input));
