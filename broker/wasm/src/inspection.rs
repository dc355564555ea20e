//! What can be said about a file that may be a plugin, for `broker plugin inspect`: everything that
//! was found, and the reason if it cannot be loaded.

use crate::anatomy::Anatomy;
use crate::engine::PluginEngine;
use crate::load_error::LoadError;
use crate::module::digest;

/// A look at a file that may be a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Its size in bytes.
    pub size_bytes: usize,
    /// SHA-256 of it, in lower-case hexadecimal: what a manifest's `sha256` has to say.
    pub digest: String,
    /// The kinds of plugin whose functions it exports; exactly one in a plugin that can be loaded.
    pub kinds: Vec<&'static str>,
    /// The versions of `broker:plugin` it was built for; exactly one in a plugin that can be loaded.
    pub abi_versions: Vec<String>,
    /// The crate it was built from.
    pub name: Option<String>,
    /// That crate's version.
    pub version: Option<String>,
    /// What it imports, as `interface#function`.
    pub imports: Vec<String>,
    /// The plugin functions it exports, as `interface#function`.
    pub exports: Vec<String>,
    /// Why this broker cannot run it, if it cannot.
    pub problem: Option<LoadError>,
}

impl Inspection {
    /// Looks at a module; compiles it and tries it out as loading it would.
    pub fn of(engine: &PluginEngine, module: &[u8]) -> Self {
        let anatomy = Anatomy::read(module).unwrap_or_default();
        Inspection {
            size_bytes: module.len(),
            digest: digest(module),
            kinds: anatomy
                .kinds()
                .into_iter()
                .map(|kind| kind.name())
                .collect(),
            abi_versions: anatomy
                .abi_versions()
                .into_iter()
                .map(str::to_owned)
                .collect(),
            problem: engine.load(module).err(),
            imports: anatomy.imports.into_iter().collect(),
            exports: anatomy.exports.into_iter().collect(),
            name: anatomy.name,
            version: anatomy.version,
        }
    }
}
