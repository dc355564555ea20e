//! A plugin manifest: any text is taken apart or refused with file and line.

use std::path::Path;

use broker_wasm::Manifest;

/// The text of a manifest.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    match Manifest::parse(text, Path::new("/plugins/plugins.toml")) {
        Ok(manifest) => assert!(
            manifest
                .entries()
                .iter()
                .all(|entry| !entry.name.is_empty())
        ),
        Err(error) => assert!(error.to_string().contains("plugins.toml")),
    }
}
