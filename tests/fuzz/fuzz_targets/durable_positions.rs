//! libFuzzer's entry to the target of this name.
#![no_main]

#[path = "../../src/fuzz_targets/disk.rs"]
mod disk;
#[path = "../../src/fuzz_targets/durable_positions.rs"]
mod durable_positions;

libfuzzer_sys::fuzz_target!(|input: &[u8]| durable_positions::run(input));
