//! libFuzzer's entry to the target of this name.
#![no_main]

#[path = "../../src/fuzz_targets/wasm_module.rs"]
mod wasm_module;

libfuzzer_sys::fuzz_target!(|input: &[u8]| wasm_module::run(input));
