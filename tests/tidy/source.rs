//! `Source`: a Rust file of the repository with its path from the root. Generated code is left out:
//! nobody reads it in order to change it.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use broker_tests::repository;
use walkdir::{DirEntry, WalkDir};

/// Folders that hold no code of ours.
const NOT_OURS: [&str; 5] = [
    "target",
    ".git",
    "broker-data",
    "node_modules",
    "__pycache__",
];
/// Code that a tool wrote.
const GENERATED: [&str; 4] = [
    "plugin-sdk/src/generated/compaction_plugin.rs",
    "plugin-sdk/src/generated/partitioner_plugin.rs",
    "plugin-sdk/src/generated/retention_plugin.rs",
    "plugin-sdk/src/generated/serializer_plugin.rs",
];

/// A Rust file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Path from the root of the repository, with slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(load);

impl Source {
    /// A file that a test makes up.
    pub(crate) fn sample(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    /// Every Rust file of the repository but the generated ones, by path.
    pub(crate) fn all() -> &'static [Self] {
        &SOURCES
    }

    pub(crate) fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Whether the whole file is test, benchmark or example code.
    pub(crate) fn is_test_code(&self) -> bool {
        let in_folder = |name: &str| {
            let inside = format!("/{name}/");
            self.path.contains(&inside) || self.path.starts_with(&inside[1..])
        };
        let name = self.file_name();
        in_folder("tests")
            || in_folder("benches")
            || in_folder("examples")
            || name == "tests.rs"
            || name.ends_with("_tests.rs")
    }

    /// Whether the path is this file or lies below this folder.
    pub(crate) fn is_below(&self, prefix: &str) -> bool {
        self.path.starts_with(prefix)
    }
}

fn load() -> Vec<Source> {
    let root = repository();
    let is_ours = |entry: &DirEntry| {
        let name = entry.file_name().to_string_lossy();
        !(entry.file_type().is_dir() && NOT_OURS.contains(&name.as_ref()))
    };
    let entries = WalkDir::new(&root).sort_by_file_name().into_iter();
    let entries = entries
        .filter_entry(is_ours)
        .map(|entry| entry.expect("the tree can be walked"));
    let files = entries.filter(|entry| entry.path().extension().is_some_and(|e| e == "rs"));
    let mut sources: Vec<Source> = files.map(|entry| read(&root, entry.path())).collect();
    sources.retain(|source| !GENERATED.contains(&source.path.as_str()));
    sources
}

fn read(root: &Path, path: &Path) -> Source {
    let below = path
        .strip_prefix(root)
        .expect("the walk started at the root");
    Source {
        path: below.to_string_lossy().replace('\\', "/"),
        text: fs::read_to_string(path).expect("a source file is UTF-8 text"),
    }
}

#[test]
fn the_walk_finds_the_code_and_leaves_generated_files_out() {
    let paths: Vec<&str> = Source::all()
        .iter()
        .map(|source| source.path.as_str())
        .collect();
    assert!(paths.len() > 100, "only {} files were found", paths.len());
    assert!(paths.contains(&"broker/model/src/lib.rs") && paths.contains(&"tests/tidy/source.rs"));
    for generated in GENERATED {
        assert!(
            repository().join(generated).exists(),
            "{generated} is gone: take it off the list"
        );
        assert!(!paths.contains(&generated));
    }
}

#[test]
fn test_code_is_told_by_its_path() {
    let is_test = |path| Source::sample(path, "").is_test_code();
    for path in [
        "tests/tidy/main.rs",
        "broker/wasm/tests/a.rs",
        "examples/rust/src/main.rs",
        "broker/x/src/a_tests.rs",
    ] {
        assert!(is_test(path), "{path}");
    }
    for path in [
        "broker/x/src/attests.rs",
        "broker/x/src/contests/a.rs",
        "plugin-sdk/src/lib.rs",
    ] {
        assert!(!is_test(path), "{path}");
    }
}
