//! The `broker` binary. Everything is in the library, so that the tests of the workspace can build
//! a binary of their own from the same entry point.

fn main() -> std::process::ExitCode {
    broker_cli::main()
}
