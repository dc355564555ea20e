//! The help: every command has one that teaches, and the table of exit codes is in it.

use crate::harness::run;

/// Names of the subcommands that a help page lists.
fn subcommands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = lines.take_while(|line| line.starts_with("  "));
    let names = listed.filter(|line| !line.starts_with("   "));
    names
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_command_down_to_the_leaves_explains_itself_with_examples() {
    let mut open = vec![Vec::new()];
    let mut seen = 0;
    while let Some(command) = open.pop() {
        let mut args: Vec<&str> = command.iter().map(String::as_str).collect();
        args.push("--help");
        let help = run(&args).ok();
        assert_eq!(help.stderr, "");
        let text = help.text();
        assert!(text.contains("Usage: broker"), "{args:?}");
        assert!(text.contains("Examples:"), "{args:?} has no examples");
        seen += 1;
        for name in subcommands(&text) {
            let mut deeper = command.clone();
            deeper.push(name);
            open.push(deeper);
        }
    }
    assert!(seen > 30, "only {seen} commands were found");
}

#[test]
fn the_help_has_exit_codes_and_units() {
    let text = run(&["--help"]).ok().text();
    for part in [
        "Exit codes:",
        "  3  no broker could be reached",
        "MiB",
        "BROKER_SERVER",
        "127.0.0.1:7420",
    ] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
}

#[test]
fn the_version_is_printed() {
    let text = run(&["--version"]).ok().text();
    assert_eq!(text, format!("broker {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]).ok().text();
        assert!(script.contains("add-partitions"), "{shell}");
    }
}
