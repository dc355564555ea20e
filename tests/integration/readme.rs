//! The README, carried out: its run command with its own arguments, and the commands of the first five
//! minutes in a shell, word for word.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use broker_tests::{Readme, repository, shell_words};

use crate::harness::{Broker, Setup, custom_partitioner, map, output_of, python};

/// The arguments of `serve` in the README's run command.
fn run_arguments() -> Vec<String> {
    let command = Readme::load().command("Run").unwrap();
    let words = shell_words(&command);
    let broker = words
        .iter()
        .position(|word| word == "--")
        .expect("tidy has checked it")
        + 1;
    assert_eq!(words[broker], "serve");
    words[broker + 1..].to_vec()
}

/// The broker as the README starts it, but on a port and a directory of its own.
fn start_as_the_readme_does() -> Broker {
    let mut setup = Setup::new().in_folder(&repository());
    for argument in run_arguments() {
        setup = setup.argument(argument);
    }
    setup.start()
}

#[test]
fn the_run_command_starts_a_broker_with_its_plugins() {
    let broker = start_as_the_readme_does();
    let mut wire = broker.connect();
    let answer = wire.call("list_plugins", map! {}).unwrap();
    let names: Vec<&str> = answer
        .get("plugins")
        .list()
        .iter()
        .map(|plugin| plugin.get("name").text())
        .collect();
    let shipped = [
        "key-hash",
        "round-robin",
        "json",
        "time-and-size",
        "latest-by-key",
    ];
    assert!(shipped.iter().all(|name| names.contains(name)), "{names:?}");
    wire.create_topic("t", 1, &[]);
}

/// A shell in which `broker` is the binary under test and talks to this broker.
fn shell(broker: &Broker, folder: &Path, script: &str) -> Command {
    let bin = broker.home().join("bin");
    fs::create_dir_all(&bin).expect("it can be made");
    let wrapper = bin.join("broker");
    let text = format!(
        "#!/bin/sh\nexec {:?} \"$@\"\n",
        env!("CARGO_BIN_EXE_broker-under-test")
    );
    fs::write(&wrapper, text).expect("it can be written");
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))
        .expect("it can be made executable");
    let path = format!(
        "{}:{}",
        bin.display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let mut shell = Command::new("bash");
    shell
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(folder);
    shell
        .env("PATH", path)
        .env("BROKER_SERVER", broker.address());
    shell
}

#[test]
fn the_first_five_minutes_go_as_written() {
    let broker = start_as_the_readme_does();
    let commands = Readme::load().commands("The first five minutes");
    let script: Vec<String> = commands
        .into_iter()
        .filter(|command| !command.starts_with("alias "))
        .collect();
    assert!(script.len() >= 4, "{script:?}");
    let said = output_of(&mut shell(&broker, broker.home(), &script.join("\n")));
    for wanted in ["hello", "1", "5", "orders"] {
        assert!(said.contains(wanted), "{wanted:?} is missing in {said}");
    }
    let mut wire = broker.connect();
    let sequence: Vec<String> = wire
        .read_all("orders", 2)
        .iter()
        .map(|record| record.text())
        .collect();
    let sequence: Vec<&String> = sequence.iter().filter(|text| *text != "hello").collect();
    assert_eq!(sequence, ["1", "2", "3", "4", "5"]);
}

/// A package index without a Debian: what `apt-cache dumpavail` would print.
const APT_CACHE: &str = r#"#!/usr/bin/env python3
for number in range(20000):
    print("Package: package-%d\nSource: source-%d (1.0)\nVersion: %d.0-1\nDescription: Größe, \"quotes\", \\ and\n a second line %d\n" % (number, number // 3, number, number * 7919))
"#;

#[test]
fn a_real_file_comes_back_byte_for_byte_and_survives_a_kill() {
    let mut broker = start_as_the_readme_does();
    let bin = broker.home().join("bin");
    fs::create_dir_all(&bin).expect("it can be made");
    let apt_cache = bin.join("apt-cache");
    fs::write(&apt_cache, APT_CACHE).expect("it can be written");
    fs::set_permissions(&apt_cache, fs::Permissions::from_mode(0o755))
        .expect("it can be made executable");
    let work = broker.home().join("work");
    fs::create_dir_all(&work).expect("it can be made");
    std::os::unix::fs::symlink(repository().join("examples"), work.join("examples"))
        .expect("it can be linked");
    let script = Readme::load().commands("A real file").join("\n");
    let said = output_of(&mut shell(&broker, &work, &script));
    assert!(said.trim_end().ends_with("identical"), "{said}");
    let sent = fs::read(work.join("packages.ndjson")).expect("it was made");
    assert_eq!(sent.iter().filter(|byte| **byte == b'\n').count(), 20_000);
    broker.crash();
    let compare = "broker consume packages | cmp - packages.ndjson && echo nothing lost";
    assert!(
        Readme::load()
            .commands("Kill it")
            .iter()
            .any(|command| command == compare),
        "the README says it otherwise"
    );
    assert_eq!(
        output_of(&mut shell(&broker, &work, compare)).trim(),
        "nothing lost"
    );
    let mut wire = broker.connect();
    let first = wire
        .fetch("packages", 0, 7, map! {})
        .unwrap()
        .records()
        .remove(0);
    assert_eq!(
        first.key,
        Some(b"source-2".to_vec()),
        "the key is the source package"
    );
}

#[test]
fn a_custom_partitioner_goes_from_its_file_into_a_topic() {
    let mut broker = Broker::start();
    let module = custom_partitioner().display().to_string();
    let looked_at = String::from_utf8(broker.run(&["plugin", "inspect", &module])).expect("text");
    assert!(
        looked_at.contains("partitioner") && looked_at.contains("partitioner-plugin"),
        "{looked_at}"
    );
    let entry = broker.run(&["plugin", "inspect", &module, "--manifest-entry"]);
    let shipped = fs::read(repository().join("plugins/plugins.toml")).expect("it is there");
    let manifest = broker.home().join("my-plugins.toml");
    fs::write(&manifest, [shipped, entry].concat()).expect("it can be written");
    broker.stop();
    broker.set_up_again(|setup| setup.plugins(&manifest));
    broker.start_again();
    let create = "broker topic create payments --partitions 4 -c partitioner=partitioner-plugin";
    output_of(&mut shell(&broker, broker.home(), create));
    let listed = String::from_utf8(broker.run(&["plugin", "list"])).expect("text");
    assert!(listed.contains("partitioner-plugin"), "{listed}");
    let mut wire = broker.connect();
    let placed = wire.produce_routed(
        "payments",
        vec![
            crate::harness::keyed("eu:1", "x"),
            crate::harness::keyed("us:1", "y"),
        ],
    );
    assert!(placed[0].0 < 2 && placed[1].0 >= 2, "{placed:?}");
}

#[test]
fn a_plugin_goes_from_an_idea_into_a_topic_as_written() {
    let broker = Broker::start();
    let mut wire = broker.connect();
    wire.create_topic("orders", 4, &[]);
    wire.produce_routed("orders", vec![crate::harness::keyed("eu:1", "x")]);
    let script = Readme::load().commands("Your own logic").join("\n");
    let mut shell = shell(&broker, broker.home(), &script);
    // The module is to be where the README says, whatever whoever runs the tests has set.
    let said = output_of(shell.env_remove("CARGO_TARGET_DIR"));
    assert!(said.contains("eu-first"), "{said}");
    let described = wire.describe_topic("orders");
    let running = described.get("plugins").list().iter();
    let names: Vec<&str> = running.map(|plugin| plugin.get("name").text()).collect();
    assert!(names.contains(&"eu-first"), "{names:?}");
}

#[test]
fn typed_records_go_in_and_come_out_as_written() {
    let broker = Broker::start();
    let script = Readme::load().commands("What a record may look like, and how long it lives");
    let said = output_of(&mut shell(&broker, broker.home(), &script.join("\n")));
    assert!(said.contains("21.5"), "{said}");
    let mut wire = broker.connect();
    let stored = wire.read_all("readings", 0);
    assert_eq!(stored.len(), 1, "the malformed one was refused");
    assert_eq!(stored[0].text(), r#"{"celsius":21.5}"#);
}

/// They take too long to be run here: their options are looked at, and that the scripts are there.
#[test]
fn the_benchmarks_of_the_readme_have_the_options_it_names() {
    let commands = Readme::load().commands("Performance");
    let of_broker: Vec<_> = commands
        .iter()
        .filter_map(|command| command.strip_prefix("broker "))
        .collect();
    assert!(of_broker.len() >= 3, "{commands:?}");
    for command in of_broker {
        let mut broker = Command::new(env!("CARGO_BIN_EXE_broker-under-test"));
        let said = output_of(broker.args(shell_words(command)).arg("--help"));
        assert!(
            said.contains("Usage: broker-under-test bench"),
            "{command}: {said}"
        );
    }
    for script in ["tests/bench/peers.sh", "tests/bench/instructions.sh"] {
        assert!(commands.iter().any(|command| command.starts_with(script)));
        let mode = fs::metadata(repository().join(script))
            .unwrap()
            .permissions()
            .mode();
        assert_ne!(mode & 0o111, 0, "{script} cannot be run");
    }
}

#[test]
fn the_readmes_python_lines_run() {
    let broker = Broker::start();
    let commands = Readme::load().commands("Python");
    let demo = commands
        .iter()
        .find_map(|command| command.strip_prefix("python3 "));
    let demo = demo.expect("the README runs the demo");
    let said = output_of(
        python()
            .arg(demo)
            .current_dir(repository())
            .env("BROKER_SERVER", broker.address()),
    );
    assert!(said.trim_end().ends_with("done"), "{said}");
}
