//! The broker under test.
fn main() {}
