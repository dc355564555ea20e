//! Names: a file is called after its concept. A file called `utils` is where concepts go to hide.

use crate::finding::{Finding, assert_accepts, assert_catches, assert_tidy};
use crate::source::Source;

const SAY_NOTHING: [&str; 9] = [
    "util", "utils", "helper", "helpers", "common", "misc", "manager", "managers", "types",
];

fn names_say_something(source: &Source) -> Vec<Finding> {
    let stem = source.path.strip_suffix(".rs").unwrap_or(&source.path);
    let parts = stem.split('/').filter(|part| SAY_NOTHING.contains(part));
    let found = parts.map(|part| Finding::new(&source.path, format!("`{part}` is no concept")));
    found.collect()
}

#[test]
fn no_file_or_folder_has_a_name_that_says_nothing() {
    assert_tidy(
        &Source::all()
            .iter()
            .flat_map(names_say_something)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn a_name_that_says_nothing_is_caught() {
    assert_catches(names_say_something, "broker/x/src/utils.rs", "", "`utils`");
    assert_catches(
        names_say_something,
        "broker/x/src/helpers/mod.rs",
        "",
        "`helpers`",
    );
    assert_accepts(names_say_something, "broker/x/src/value_types.rs", "");
}
