//! libFuzzer's entry to the target of this name.
#![no_main]

#[path = "../../src/fuzz_targets/plugin_answer.rs"]
mod plugin_answer;

libfuzzer_sys::fuzz_target!(|input: &[u8]| plugin_answer::run(input));
