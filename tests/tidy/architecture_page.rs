//! broker/ARCHITECTURE.md: every path that it names exists, and every crate is on it. A map that shows
//! streets long gone is worse than none.

use std::fs;
use std::path::Path;

use broker_tests::repository;

use crate::finding::{Finding, assert_tidy};

const PAGE: &str = "broker/ARCHITECTURE.md";
const EXTENSIONS: [&str; 6] = [".rs", ".md", ".toml", ".wit", ".py", ".lock"];
const PAGE_LINES_MAX: usize = 150;

/// Paths in code spans and links: with a slash, or with the extension of a source file. Placeholders
/// such as `request/<method>` are no paths.
fn named_paths(page: &str) -> Vec<String> {
    let mut in_fence = false;
    let mut found = Vec::new();
    for line in page.lines() {
        if line.starts_with("```") {
            in_fence = !in_fence;
        } else if !in_fence {
            found.extend(
                line.split('`')
                    .skip(1)
                    .step_by(2)
                    .filter(|span| is_path(span))
                    .map(str::to_owned),
            );
            let links = line
                .split("](")
                .skip(1)
                .filter_map(|rest| rest.split(')').next());
            found.extend(
                links
                    .filter(|link| !link.contains("://"))
                    .map(str::to_owned),
            );
        }
    }
    found
}

fn is_path(span: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let is_file = EXTENSIONS.iter().any(|extension| span.ends_with(extension));
    span.chars().all(plain) && (span.contains('/') || is_file)
}

/// Paths start at the root of the repository, or beside the page; names of files alone may stand for
/// files of that name in the folder that the sentence is about.
fn missing_paths(page: &str, root: &Path) -> Vec<Finding> {
    let exists = |path: &str| {
        let is_name = !path.contains('/');
        root.join(path).exists()
            || root.join("broker").join(path).exists()
            || (is_name && is_used_as_a_name(root, path))
    };
    let missing = named_paths(page)
        .into_iter()
        .filter(|path| !exists(path.trim_end_matches('/')));
    missing
        .map(|path| Finding::new(PAGE, format!("names {path}, which does not exist")))
        .collect()
}

fn is_used_as_a_name(root: &Path, name: &str) -> bool {
    let files = walkdir::WalkDir::new(root.join("broker"))
        .into_iter()
        .flatten();
    files
        .into_iter()
        .any(|entry| entry.file_name().to_string_lossy() == name)
}

fn page() -> String {
    let page = fs::read_to_string(repository().join(PAGE));
    page.unwrap_or_else(|error| panic!("{PAGE} cannot be read: {error}"))
}

#[test]
fn every_path_on_the_page_exists() {
    let page = page();
    let named = named_paths(&page);
    assert!(named.len() >= 15, "the page names only {named:?}");
    assert_tidy(&missing_paths(&page, &repository()));
}

#[test]
fn every_crate_is_on_the_page() {
    let page = page();
    let folders = fs::read_dir(repository().join("broker")).expect("broker/ is there");
    for folder in folders
        .flatten()
        .filter(|entry| entry.path().join("Cargo.toml").exists())
    {
        let path = format!("`broker/{}`", folder.file_name().to_string_lossy());
        assert!(page.contains(&path), "{PAGE} does not name {path}");
    }
    assert!(
        page.lines().count() <= PAGE_LINES_MAX,
        "one page, at most {PAGE_LINES_MAX} lines"
    );
}

#[test]
fn a_path_that_does_not_exist_is_caught() {
    let page = "`broker/model` and `broker/nowhere/src/lib.rs`\n```\n`a/b`\n```\n[x](gone.md), `gone.rs`, `request/<method>`, `Log::append`";
    let findings = missing_paths(page, &repository());
    let findings: Vec<_> = findings.iter().map(ToString::to_string).collect();
    let missing = |path| format!("{PAGE}: names {path}, which does not exist");
    assert_eq!(
        findings,
        [
            missing("broker/nowhere/src/lib.rs"),
            missing("gone.rs"),
            missing("gone.md")
        ]
    );
}
