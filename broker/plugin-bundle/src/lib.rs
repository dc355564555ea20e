//! The shipped plugins as WebAssembly modules, compiled from `plugins/*` by this crate's build script
//! and embedded, so that a broker needs no other file to run its defaults.
//!
//! The broker treats these bytes exactly as it treats a user's file: nothing here runs natively.
//!
//! ```
//! let names: Vec<_> = broker_plugin_bundle::modules().iter().map(|module| module.name).collect();
//! assert!(["key-hash", "time-and-size", "latest-by-key"].iter().all(|name| names.contains(name)));
//! ```

/// One shipped plugin.
#[derive(Clone, Copy, Debug)]
pub struct BundledModule {
    /// The plugin's name: its folder below `plugins/`.
    pub name: &'static str,
    /// SHA-256 of `bytes`, in lower-case hexadecimal: a start need not read them for it.
    pub digest: &'static str,
    /// The core WebAssembly module.
    pub bytes: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/modules.rs"));

/// Every shipped plugin, sorted by name.
pub fn modules() -> &'static [BundledModule] {
    MODULES
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::modules;

    #[test]
    fn a_digest_is_of_the_bytes_beside_it() {
        for module in modules() {
            let digest = format!("{:x}", Sha256::digest(module.bytes));
            assert_eq!(digest, module.digest, "{}", module.name);
        }
    }

    #[test]
    fn every_shipped_plugin_is_a_wasm_module_without_paths_of_the_build_machine() {
        for module in modules() {
            assert!(module.bytes.starts_with(b"\0asm"), "{}", module.name);
            let here = env!("CARGO_MANIFEST_DIR").as_bytes();
            let root = &here[..here.len() - "/broker/plugin-bundle".len()];
            let leaks = module
                .bytes
                .windows(root.len())
                .any(|window| window == root);
            assert!(!leaks, "{} contains the path of the checkout", module.name);
        }
    }
}
