//! Symbolic links among the files of a log: what they lead to counts, not the links.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::symlink;

use broker_storage::io::{Io, RealIo};

#[test]
fn a_link_is_listed_as_what_it_leads_to() {
    let temp = tempfile::TempDir::new().unwrap();
    let (elsewhere, dir) = (temp.path().join("elsewhere"), temp.path().join("dir"));
    fs::create_dir_all(elsewhere.join("t-0")).unwrap();
    fs::create_dir(&dir).unwrap();
    fs::write(elsewhere.join("file"), [0; 300]).unwrap();
    symlink(elsewhere.join("file"), dir.join("file")).unwrap();
    symlink(elsewhere.join("t-0"), dir.join("t-0")).unwrap();
    symlink(elsewhere.join("nothing"), dir.join("nowhere")).unwrap();
    let listed = RealIo::new().list(&dir).unwrap();
    let listed: Vec<_> = listed
        .iter()
        .map(|entry| (entry.name.as_str(), entry.is_dir))
        .collect();
    assert_eq!(listed, [("file", false), ("nowhere", false), ("t-0", true)]);
    let file = RealIo::new().list(&dir).unwrap().remove(0);
    assert_eq!(file.len, 300);
}
