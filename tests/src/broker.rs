//! The broker under test: the same entry point as the binary `broker`, built together with the tests, so
//! that they never run against a stale one.

use std::process::ExitCode;

fn main() -> ExitCode {
    broker_cli::main()
}
