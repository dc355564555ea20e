//! Puts the sources of plugin-sdk into the binary, for `broker plugin new`: every file below `src` and
//! `wit`, and a Cargo.toml in which what it takes from this workspace is written out.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::exit;

use toml::{Table, Value};

fn main() {
    let root = root();
    let sdk = root.join("plugin-sdk");
    for watched in ["src", "wit", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={}", sdk.join(watched).display());
    }
    println!(
        "cargo::rerun-if-changed={}",
        root.join("Cargo.toml").display()
    );
    println!("cargo::rerun-if-changed=build.rs");

    let out = PathBuf::from(variable("OUT_DIR"));
    let manifest = stand_alone(
        &read_toml(&sdk.join("Cargo.toml")),
        &read_toml(&root.join("Cargo.toml")),
    );
    write(&out.join("sdk_cargo.toml"), &manifest.to_string());

    let mut files = Vec::new();
    for folder in ["src", "wit"] {
        gather(&sdk, &sdk.join(folder), &mut files);
    }
    files.sort();
    let mut table = String::from("&[\n");
    for (path, file) in files {
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "    ({path:?}, include_str!({:?})),",
            file.display().to_string()
        );
    }
    table.push_str("]\n");
    write(&out.join("sdk_files.rs"), &table);
}

/// The SDK's manifest without `workspace = true`.
fn stand_alone(sdk: &Table, root: &Table) -> Table {
    let workspace = root.get("workspace").and_then(Value::as_table);
    let shared = |section: &str, key: &str| {
        let found = workspace
            .and_then(|shared| shared.get(section)?.get(key))
            .cloned();
        found.unwrap_or_else(|| stop(&format!("workspace.{section} has no {key}")))
    };
    let mut manifest = Table::new();
    for section in ["package", "dependencies"] {
        let Some(own) = sdk.get(section).and_then(Value::as_table) else {
            stop(&format!("plugin-sdk/Cargo.toml has no [{section}]"));
        };
        let mut resolved = Table::new();
        for (key, value) in own {
            let value = match value.as_table() {
                Some(own) if own.contains_key("workspace") => match section {
                    "dependencies" => dependency(shared(section, key), own),
                    _ => shared(section, key),
                },
                _ => value.clone(),
            };
            resolved.insert(key.clone(), value);
        }
        manifest.insert(section.to_owned(), Value::Table(resolved));
    }
    if let Some(features) = sdk.get("features") {
        manifest.insert("features".to_owned(), features.clone());
    }
    manifest
}

/// A dependency as the workspace has it, with what the SDK says of it besides: `optional` is the
/// SDK's own, features are those of both.
fn dependency(shared: Value, own: &Table) -> Value {
    let mut merged = match shared {
        Value::Table(shared) => shared,
        version => Table::from_iter([("version".to_owned(), version)]),
    };
    for (key, value) in own.iter().filter(|(key, _)| *key != "workspace") {
        match (merged.get_mut(key), value) {
            (Some(Value::Array(all)), Value::Array(more)) => all.extend(more.iter().cloned()),
            _ => drop(merged.insert(key.clone(), value.clone())),
        }
    }
    Value::Table(merged)
}

/// The files below `folder` with their paths inside the SDK.
fn gather(sdk: &Path, folder: &Path, files: &mut Vec<(String, PathBuf)>) {
    let entries = fs::read_dir(folder);
    let entries = entries.unwrap_or_else(|error| stop(&format!("{}: {error}", folder.display())));
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            gather(sdk, &path, files);
        } else if let Ok(inside) = path.strip_prefix(sdk) {
            files.push((inside.display().to_string(), path));
        }
    }
}

fn read_toml(path: &Path) -> Table {
    let parsed = fs::read_to_string(path).map_err(|error| error.to_string());
    let parsed = parsed.and_then(|text| {
        text.parse()
            .map_err(|error: toml::de::Error| error.to_string())
    });
    parsed.unwrap_or_else(|error| stop(&format!("{}: {error}", path.display())))
}

fn write(path: &Path, text: &str) {
    if let Err(error) = fs::write(path, text) {
        stop(&format!("{}: {error}", path.display()));
    }
}

fn root() -> PathBuf {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    match here.ancestors().nth(2) {
        Some(root) => root.to_owned(),
        None => stop("this crate is not inside the repository that has plugin-sdk"),
    }
}

fn variable(name: &str) -> std::ffi::OsString {
    env::var_os(name).unwrap_or_else(|| stop(&format!("cargo did not set {name}")))
}

fn stop(message: &str) -> ! {
    println!("cargo::error={message}");
    exit(1);
}
