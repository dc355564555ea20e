//! `broker plugin inspect`: looks at a module file as a broker would, without one, and writes its
//! entry for the manifest.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use broker_client::model::limits::PLUGIN_MODULE_BYTES_MAX;
use broker_wasm::{Inspection, PluginEngine};
use clap::Args;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::bytes;
use crate::session::Session;

/// Inspect a plugin file without a broker: kind, digest, imports, exports, problems
///
/// Compiles the module and tries it out as `broker serve` would. Ends with exit code 1 if a broker
/// would refuse it, and says why. Prints the entry for the manifest as well; with --manifest-entry
/// nothing else, so that it can be appended to one.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker plugin inspect target/wasm32-unknown-unknown/release/my_partitioner.wasm
  broker plugin inspect my_partitioner.wasm --manifest-entry >> plugins.toml
  broker plugin inspect my_partitioner.wasm --json")]
pub(super) struct InspectArgs {
    /// The module, a .wasm file built for wasm32-unknown-unknown
    file: PathBuf,

    /// Print only the [[plugin]] entry for a manifest
    #[arg(long)]
    manifest_entry: bool,

    /// Name of the plugin in the entry [default: that of its crate, or of the file]
    #[arg(long)]
    name: Option<String>,
}

#[derive(Serialize)]
struct InspectedFile {
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
    manifest_entry: Option<String>,
}

impl InspectArgs {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let module = read(&self.file)?;
        let engine = PluginEngine::new().map_err(|error| Failure::failed(error.to_string()))?;
        let inspection = Inspection::of(&engine, &module);
        let problem = inspection.problem.as_ref().map(ToString::to_string);
        let inspected = self.describe(inspection);
        let refused = problem.map(|problem| {
            Failure::failed(format!(
                "{} is not a plugin this broker runs: {problem}",
                self.file.display()
            ))
            .with_hint("plugin-sdk says how to write and build one")
        });
        match (&inspected.manifest_entry, self.manifest_entry) {
            (Some(entry), true) => session.output.show(&inspected, |_| entry.clone())?,
            (None, true) => {}
            (_, false) => session.output.show(&inspected, text)?,
        }
        refused.map_or(Ok(()), Err)
    }

    fn describe(&self, inspection: Inspection) -> InspectedFile {
        let only_kind = match inspection.kinds.as_slice() {
            [kind] => Some(*kind),
            _ => None,
        };
        let entry = match (only_kind, &inspection.problem) {
            (Some(kind), None) => Some(self.entry(kind, &inspection)),
            _ => None,
        };
        InspectedFile {
            file: self.file.display().to_string(),
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

    /// Ready to paste. The path is absolute: a relative one starts at the manifest's folder, which
    /// is not known here.
    fn entry(&self, kind: &str, inspection: &Inspection) -> String {
        let stem = self
            .file
            .file_stem()
            .map(|stem| stem.to_string_lossy().replace('_', "-"));
        let name = self
            .name
            .clone()
            .or_else(|| inspection.name.clone())
            .or(stem);
        let path = self
            .file
            .canonicalize()
            .unwrap_or_else(|_| self.file.clone());
        let mut entry = String::from("\n[[plugin]]\n");
        // Writing to a String cannot fail.
        let _ = writeln!(entry, "name = {}", quoted(&name.unwrap_or_default()));
        if let Some(version) = &inspection.version {
            let _ = writeln!(entry, "version = {}", quoted(version));
        }
        let _ = writeln!(entry, "kind = {}", quoted(kind));
        let _ = writeln!(entry, "path = {}", quoted(&path.display().to_string()));
        let _ = writeln!(entry, "sha256 = {}", quoted(&inspection.digest));
        entry
    }
}

/// A TOML basic string. JSON's escapes are TOML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A module is small: a file that is not is refused before it is read.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| Failure::from(error).after(file.display());
    let size = std::fs::metadata(file).map_err(failed)?.len();
    if size > PLUGIN_MODULE_BYTES_MAX as u64 {
        return Err(Failure::failed(format!(
            "{}: {} is larger than a plugin may be ({})",
            file.display(),
            bytes(size),
            bytes(PLUGIN_MODULE_BYTES_MAX as u64)
        )));
    }
    std::fs::read(file).map_err(failed)
}

fn text(inspected: &InspectedFile) -> String {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "not stated".to_owned());
    let list = |items: &[String]| match items {
        [] => "none".to_owned(),
        some => some.join("\n          "),
    };
    let mut text = String::new();
    let kind = inspected.kind.unwrap_or("none recognised");
    let size = bytes(inspected.size_bytes as u64);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "file      {}", inspected.file);
    let _ = writeln!(text, "size      {size}");
    let _ = writeln!(text, "sha256    {}", inspected.sha256);
    let _ = writeln!(text, "kind      {kind}");
    let _ = writeln!(text, "abi       {}", list(&inspected.abi_versions));
    let _ = writeln!(
        text,
        "crate     {} {}",
        or_none(&inspected.name),
        or_none(&inspected.version)
    );
    let _ = writeln!(text, "imports   {}", list(&inspected.imports));
    let _ = writeln!(text, "exports   {}", list(&inspected.exports));
    if let Some(entry) = &inspected.manifest_entry {
        let _ = writeln!(text, "\nFor the manifest:\n{entry}");
    }
    text
}
