//! The README's two commands are kept honest: `.ci/run` runs the test command word for word, and the
//! run command starts the binary that the integration tests start. (They start it with the README's own
//! arguments, see integration/readme.rs.)

use std::fs;
use std::process::Command;

use broker_tests::{MissingCommand, Readme, repository, shell_words};

use crate::finding::{Finding, assert_tidy};

/// Commands of a shell script, without comments, pipes behind them, and settings.
fn script_commands(script: &str) -> Vec<String> {
    let lines = script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = lines.map(|line| line.split(['|', ';']).next().unwrap_or_default());
    first
        .map(|command| command.trim().trim_end_matches(" 2>&1").to_owned())
        .collect()
}

fn ci_runs_the_test_command(readme: &Readme, script: &str) -> Result<Vec<Finding>, MissingCommand> {
    let command = readme.command("Test")?;
    let found = script_commands(script).contains(&command);
    let problem = format!("does not run the README's test command `{command}`");
    Ok((!found)
        .then(|| Finding::new(".ci/run", problem))
        .into_iter()
        .collect())
}

/// The broker's arguments in `cargo run … --bin broker -- serve …`.
fn broker_arguments(command: &str) -> Result<Vec<String>, String> {
    let words = shell_words(command);
    let split = words
        .iter()
        .position(|word| word == "--")
        .ok_or("has no ` -- ` before the broker's arguments")?;
    let (cargo, arguments) = (&words[..split], &words[split + 1..]);
    if cargo.first().map(String::as_str) != Some("cargo")
        || cargo.get(1).map(String::as_str) != Some("run")
    {
        return Err("does not start with `cargo run`".to_owned());
    }
    let names_binary = cargo.windows(2).any(|pair| pair == ["--bin", "broker"]);
    let known =
        |word: &&String| ["--release", "--locked", "--bin", "broker"].contains(&word.as_str());
    if !names_binary || !cargo[2..].iter().all(|word| known(&word)) {
        return Err("does not run the binary `broker`".to_owned());
    }
    if arguments.first().map(String::as_str) != Some("serve") {
        return Err("does not serve".to_owned());
    }
    Ok(arguments.to_vec())
}

#[test]
fn ci_runs_what_the_readme_says() {
    let script = fs::read_to_string(repository().join(".ci/run")).expect(".ci/run is there");
    assert_tidy(&ci_runs_the_test_command(&Readme::load(), &script).unwrap());
    let commands = script_commands(&script);
    for wanted in [
        "cargo fmt --all --check",
        "cargo clippy --workspace --all-targets -- -D warnings",
    ] {
        assert!(
            commands.iter().any(|command| command == wanted),
            ".ci/run does not run `{wanted}`"
        );
    }
    assert!(
        script.contains("set -euo pipefail"),
        ".ci/run would go on after a failure"
    );
}

#[test]
fn ci_can_be_run() {
    let run = Command::new("bash")
        .arg("-n")
        .arg(repository().join(".ci/run"))
        .status();
    assert!(
        run.expect("bash runs").success(),
        ".ci/run is not valid bash"
    );
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(repository().join(".ci/run"))
        .expect(".ci/run is there")
        .permissions()
        .mode();
    assert!(mode & 0o111 == 0o111, ".ci/run is not executable");
}

#[test]
fn the_run_command_starts_the_broker_with_a_manifest() {
    let command = Readme::load().command("Run").unwrap();
    let arguments = broker_arguments(&command)
        .unwrap_or_else(|problem| panic!("README: `{command}` {problem}"));
    let manifest = arguments
        .iter()
        .position(|word| word == "--plugins")
        .and_then(|at| arguments.get(at + 1));
    let manifest =
        manifest.unwrap_or_else(|| panic!("README: `{command}` names no plugin manifest"));
    assert!(
        repository().join(manifest).is_file(),
        "README: {manifest} does not exist"
    );
}

#[test]
fn another_test_command_in_ci_is_caught() {
    let readme = Readme::from_text("## Test\n```sh\ncargo test --workspace\n```\n");
    let run = |script| ci_runs_the_test_command(&readme, script).unwrap().len();
    assert_eq!(run("cargo test --workspace 2>&1 | tee log\n"), 0);
    assert_eq!(run("  cargo test --workspace\n"), 0);
    assert_eq!(run("cargo test --workspace --lib\n"), 1);
    assert_eq!(run("# cargo test --workspace\n"), 1);
    assert_eq!(run("echo cargo test --workspace\n"), 1);
    assert!(ci_runs_the_test_command(&Readme::from_text("# Nothing"), "").is_err());
}

#[test]
fn a_run_command_that_does_something_else_is_caught() {
    assert!(broker_arguments("cargo run --release --bin broker -- serve --plugins a.toml").is_ok());
    for bad in [
        "cargo run --bin broker",
        "cargo build --bin broker -- serve",
        "cargo run --bin other -- serve",
        "cargo run -- serve",
        "cargo run --bin broker -- topic list",
    ] {
        assert!(broker_arguments(bad).is_err(), "{bad}");
    }
}
