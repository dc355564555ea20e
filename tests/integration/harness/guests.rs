//! Plugin modules built on the spot, as an author would build them: by cargo, for wasm, in a target
//! directory of their own that is kept from run to run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use broker_tests::repository;

/// The partitioner that misbehaves on demand: option `behaviour`, from the first key `go` on.
pub(crate) fn hostile_module() -> &'static Path {
    static MODULE: LazyLock<PathBuf> =
        LazyLock::new(|| build_guest("broker/wasm/tests/hostile-guest", "hostile_guest"));
    &MODULE
}

/// Its sister of another kind: `serializer`, `retention` or `compaction`.
pub(crate) fn hostile_sister(kind: &str) -> PathBuf {
    hostile_module().with_file_name(format!("hostile_{kind}.wasm"))
}

/// The module of a shipped plugin.
pub(crate) fn shipped_module(name: &str) -> &'static [u8] {
    let mut shipped = broker_plugin_bundle::modules().iter();
    let found = shipped.find(|module| module.name == name);
    found.expect("it is shipped").bytes
}

/// The example of a partitioner that a user writes.
pub(crate) fn custom_partitioner() -> &'static Path {
    static MODULE: LazyLock<PathBuf> =
        LazyLock::new(|| build_guest("examples/partitioner-plugin", "partitioner_plugin"));
    &MODULE
}

/// Builds a plugin crate, and those of its workspace, and answers the module's file.
fn build_guest(folder: &str, library: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(library);
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--release",
        "--workspace",
        "--locked",
        "--target",
        "wasm32-unknown-unknown",
        "--target-dir",
    ]);
    cargo.arg(&target).current_dir(repository().join(folder));
    let of_this_build = |name: &str| name.contains("RUSTFLAGS") || name.ends_with("_WRAPPER");
    for (name, _) in std::env::vars().filter(|(name, _)| of_this_build(name)) {
        cargo.env_remove(name);
    }
    let output = cargo.output().expect("cargo runs");
    assert!(
        output.status.success(),
        "{folder}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    target
        .join("wasm32-unknown-unknown/release")
        .join(format!("{library}.wasm"))
}

/// The digest that a manifest wants, as `sha256sum` prints it.
pub(crate) fn sha256_of(file: &Path) -> String {
    let output = Command::new("sha256sum")
        .arg(file)
        .output()
        .expect("sha256sum runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.split(' ')
        .next()
        .expect("a digest comes first")
        .to_owned()
}
