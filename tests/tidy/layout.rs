//! Layout: what lies at the top of the repository, which crates the workspace rests on, and that no
//! built plugin is kept in git.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use broker_tests::repository;

use crate::finding::{Finding, assert_tidy};

/// What a newcomer is promised to find.
const PROMISED: [&str; 8] = [
    "Cargo.toml",
    "Cargo.lock",
    "broker",
    "plugins",
    "plugin-sdk",
    "examples",
    "tests",
    "README.md",
];
/// What may lie beside it.
const ALLOWED: [&str; 7] = [
    ".ci",
    ".clippy.toml",
    ".gitignore",
    ".gitattributes",
    "LICENSE",
    "rust-toolchain.toml",
    "rustfmt.toml",
];
/// Crates that the product is built on.
const FOUNDATIONS: [&str; 10] = [
    "actix",
    "tokio",
    "wasmtime",
    "bytes",
    "serde",
    "rmp-serde",
    "tracing",
    "config",
    "memmap2",
    "crc32fast",
];

/// Files that git knows or would take in: tracked ones and new ones that are not ignored.
fn files_in_git() -> Vec<String> {
    let git = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(repository())
        .output()
        .expect("git runs");
    let said = String::from_utf8_lossy(&git.stderr).into_owned();
    assert!(
        git.status.success(),
        "git cannot list the files of this checkout: {said}"
    );
    let listed = String::from_utf8(git.stdout).expect("paths are UTF-8");
    listed
        .split('\0')
        .filter(|path| !path.is_empty())
        .map(str::to_owned)
        .collect()
}

fn top_level(paths: &[String]) -> Vec<Finding> {
    let top: BTreeSet<&str> = paths
        .iter()
        .filter_map(|path| path.split('/').next())
        .collect();
    let missing = PROMISED.iter().filter(|name| !top.contains(**name));
    let missing = missing.map(|name| Finding::new(*name, "is missing at the top"));
    let is_foreign = |name: &&&str| !PROMISED.contains(name) && !ALLOWED.contains(name);
    let foreign = top.iter().filter(is_foreign);
    missing
        .chain(foreign.map(|name| Finding::new(*name, "does not belong at the top")))
        .collect()
}

fn built_plugins(paths: &[String]) -> Vec<Finding> {
    let built = paths
        .iter()
        .filter(|path| path.ends_with(".wasm") || path.ends_with(".cwasm"));
    built
        .map(|path| Finding::new(path, "is built from source, not kept in git"))
        .collect()
}

fn missing_foundations(manifest: &str) -> Vec<Finding> {
    let manifest: toml::Table = manifest.parse().expect("Cargo.toml is TOML");
    let dependencies = &manifest["workspace"]["dependencies"];
    let missing = FOUNDATIONS
        .iter()
        .filter(|name| dependencies.get(name).is_none());
    missing
        .map(|name| Finding::new("Cargo.toml", format!("does not name {name}")))
        .collect()
}

#[test]
fn the_top_level_is_what_was_promised() {
    assert_tidy(&top_level(&files_in_git()));
}

#[test]
fn no_built_plugin_is_in_git() {
    assert_tidy(&built_plugins(&files_in_git()));
}

#[test]
fn the_workspace_rests_on_the_promised_crates_and_uses_each() {
    let manifest =
        fs::read_to_string(repository().join("Cargo.toml")).expect("Cargo.toml is there");
    assert_tidy(&missing_foundations(&manifest));
    let manifests = files_in_git()
        .into_iter()
        .filter(|path| path.ends_with("/Cargo.toml"));
    let members: Vec<String> = manifests
        .filter_map(|path| fs::read_to_string(repository().join(path)).ok())
        .collect();
    for name in FOUNDATIONS {
        let line = format!("\n{name}.workspace = true");
        let table = format!("\n{name} = {{ workspace = true");
        let is_used = members
            .iter()
            .any(|text| text.contains(&line) || text.contains(&table));
        assert!(is_used, "no crate uses {name}");
    }
}

#[test]
fn a_missing_or_foreign_top_level_entry_is_caught() {
    let paths = |names: &[&str]| {
        names
            .iter()
            .map(|name| format!("{name}/x"))
            .collect::<Vec<_>>()
    };
    let mut names = PROMISED.to_vec();
    assert_tidy(&top_level(&paths(&names)));
    names[0] = "notes";
    let findings = top_level(&paths(&names));
    let findings: Vec<_> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        findings,
        [
            "Cargo.toml: is missing at the top",
            "notes: does not belong at the top"
        ]
    );
}

#[test]
fn a_built_plugin_and_a_missing_foundation_are_caught() {
    assert_eq!(
        built_plugins(&["plugins/a.wasm".to_owned(), "plugins/a.rs".to_owned()]).len(),
        1
    );
    let findings = missing_foundations("[workspace.dependencies]\ntokio = \"1\"");
    assert_eq!(findings.len(), FOUNDATIONS.len() - 1);
}
