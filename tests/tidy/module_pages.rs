//! Module pages: every file opens with a few lines that say what it owns. Crate roots may say more, and
//! examples, tables and blank lines are not counted.

use crate::finding::{Finding, assert_accepts, assert_catches, assert_tidy};
use crate::source::Source;

/// Lines of prose besides crate roots.
const PAGE_LINES_MAX: usize = 6;
/// From this length on one line cannot say what is in a file.
const LONG_FILE_LINES: usize = 150;
const LONG_FILE_PAGE_LINES_MIN: usize = 2;

fn files_open_with_a_page(source: &Source) -> Vec<Finding> {
    let page: Vec<&str> = source
        .text
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .collect();
    let prose = prose_lines(&page);
    let length = source.text.lines().count();
    let is_long = length >= LONG_FILE_LINES && !source.is_test_code();
    let problem = if page.is_empty() {
        "does not open with `//!`: say what it owns".to_owned()
    } else if prose == 0 {
        "its opening `//!` says nothing".to_owned()
    } else if is_long && prose < LONG_FILE_PAGE_LINES_MIN {
        format!("{length} lines and {prose} line of `//!`: say a little more")
    } else if prose > PAGE_LINES_MAX && !source.path.ends_with("/lib.rs") {
        format!("opens with {prose} lines of `//!`, at most {PAGE_LINES_MAX}")
    } else {
        return Vec::new();
    };
    vec![Finding::new(&source.path, problem)]
}

fn prose_lines(page: &[&str]) -> usize {
    let (mut in_fence, mut lines) = (false, 0);
    for line in page.iter().map(|line| line.trim()) {
        let is_fence = line.starts_with("```");
        in_fence ^= is_fence;
        let is_prose = !is_fence && !in_fence && !line.is_empty() && !line.starts_with('|');
        lines += usize::from(is_prose);
    }
    lines
}

#[test]
fn every_file_says_what_it_owns() {
    assert_tidy(
        &Source::all()
            .iter()
            .flat_map(files_open_with_a_page)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn a_missing_empty_or_endless_page_is_caught() {
    let rule = files_open_with_a_page;
    assert_catches(
        rule,
        "broker/x/src/a.rs",
        "use std::io;\n//! late",
        "does not open",
    );
    assert_catches(rule, "broker/x/src/a.rs", "//!\n//!\n", "says nothing");
    assert_catches(rule, "broker/x/src/a.rs", &"//! a\n".repeat(7), "7 lines");
    let long = format!("//! one\n{}", "//\n".repeat(150));
    assert_catches(rule, "broker/x/src/a.rs", &long, "say a little more");
}

#[test]
fn crate_roots_examples_and_tables_may_be_longer() {
    let rule = files_open_with_a_page;
    assert_accepts(rule, "broker/x/src/lib.rs", &"//! a\n".repeat(30));
    let example = format!("//! a\n//! ```\n{}//! ```\n", "//! b\n".repeat(9));
    assert_accepts(rule, "broker/x/src/a.rs", &example);
    assert_accepts(
        rule,
        "broker/x/src/a.rs",
        &format!("//! a\n{}", "//! | x |\n".repeat(9)),
    );
}
