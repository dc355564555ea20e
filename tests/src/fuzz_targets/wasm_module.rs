//! A plugin's module: any bytes are inspected and loaded, or refused with a reason.

use std::sync::{Arc, LazyLock};

use broker_wasm::{Inspection, PluginEngine};

static ENGINE: LazyLock<Arc<PluginEngine>> =
    LazyLock::new(|| PluginEngine::new().expect("the engine starts"));

/// The bytes of a module.
pub fn run(input: &[u8]) {
    let inspection = Inspection::of(&ENGINE, input);
    assert_eq!(inspection.size_bytes, input.len());
    match ENGINE.load(input) {
        Ok(module) => {
            assert_eq!(module.digest(), inspection.digest);
            module.exports().chain(module.imports()).for_each(drop);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
