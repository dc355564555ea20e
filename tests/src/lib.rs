//! What the two test binaries of this package share: where the repository is, and the commands that
//! its README promises.
//!
//! ```
//! let readme = broker_tests::Readme::load();
//! assert_eq!(readme.command("Test"), Ok("cargo test --workspace".to_owned()));
//! ```

pub mod flood;
pub mod fuzz_targets;
mod readme;

pub use readme::{MissingCommand, Readme, shell_words};

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .expect("this package lies in a folder of the repository")
        .to_owned()
}
