//! Module files: reading one, loading it as a broker would, and what there is to say about it.
//! Everything here works without a broker.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use broker_client::model::limits::PLUGIN_MODULE_BYTES_MAX;
use broker_wasm::{Inspection, Limits, LoadError, Module, Plugin, PluginEngine, PluginSource};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::bytes;

/// A module that is small enough to be read: a file that is not is refused before.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| Failure::from(error).after(file.display());
    let metadata = std::fs::metadata(file).map_err(failed)?;
    if metadata.is_dir() {
        let text = format!("{} is a folder, and not a module", file.display());
        return Err(Failure::failed(text).with_hint(format!(
            "`broker plugin build {}` builds the crate in it and prints where the module is",
            file.display()
        )));
    }
    if metadata.len() > PLUGIN_MODULE_BYTES_MAX as u64 {
        return Err(Failure::failed(format!(
            "{}: {} is larger than a plugin may be ({})",
            file.display(),
            bytes(metadata.len()),
            bytes(PLUGIN_MODULE_BYTES_MAX as u64)
        )));
    }
    std::fs::read(file).map_err(failed)
}

/// Starts the engine that a broker has.
pub(super) fn engine() -> Result<Arc<PluginEngine>, Failure> {
    PluginEngine::new().map_err(|error| Failure::failed(error.to_string()))
}

/// The failure for a file that a broker would refuse.
pub(super) fn refused(file: &Path, problem: &LoadError) -> Failure {
    Failure::failed(format!(
        "{} is not a plugin this broker runs: {problem}",
        file.display()
    ))
    .with_hint("`broker plugin new` begins one that is, and `broker plugin build` builds it")
}

/// A module in the sandbox of a broker, without a broker.
pub(super) struct Offline {
    pub(super) engine: Arc<PluginEngine>,
    pub(super) module: Module,
    name: String,
}

impl Offline {
    /// Loads a module file.
    pub(super) fn load(file: &Path) -> Result<Self, Failure> {
        let code = read(file)?;
        let engine = engine()?;
        let module = engine
            .load(&code)
            .map_err(|problem| refused(file, &problem))?;
        let stem = || {
            file.file_stem()
                .map(|stem| stem.to_string_lossy().replace('_', "-"))
        };
        let name = module.name().map(str::to_owned).or_else(stem);
        Ok(Self {
            engine,
            name: name.unwrap_or_default(),
            module,
        })
    }

    /// The plugin's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A plugin of this module that has not run yet: without cost, log lines and traps.
    pub(super) fn fresh(&self) -> Arc<Plugin> {
        self.fresh_with(Limits::default_for(self.module.kind()))
    }

    /// The same with other limits.
    pub(super) fn fresh_with(&self, limits: Limits) -> Arc<Plugin> {
        let plugin = Plugin::new(&self.name, self.module.clone(), PluginSource::Deployed);
        Arc::new(plugin.with_limits(limits))
    }
}

/// What `inspect` and `build` say about a module.
#[derive(Serialize)]
pub(super) struct InspectedFile {
    file: String,
    size_bytes: usize,
    sha256: String,
    kind: Option<&'static str>,
    abi_versions: Vec<String>,
    name: Option<String>,
    version: Option<String>,
    imports: Vec<String>,
    exports: Vec<String>,
    problem: Option<String>,
    pub(super) manifest_entry: Option<String>,
}

impl InspectedFile {
    /// Describes a file; the entry for the manifest is made under `name`, unless that is left open.
    pub(super) fn new(file: &Path, name: Option<&str>, inspection: Inspection) -> Self {
        let only_kind = match inspection.kinds.as_slice() {
            [kind] => Some(*kind),
            _ => None,
        };
        let entry = match (only_kind, &inspection.problem) {
            (Some(kind), None) => Some(manifest_entry(file, name, kind, &inspection)),
            _ => None,
        };
        Self {
            file: file.display().to_string(),
            size_bytes: inspection.size_bytes,
            sha256: inspection.digest,
            kind: only_kind,
            abi_versions: inspection.abi_versions,
            name: inspection.name,
            version: inspection.version,
            imports: inspection.imports,
            exports: inspection.exports,
            problem: inspection.problem.map(|problem| problem.to_string()),
            manifest_entry: entry,
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let or_none =
            |text: &Option<String>| text.clone().unwrap_or_else(|| "not stated".to_owned());
        let list = |items: &[String]| match items {
            [] => "none".to_owned(),
            some => some.join("\n          "),
        };
        let mut text = String::new();
        let size = bytes(self.size_bytes as u64);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "file      {}", self.file);
        let _ = writeln!(text, "size      {size}");
        let _ = writeln!(text, "sha256    {}", self.sha256);
        let _ = writeln!(text, "kind      {}", self.kind.unwrap_or("none recognised"));
        let _ = writeln!(text, "abi       {}", list(&self.abi_versions));
        let (name, version) = (or_none(&self.name), or_none(&self.version));
        let _ = writeln!(text, "crate     {name} {version}");
        let _ = writeln!(text, "imports   {}", list(&self.imports));
        let _ = writeln!(text, "exports   {}", list(&self.exports));
        if let Some(entry) = &self.manifest_entry {
            let _ = writeln!(text, "\nFor the manifest:\n{entry}");
        }
        text
    }
}

/// Ready to paste. The path is absolute: a relative one starts at the manifest's folder, which is
/// not known here.
fn manifest_entry(file: &Path, name: Option<&str>, kind: &str, inspection: &Inspection) -> String {
    let stem = || {
        file.file_stem()
            .map(|stem| stem.to_string_lossy().replace('_', "-"))
    };
    let named = name.map(str::to_owned).or_else(|| inspection.name.clone());
    let name = named.or_else(stem).unwrap_or_default();
    let path = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let mut entry = String::from("\n[[plugin]]\n");
    // Writing to a String cannot fail.
    let _ = writeln!(entry, "name = {}", quoted(&name));
    if let Some(version) = &inspection.version {
        let _ = writeln!(entry, "version = {}", quoted(version));
    }
    let _ = writeln!(entry, "kind = {}", quoted(kind));
    let _ = writeln!(entry, "path = {}", quoted(&path.display().to_string()));
    let _ = writeln!(entry, "sha256 = {}", quoted(&inspection.digest));
    entry
}

/// A TOML basic string. JSON's escapes are TOML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
