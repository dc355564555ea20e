//! Whether a log directory could be opened at all, asked without opening it: what is missing of it is made, and removed
//! again. Who has locked it, and what is in it, only an opening tells.

use std::io;
use std::path::Path;

use super::LogDirError;
use crate::io::Io;

/// Whether the directory is there and may be written to, or could be made.
///
/// # Errors
/// With what an opening would say.
pub fn check_usable(io: &dyn Io, dir: &Path) -> Result<(), LogDirError> {
    let missing: Vec<&Path> = dir
        .ancestors()
        .take_while(|path| !path.as_os_str().is_empty() && is_missing(io, path))
        .collect();
    let may_write = io.create_dir_all(dir).and_then(|()| io.may_write(dir));
    for made in missing {
        // It is empty if it was made here. What else is missing is a file, which stays.
        let _ = io.remove_dir(made);
    }
    may_write.map_err(|source| LogDirError::NotWritable {
        dir: dir.to_owned(),
        source,
    })
}

/// One that may not be read is there.
fn is_missing(io: &dyn Io, path: &Path) -> bool {
    let listed = io.list(path);
    listed.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::RealIo;

    #[test]
    fn what_can_be_made_is_usable_and_nothing_is_left_of_the_question() {
        let home = tempfile::tempdir().unwrap();
        let io = RealIo::new();
        let (there, missing) = (home.path().join("there"), home.path().join("a/b"));
        std::fs::create_dir(&there).unwrap();
        std::fs::write(there.join("file"), b"x").unwrap();
        check_usable(&*io, &there).unwrap();
        check_usable(&*io, &missing).unwrap();
        assert!(!home.path().join("a").exists());
        for bad in [there.join("file"), there.join("file/below")] {
            assert!(check_usable(&*io, &bad).is_err());
        }
        assert_eq!(std::fs::read(there.join("file")).unwrap(), b"x");
    }
}
