//! `broker plugin new`: a crate that is a plugin already, with the SDK it is written with. What it
//! writes lies in `templates` and, for the SDK, in `sdk_sources`; nothing is ever overwritten.

mod sdk_sources;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::kind::Kind;
use crate::failure::Failure;
use crate::session::Session;

/// Begin a plugin: a crate that builds and passes its tests as it is
///
/// Writes a folder with a Cargo.toml, a commented src/lib.rs with native tests, fixtures for
/// `broker plugin test`, a README, and the sources of the SDK in vendor/plugin-sdk. The crate
/// needs Rust with the target wasm32-unknown-unknown, and nothing of the broker's repository.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker plugin new by-region --kind partitioner
  broker plugin new invoices --kind serializer --path ~/plugins/invoices
  broker plugin new keep-audit --kind compaction --sdk ../broker/plugin-sdk
Then:
  cd by-region && cargo test    the native tests
  broker plugin test by-region    builds it and runs it in the broker's sandbox")]
pub(super) struct NewArgs {
    /// Name of the plugin and its crate: a-z, 0-9 and -, beginning with a letter
    #[arg(value_parser = plugin_name)]
    name: String,

    /// What it decides
    #[arg(long, value_enum)]
    kind: Kind,

    /// The folder to make [default: ./NAME]
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,

    /// Use the SDK at this path instead of a copy
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

/// What a new plugin of a kind begins with.
impl Kind {
    fn library(self) -> &'static str {
        match self {
            Self::Partitioner => include_str!("templates/partitioner.rs"),
            Self::Serializer => include_str!("templates/serializer.rs"),
            Self::Retention => include_str!("templates/retention.rs"),
            Self::Compaction => include_str!("templates/compaction.rs"),
        }
    }

    fn fixtures(self) -> &'static str {
        match self {
            Self::Partitioner => include_str!("templates/partitioner.yaml"),
            Self::Serializer => include_str!("templates/serializer.yaml"),
            Self::Retention => include_str!("templates/retention.yaml"),
            Self::Compaction => include_str!("templates/compaction.yaml"),
        }
    }

    /// The key of a topic's configuration that names a plugin of this kind.
    fn topic_key(self) -> &'static str {
        match self {
            Self::Partitioner => "partitioner",
            Self::Serializer => "value.serializer",
            Self::Retention => "retention.policy",
            Self::Compaction => "compaction.policy",
        }
    }
}

/// A name that cargo, the manifest and a topic's configuration all take.
fn plugin_name(text: &str) -> Result<String, String> {
    let first_is_letter = text.starts_with(|c: char| c.is_ascii_lowercase());
    let all_fit = text
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !first_is_letter || !all_fit || text.ends_with('-') || text.len() > 64 {
        return Err("use 1 to 64 of a-z, 0-9 and -, with a letter first and no - last".to_owned());
    }
    // Names that cargo refuses for a package, or that would be mistaken for another crate.
    let taken = [
        "test",
        "core",
        "std",
        "alloc",
        "proc-macro",
        "plugin-sdk",
        "wit-bindgen",
        "build",
        "deps",
        "examples",
        "incremental",
    ];
    let keywords = [
        "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
        "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
        "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub",
        "ref", "return", "self", "static", "struct", "super", "trait", "true", "try", "type",
        "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
    ];
    if taken.contains(&text) || keywords.contains(&text) {
        return Err("cargo or Rust has that name already".to_owned());
    }
    Ok(text.to_owned())
}

#[derive(Serialize)]
struct Begun {
    path: String,
    name: String,
    kind: &'static str,
    files: Vec<String>,
}

impl NewArgs {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let folder = self
            .path
            .clone()
            .unwrap_or_else(|| PathBuf::from(&self.name));
        let sdk = match &self.sdk {
            Some(sdk) => sdk_path(sdk)?,
            None => "vendor/plugin-sdk".to_owned(),
        };
        let files = self.files(&sdk);
        make_empty(&folder)?;
        for (path, contents) in &files {
            write(&folder.join(path), contents)?;
        }
        let begun = Begun {
            path: folder.display().to_string(),
            name: self.name,
            kind: self.kind.name(),
            files: files.into_iter().map(|(path, _)| path).collect(),
        };
        session.output.show(&begun, |begun| {
            let Begun {
                path, name, kind, ..
            } = begun;
            format!(
                "{name}, a {kind} plugin, is in {path}\n\
                 next:\n  \
                 broker plugin test {path}     builds it and runs it in the broker's sandbox\n  \
                 edit {path}/src/lib.rs and {path}/fixtures.yaml"
            )
        })
    }

    fn files(&self, sdk: &str) -> Vec<(String, String)> {
        let mut files = vec![
            ("Cargo.toml".to_owned(), self.manifest(sdk)),
            ("src/lib.rs".to_owned(), self.kind.library().to_owned()),
            ("fixtures.yaml".to_owned(), self.kind.fixtures().to_owned()),
            ("README.md".to_owned(), self.readme()),
            (".gitignore".to_owned(), "/target\n".to_owned()),
        ];
        if self.sdk.is_none() {
            let vendored = sdk_sources::files();
            files.extend(
                vendored.map(|(path, text)| (format!("vendor/plugin-sdk/{path}"), text.to_owned())),
            );
        }
        files
    }

    fn manifest(&self, sdk: &str) -> String {
        let sdk = serde_json::Value::from(sdk);
        format!(
            "[package]\n\
             name = \"{name}\"\n\
             version = \"0.1.0\"\n\
             edition = \"2024\"\n\
             publish = false\n\
             \n\
             # A workspace of its own, whatever it lies in.\n\
             [workspace]\n\
             exclude = [\"vendor\"]\n\
             \n\
             [lib]\n\
             crate-type = [\"cdylib\"]\n\
             \n\
             [dependencies]\n\
             plugin-sdk = {{ path = {sdk} }}\n\
             \n\
             # A small module: it is loaded by every broker.\n\
             [profile.release]\n\
             lto = true\n\
             codegen-units = 1\n\
             panic = \"abort\"\n\
             strip = true\n",
            name = self.name,
        )
    }

    fn readme(&self) -> String {
        let (name, kind, key) = (&self.name, self.kind.name(), self.kind.topic_key());
        let file = format!("{}.wasm", name.replace('-', "_"));
        format!(
            "# {name}\n\
             \n\
             A {kind} plugin for the broker: `src/lib.rs`, with `vendor/plugin-sdk` to write it with.\n\
             \n\
             ```sh\n\
             cargo test                            # native tests\n\
             broker plugin test                    # fixtures.yaml, in the broker's sandbox\n\
             broker plugin build                   # target/wasm32-unknown-unknown/release/{file}\n\
             broker plugin bench target/wasm32-unknown-unknown/release/{file}\n\
             broker plugin deploy {name}=target/wasm32-unknown-unknown/release/{file}\n\
             broker topic alter TOPIC -c {key}={name}\n\
             ```\n"
        )
    }
}

/// The SDK's absolute path, once it is sure that it is one.
fn sdk_path(sdk: &Path) -> Result<String, Failure> {
    let is_sdk = |folder: &Path| {
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        manifest
            .lines()
            .any(|line| line.trim() == "name = \"plugin-sdk\"")
    };
    let path = sdk
        .canonicalize()
        .map_err(|error| Failure::from(error).after(sdk.display()))?;
    match path.to_str() {
        Some(text) if is_sdk(&path) => Ok(text.to_owned()),
        Some(_) => Err(
            Failure::failed(format!("{} is not the crate plugin-sdk", sdk.display()))
                .with_hint("leave --sdk out to get a copy of the SDK in the plugin's folder"),
        ),
        None => Err(Failure::failed(format!(
            "{} is not a path that a Cargo.toml can say",
            sdk.display()
        ))),
    }
}

/// Makes a folder that was not there, or takes an empty one.
fn make_empty(folder: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::from(error).after(folder.display());
    fs::create_dir_all(folder).map_err(failed)?;
    if fs::read_dir(folder).map_err(failed)?.next().is_none() {
        return Ok(());
    }
    Err(
        Failure::failed(format!("{} is not empty", folder.display()))
            .with_hint("nothing is overwritten: choose another --path, or another name"),
    )
}

fn write(path: &Path, contents: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::from(error).after(path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(path, contents).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_cargo_and_topics_take() {
        for good in ["a", "by-region", "v2", "keep-last-3"] {
            assert_eq!(plugin_name(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "By",
            "2x",
            "-x",
            "x-",
            "a_b",
            "a b",
            "fn",
            "test",
            "plugin-sdk",
            "../x",
            "ü",
        ] {
            assert!(plugin_name(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
