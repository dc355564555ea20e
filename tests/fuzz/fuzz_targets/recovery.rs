//! libFuzzer's entry to the target of this name.
#![no_main]

#[path = "../../src/fuzz_targets/disk.rs"]
mod disk;
#[path = "../../src/fuzz_targets/recovery.rs"]
mod recovery;

libfuzzer_sys::fuzz_target!(|input: &[u8]| recovery::run(input));
