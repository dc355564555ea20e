//! libFuzzer's entry to the target of this name.
#![no_main]

#[path = "../../src/fuzz_targets/disk.rs"]
mod disk;
#[path = "../../src/fuzz_targets/small_files.rs"]
mod small_files;

libfuzzer_sys::fuzz_target!(|input: &[u8]| small_files::run(input));
