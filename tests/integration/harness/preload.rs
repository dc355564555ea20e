//! Libraries that a test puts between the broker and the operating system, compiled from their C source.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles a file of this folder's parent into a library for `LD_PRELOAD`, and answers where it is.
#[track_caller]
pub(crate) fn preloaded(source: &str, folder: &Path) -> PathBuf {
    let library = folder.join(source).with_extension("so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("integration")
        .join(source);
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(&source)
        .arg("-ldl")
        .output()
        .expect("a C compiler, which Rust links with");
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{said}");
    library
}
