//! House rules that a machine can check: layers between crates, sizes, names, module pages, calls that
//! are not made, and what README and architecture page promise. Each rule is a function from sources to
//! findings; next to the test that runs it over the repository stands one that shows it can fail.

mod architecture_page;
mod calls;
mod finding;
mod layers;
mod layout;
mod module_pages;
mod names;
mod readme_commands;
mod sizes;
mod source;
mod tokens;
