//! The plugin modules of a log directory: each file is named by the digest of what is in it.

use std::io;
use std::path::Path;

use super::{Finding, FindingKind};
use crate::blob_store::{BLOB_DIR, is_digest};
use crate::io::Io;

/// Compares the modules that are kept in a log directory with their names; what is wrong goes to `report`.
/// `digest_of` is what names are made with.
///
/// # Errors
/// When the directory cannot be listed.
pub fn check_modules(
    io: &dyn Io,
    log_dir: &Path,
    digest_of: &dyn Fn(&[u8]) -> String,
    report: &mut dyn FnMut(Finding),
) -> io::Result<()> {
    let dir = log_dir.join(BLOB_DIR);
    let entries = match io.list(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        listed => listed?,
    };
    for entry in entries.iter().filter(|entry| is_digest(&entry.name)) {
        let file = dir.join(&entry.name);
        let bytes = match io.read_small(&file) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => continue,
            Err(error) => {
                report(Finding::unreadable(&file, &error));
                continue;
            }
        };
        let digest = digest_of(&bytes);
        if digest != entry.name {
            report(Finding {
                kind: FindingKind::Damage,
                file,
                position: None,
                offset: None,
                what: format!(
                    "the plugin module is damaged: the digest of its content is {digest}"
                ),
                then: "a broker that starts writes it anew if it has the plugin in its binary or its manifest; otherwise topics that are bound to it are refused what takes the plugin until the same module is deployed again".to_owned(),
            });
        }
    }
    Ok(())
}
