//! Writing a plugin without a broker: `new`, `build`, `test` and `bench`. Crates are begun in folders
//! of fixed names and built into one target folder, so that a second run of this suite builds little.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::harness::{Broker, Ran, broker, eventually, run, signal, wait};

const KINDS: [&str; 4] = ["partitioner", "serializer", "retention", "compaction"];

/// Where crates are begun, outside of everything that the repository configures.
fn workshop() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-authoring")
}

fn target() -> String {
    workshop().join("target").display().to_string()
}

/// One nested cargo at a time: they share a target folder, and the machine.
fn cargo_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins a crate under this name; what an earlier run left there is as new afterwards.
fn begin(name: &str, kind: &str) -> PathBuf {
    begin_in(&workshop(), name, kind)
}

/// Files that are as they were before keep their times, so that cargo builds only what changed.
fn begin_in(place: &Path, name: &str, kind: &str) -> PathBuf {
    let folder = place.join(name);
    let fresh = tempfile::tempdir().expect("a directory can be made");
    let begun = fresh.path().join(name);
    let path = begun.display().to_string();
    let created = run(&[
        "plugin", "new", name, "--kind", kind, "--path", &path, "--json",
    ]);
    let files = created.ok().json()["files"].clone();
    for file in files.as_array().into_iter().flatten() {
        let file = file.as_str().expect("files have names");
        let contents = std::fs::read(begun.join(file)).expect("it was written");
        let there = folder.join(file);
        if std::fs::read(&there).ok().as_ref() == Some(&contents) {
            continue;
        }
        let parent = there.parent().expect("it lies in the folder");
        std::fs::create_dir_all(parent).expect("a directory can be made");
        std::fs::write(&there, contents).expect("it can be written");
    }
    folder
}

/// Runs a command that builds; what the build of this suite has fetched has to do.
fn building(args: &[&str]) -> Ran {
    let target = target();
    let mut args = args.to_vec();
    args.extend(["--target-dir", &target]);
    let mut command = broker(&args);
    command.env("CARGO_NET_OFFLINE", "true");
    command.output().expect("the binary runs").into()
}

fn replace(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).expect("it can be read");
    assert!(text.contains(from), "{from:?} is not in {}", file.display());
    std::fs::write(file, text.replace(from, to)).expect("it can be written");
}

#[test]
fn a_plugin_of_each_kind_passes_its_own_tests_at_once() {
    let _turn = cargo_turn();
    for kind in KINDS {
        let folder = begin(&format!("begun-{kind}"), kind);
        let path = folder.display().to_string();
        let tested = building(&["plugin", "test", &path, "--json"]).ok().json();
        assert_eq!(tested["kind"], kind);
        assert_eq!(tested["failed"], 0, "{tested}");
        assert!(tested["passed"].as_u64() >= Some(3), "{tested}");
        let native = Command::new("cargo")
            .args(["test", "--quiet", "--offline"])
            .current_dir(&folder)
            .env_remove("RUSTFLAGS")
            .env("CARGO_TARGET_DIR", target())
            .output()
            .expect("cargo runs");
        assert!(native.status.success(), "{kind}: {native:?}");
    }
}

#[test]
fn a_begun_plugin_builds_without_warnings_and_may_use_the_features_of_the_sdk() {
    let _turn = cargo_turn();
    let folder = begin("begun-key-table", "compaction");
    let path = folder.display().to_string();
    let built = building(&["plugin", "build", &path]).ok();
    assert!(!built.stderr.contains("warning"), "{built:?}");

    let sdk = "plugin-sdk = { path = \"vendor/plugin-sdk\"";
    let with_feature = format!("{sdk}, features = [\"key-table\"]");
    replace(&folder.join("Cargo.toml"), sdk, &with_feature);
    let library = folder.join("src/lib.rs");
    let source = std::fs::read_to_string(&library).expect("it can be read");
    let used = format!("{source}\npub type Latest = plugin_sdk::KeyTable<u64>;\n");
    std::fs::write(&library, used).expect("it can be written");
    let built = building(&["plugin", "build", &path]).ok();
    assert!(!built.stderr.contains("warning"), "{built:?}");
}

#[test]
fn a_plugin_that_answers_otherwise_fails_with_what_differs() {
    let _turn = cargo_turn();
    let folder = begin("begun-partitioner", "partitioner");
    let path = folder.display().to_string();
    replace(&folder.join("fixtures.yaml"), "[0, 0, 2]", "[0, 1, 2]");
    let ran = building(&["plugin", "test", &path])
        .ended(1)
        .says(&["1 of 3 cases failed"]);
    let text = ran.text();
    for part in [
        "FAILED  keys of one group go to one partition (",
        "fixtures.yaml:2)",
        "record 1 (key \"order-2\"): expected partition 1, got 0",
        "2 passed, 1 failed",
    ] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
    replace(&folder.join("fixtures.yaml"), "records:", "recrods:");
    building(&["plugin", "test", &path])
        .ended(1)
        .says(&["fixtures.yaml", "line", "recrods"]);
}

#[test]
fn a_partitioner_that_answers_otherwise_for_a_whole_batch_without_keys_fails() {
    let _turn = cargo_turn();
    let folder = begin("begun-partitioner", "partitioner");
    let path = folder.display().to_string();
    let keyless = |partition: &str| {
        let function = format!(
            "fn keyless(&mut self, _: u32, layout: &Layout) -> Option<u32> {{ {partition} }}"
        );
        let before = "    /// One partition for each record";
        begin("begun-partitioner", "partitioner");
        let with_it = format!("    {function}\n\n{before}");
        replace(&folder.join("src/lib.rs"), before, &with_it);
    };
    // What the fixtures expect is the same in both: one of them answers it.
    keyless("Some(layout.turn(layout.batches + 1))");
    replace(&folder.join("fixtures.yaml"), "[1, 1]", "[2, 2]");
    let ran = building(&["plugin", "test", &path])
        .ended(1)
        .says(&["1 of 3 cases failed"]);
    let told = "keyless, which a broker asks first, says [2, 2]; assign says [1, 1]";
    assert!(ran.text().contains(told), "{ran:?}");
    keyless("Some(layout.partitions)");
    let ran = building(&["plugin", "test", &path]).ended(1);
    let told = "keyless, which a broker asks first, fails: ";
    assert!(ran.text().contains(told), "{ran:?}");
    keyless("Some(layout.turn(layout.batches))");
    building(&["plugin", "test", &path]).ok();
}

#[test]
fn a_build_says_what_came_out_and_the_same_sources_give_the_same_digest() {
    let _turn = cargo_turn();
    let folder = begin("begun-serializer", "serializer");
    let path = folder.display().to_string();
    let built = building(&["plugin", "build", &path, "--json"]).ok().json();
    assert_eq!(
        (&built["kind"], &built["name"], &built["version"]),
        (
            &"serializer".into(),
            &"begun-serializer".into(),
            &"0.1.0".into()
        )
    );
    assert!(built["size_bytes"].as_u64() < Some(200_000), "{built}");
    let entry = built["manifest_entry"].as_str().unwrap();
    assert!(entry.contains("kind = \"serializer\""), "{entry}");
    assert!(built["problem"].is_null());
    let file = built["file"].as_str().unwrap();
    let inspected = run(&["plugin", "inspect", file, "--json"]).ok().json();
    assert_eq!(inspected["sha256"], built["sha256"]);

    let elsewhere = begin_in(&workshop().join("moved"), "begun-serializer", "serializer");
    let moved = elsewhere.display().to_string();
    let again = building(&["plugin", "build", &moved, "--json"]).ok().json();
    assert_eq!(
        again["sha256"], built["sha256"],
        "the folder got into the module"
    );

    replace(&folder.join("src/lib.rs"), "max: usize,", "max: usize");
    replace(
        &folder.join("src/lib.rs"),
        "use plugin_sdk::",
        "use plugin_skd::",
    );
    building(&["plugin", "build", &path])
        .ended(1)
        .says(&["does not compile", "plugin_skd"]);
    let error = building(&["plugin", "build", &path, "--json"])
        .ended(1)
        .json_error();
    assert!(
        error["message"].as_str().unwrap().contains("plugin_skd"),
        "{error}"
    );
}

#[test]
fn a_crate_that_makes_no_module_and_a_missing_target_are_told_apart() {
    let _turn = cargo_turn();
    let folder = begin("begun-retention", "retention");
    let path = folder.display().to_string();
    replace(&folder.join("Cargo.toml"), "crate-type = [\"cdylib\"]", "");
    building(&["plugin", "build", &path])
        .ended(1)
        .says(&["makes no module", "cdylib"]);

    // A compiler without the target.
    let tools = tempfile::tempdir().unwrap();
    let rustc = tools.path().join("rustc");
    std::fs::write(&rustc, "#!/bin/sh\necho /nowhere\n").unwrap();
    let mut permissions = std::fs::metadata(&rustc).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    std::fs::set_permissions(&rustc, permissions).unwrap();
    let ran: Ran = broker(&["plugin", "build", &path])
        .env("RUSTC", &rustc)
        .output()
        .unwrap()
        .into();
    ran.ended(1).says(&[
        "wasm32-unknown-unknown is not installed",
        "rustup target add",
    ]);
    let ran: Ran = broker(&["plugin", "build", &path])
        .env("RUSTC", tools.path().join("missing"))
        .output()
        .unwrap()
        .into();
    ran.ended(1)
        .says(&["rustc could not be started", "rustup.rs"]);
    run(&["plugin", "build", &tools.path().display().to_string()])
        .ended(1)
        .says(&["has no Cargo.toml", "broker plugin new"]);
}

#[test]
fn nothing_is_overwritten_and_bad_names_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine");
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("notes"), "precious").unwrap();
    let path = path.display().to_string();
    run(&[
        "plugin",
        "new",
        "mine",
        "--kind",
        "retention",
        "--path",
        &path,
    ])
    .ended(1)
    .says(&["is not empty", "nothing is overwritten"]);
    for name in ["Mine", "2fast", "my_plugin", "fn", "../mine"] {
        run(&[
            "plugin",
            "new",
            name,
            "--kind",
            "retention",
            "--path",
            &path,
        ])
        .ended(2);
    }
    run(&["plugin", "new", "mine"]).ended(2).says(&["--kind"]);
    run(&["plugin", "new", "mine", "--kind", "filter"])
        .ended(2)
        .says(&["partitioner", "compaction"]);
    let other = dir.path().join("other").display().to_string();
    run(&[
        "plugin",
        "new",
        "other",
        "--kind",
        "retention",
        "--path",
        &other,
        "--sdk",
        &path,
    ])
    .ended(1)
    .says(&["is not the crate plugin-sdk"]);
    assert!(!Path::new(&other).exists());
}

#[test]
fn the_sdk_of_another_folder_is_used_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugin-sdk");
    let path = dir.path().join("mine").display().to_string();
    let sdk = sdk.display().to_string();
    let begun = run(&[
        "plugin",
        "new",
        "mine",
        "--kind",
        "compaction",
        "--path",
        &path,
        "--sdk",
        &sdk,
        "--json",
    ]);
    let files = begun.ok().json()["files"].clone();
    assert!(!files.to_string().contains("vendor"), "{files}");
    let manifest = std::fs::read_to_string(Path::new(&path).join("Cargo.toml")).unwrap();
    let line = manifest
        .lines()
        .find(|line| line.starts_with("plugin-sdk"))
        .unwrap();
    assert!(
        line.contains("path = \"/") && !line.contains(".."),
        "{line}"
    );
}

/// A partitioner that panics at the key `boom`, and says what it does.
fn fragile() -> String {
    let folder = begin("begun-fragile", "partitioner");
    replace(
        &folder.join("src/lib.rs"),
        "Some(key) => {",
        "Some(b\"boom\") => panic!(\"no boom today\"),\n            Some(key) => {\n                plugin_sdk::log::info(\"a key\");",
    );
    let path = folder.display().to_string();
    let built = building(&["plugin", "build", &path, "--json"]).ok().json();
    built["file"].as_str().expect("it says where").to_owned()
}

/// A broker whose topic `orders` is routed by the fragile plugin.
fn broker_with_fragile_plugin() -> (Broker, String) {
    let module = {
        let _turn = cargo_turn();
        fragile()
    };
    let broker = Broker::start();
    broker
        .run(&["plugin", "deploy", &format!("fragile={module}")])
        .ok();
    broker
        .run(&["topic", "create", "orders", "-c", "partitioner=fragile"])
        .ok();
    (broker, module)
}

fn follow(broker: &Broker) -> (Child, Receiver<String>) {
    let mut follower = broker.command(&["plugin", "logs", "fragile", "-f", "--lines", "0"]);
    let mut follower = follower
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let output = BufReader::new(follower.stdout.take().expect("it was asked for"));
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        output
            .lines()
            .map_while(Result::ok)
            .for_each(|line| drop(sender.send(line)))
    });
    (follower, lines)
}

#[test]
fn a_plugin_that_traps_is_explained_logged_suspended_and_resumed() {
    let (broker, module) = broker_with_fragile_plugin();
    let fixtures = broker.file(
        "fixtures.jsonl",
        br#"{"name":"boom","partitions":2,"records":[{"key":"a"},{"key":"boom"}],"expect":{"partitions":[0,0]}}"#,
    );
    let ran = run(&["plugin", "test", &module, "--fixtures", &fixtures]).ended(1);
    assert!(
        ran.text().contains("no boom today") && ran.text().contains("log info: a key"),
        "{ran:?}"
    );

    let produce = |key: &str| broker.run_with_input(&["produce", "orders", "--key", key], b"1\n");
    for _ in 0..3 {
        produce("boom").ended(1).says(&["no boom today"]);
    }
    let described = broker.run(&["plugin", "describe", "fragile"]).ok().text();
    assert!(
        described.contains("suspended for orders since"),
        "{described}"
    );
    let list = broker
        .run(&["plugin", "list", "--kind", "partitioner"])
        .ok()
        .text();
    let line = list
        .lines()
        .find(|line| line.starts_with("fragile"))
        .unwrap_or_default();
    assert!(
        line.contains("suspended") && line.contains("orders"),
        "{list}"
    );
    let logs = broker.run(&["plugin", "logs", "fragile"]).ok().text();
    assert!(
        logs.contains("ERROR") && logs.contains("no boom today") && logs.contains("suspended"),
        "{logs}"
    );
    let last = broker
        .run(&["plugin", "logs", "fragile", "--lines", "1", "--json"])
        .ok()
        .json();
    assert_eq!(last["level"], "error");

    let resumed = broker
        .run(&["plugin", "resume", "fragile", "--json"])
        .ok()
        .json();
    assert_eq!(resumed["was_suspended"], true);
    let (mut follower, lines) = follow(&broker);
    eventually("the follower shows a line that comes later", || {
        produce("fine").ok();
        lines
            .try_iter()
            .any(|line| line.contains("INFO") && line.ends_with("orders a key"))
    });
    signal(&follower, "INT");
    assert_eq!(wait(&mut follower).code(), Some(0));
}
