//! A broker that cannot start says why: the thing, the value, the fix. It never starts half.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use tempfile::TempDir;

use crate::harness::{Broker, Setup, crc32, hostile_module, sha256_of};

/// Exit codes of the binary, as its help prints them.
const FAILED: i32 = 1;
const INVALID_CONFIG: i32 = 6;

#[test]
fn a_second_broker_on_the_same_directory_is_refused_and_the_first_goes_on() {
    let broker = Broker::start();
    let data_dir = broker.data_dir();
    let refused = Setup::new().refused_on(&data_dir);
    refused
        .exits_with(FAILED)
        .names(&[&data_dir.display().to_string(), "in use"]);
    broker.connect().create_topic("t", 1, &[]);
}

#[test]
fn a_second_broker_is_refused_also_when_somebody_has_removed_the_lock_file() {
    let broker = Broker::start();
    let data_dir = broker.data_dir();
    fs::remove_file(data_dir.join(".lock")).expect("it is there");
    let refused = Setup::new().refused_on(&data_dir);
    refused
        .exits_with(FAILED)
        .names(&[&data_dir.display().to_string(), "in use"]);
    broker.connect().create_topic("t", 1, &[]);
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it has one").to_string();
    let refused = Setup::new()
        .argument("--listen")
        .argument(&address)
        .refused();
    refused.exits_with(FAILED).names(&[&address, "--listen"]);
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let home = TempDir::new().expect("a temporary directory can be made");
    let file = home.path().join("file");
    fs::write(&file, b"not a directory").expect("it can be written");
    for dir in [
        file.clone(),
        file.join("below"),
        Path::new("/proc/broker-data").to_owned(),
    ] {
        let refused = Setup::new().refused_on(&dir);
        refused
            .exits_with(FAILED)
            .names(&[&dir.display().to_string(), "not writable"]);
    }
    assert_eq!(fs::read(&file).expect("it is there"), b"not a directory");
}

#[test]
fn files_that_a_start_cannot_do_without_are_named_with_what_to_do() {
    let mut broker = Broker::start();
    broker.connect().create_topic("t", 1, &[]);
    broker.stop();
    for name in ["meta.properties", "durable-positions"] {
        let file = broker.data_dir().join(name);
        let bytes = fs::read(&file).expect("it is there");
        fs::remove_file(&file).expect("it can be removed");
        fs::create_dir(&file).expect("it can be made");
        let path = file.display().to_string();
        let refused = Setup::new().refused_on(&broker.data_dir());
        refused
            .exits_with(FAILED)
            .names(&[&path, "cannot be read", "It says", "copy"]);
        let data_dir = broker.data_dir().display().to_string();
        let verified = broker.command(&["log", "verify", &data_dir]).output();
        let verified = verified.expect("it can be started").stdout;
        let verified = String::from_utf8_lossy(&verified).into_owned();
        assert!(verified.contains(&path), "{verified}");
        assert!(verified.contains("does not start"), "{verified}");
        fs::remove_dir(&file).expect("it is empty");
        fs::write(&file, bytes).expect("it can be written");
    }
    broker.start_again();
    broker.connect().create_topic("u", 1, &[]);
}

#[test]
fn a_directory_of_a_newer_version_is_left_alone() {
    let mut broker = Broker::start();
    broker.connect().create_topic("t", 1, &[]);
    broker.stop();
    let file = broker.data_dir().join("meta.properties");
    let text = fs::read_to_string(&file).expect("it is there");
    let (covered, _) = text.rsplit_once("crc32=").expect("its last line");
    let newer = covered.replace("version=1\n", "version=9\n");
    assert_ne!(newer, covered);
    fs::write(
        &file,
        format!("{newer}crc32={:08x}\n", crc32(newer.as_bytes())),
    )
    .expect("it can be written");
    let refused = Setup::new().refused_on(&broker.data_dir());
    refused.names(&[&file.display().to_string(), "version 9", "newer broker"]);
    fs::write(&file, text.replace("node.id=1", "node.id=2")).expect("it can be written");
    let refused = Setup::new().refused_on(&broker.data_dir());
    refused.names(&[&file.display().to_string(), "damaged"]);
    fs::write(&file, text).expect("it can be written");
    broker.start_again();
    broker.connect().describe_topic("t");
}

#[test]
fn another_brokers_directory_is_refused() {
    let mut broker = Broker::start();
    broker.stop();
    let refused = Setup::new()
        .argument("--broker-id")
        .argument("7")
        .refused_on(&broker.data_dir());
    refused.names(&["broker 1", "broker 7", "broker.id"]);
}

#[test]
fn a_broker_id_is_a_number() {
    let refused = Setup::new().option("broker.id", "abc").refused();
    refused
        .exits_with(INVALID_CONFIG)
        .names(&["broker.id", "abc"]);
}

#[test]
fn a_misspelt_key_gets_a_suggestion_wherever_it_stands() {
    let refused = Setup::new().option("log.retenton.ms", "1h").refused();
    refused
        .exits_with(INVALID_CONFIG)
        .names(&["log.retenton.ms", "log.retention.ms"]);

    let home = TempDir::new().expect("a temporary directory can be made");
    let file = home.path().join("broker.toml");
    fs::write(&file, "[log.retention]\nmss = \"7d\"\n").expect("it can be written");
    let with_file = Setup::new()
        .argument("--config")
        .argument(file.display().to_string());
    with_file.refused().exits_with(INVALID_CONFIG).names(&[
        "broker.toml",
        "log.retention.mss",
        "log.retention.ms",
    ]);

    fs::write(&file, "[log\nretention = 1\n").expect("it can be written");
    with_file
        .refused()
        .exits_with(INVALID_CONFIG)
        .names(&["broker.toml", "TOML"]);
    let nowhere = Setup::new()
        .argument("--config")
        .argument("no-such-file.toml");
    nowhere
        .refused()
        .exits_with(INVALID_CONFIG)
        .names(&["no-such-file.toml"]);
}

#[test]
fn every_wrong_value_is_named_at_once_with_what_is_allowed() {
    let refused = Setup::new()
        .option("log.retention.ms", "soon")
        .option("num.partitions", "0")
        .option("log.flush.mode", "never")
        .refused();
    refused.exits_with(INVALID_CONFIG);
    refused.names(&[
        "log.retention.ms",
        "soon",
        "num.partitions",
        "log.flush.mode",
        "never",
        "sync",
        "async",
    ]);
}

/// A folder with the hostile guest as `guest.wasm`, and a manifest.
struct Manifest(TempDir);

impl Manifest {
    fn new() -> Self {
        let folder = TempDir::new().expect("a temporary directory can be made");
        fs::copy(hostile_module(), folder.path().join("guest.wasm")).expect("it can be copied");
        Self(folder)
    }

    fn entry(&self) -> String {
        let digest = sha256_of(hostile_module());
        format!(
            "[[plugin]]\nname = \"mine\"\nkind = \"partitioner\"\npath = \"guest.wasm\"\nsha256 = \"{digest}\"\n"
        )
    }

    #[track_caller]
    fn refuses(&self, text: &str, words: &[&str]) {
        let file = self.0.path().join("plugins.toml");
        fs::write(&file, text).expect("it can be written");
        let refused = Setup::new().plugins(&file).refused();
        refused
            .exits_with(FAILED)
            .names(&["plugins.toml"])
            .names(words);
    }
}

#[test]
fn a_manifest_with_anything_wrong_is_refused_by_entry_and_line() {
    let manifest = Manifest::new();
    let good = manifest.entry();
    let digest = sha256_of(hostile_module());
    let zeros = "0".repeat(64);
    let second = format!("# a comment\n{}", good);

    manifest.refuses(
        &good.replace(&digest, &zeros),
        &[":5:", "\"mine\"", "digest", &zeros, &digest],
    );
    manifest.refuses(&second.replace(&digest, &zeros), &[":6:", "\"mine\""]);
    manifest.refuses(
        &good.replace("guest.wasm", "nowhere.wasm"),
        &[":4:", "\"mine\"", "nowhere.wasm"],
    );
    manifest.refuses(
        &good.replace("partitioner", "serializer"),
        &[":3:", "\"mine\"", "serializer", "partitioner"],
    );
    manifest.refuses(
        &good.replace("partitioner", "wizard"),
        &[":3:", "\"mine\"", "wizard"],
    );
    manifest.refuses(
        &good.replace("path =", "pth ="),
        &[":4:", "\"mine\"", "pth", "path"],
    );
    manifest.refuses(
        &good.replace("sha256", "# sha256"),
        &["\"mine\"", "sha256", &digest],
    );
    manifest.refuses(
        &format!("{good}options = {{ behavior = \"x\" }}\n"),
        &["\"mine\"", "behavior"],
    );
    manifest.refuses(
        &format!("{good}limits = {{ deadline = \"1h\" }}\n"),
        &[":6:", "\"mine\"", "deadline"],
    );
    manifest.refuses(&format!("{good}{good}"), &["\"mine\"", "line 2"]);
    manifest.refuses(
        &good.replace("\"mine\"", "\"key-hash\""),
        &["\"key-hash\"", "shipped"],
    );
    manifest.refuses("[[plugin]\n", &["plugins.toml:1", "TOML"]);
}

#[test]
fn a_module_that_is_no_plugin_is_refused() {
    let manifest = Manifest::new();
    let guest = manifest.0.path().join("guest.wasm");
    // The smallest module there is exports nothing; a text is no module.
    for (bytes, word) in [
        (&b"\0asm\x01\0\0\0"[..], "exports no plugin"),
        (b"hello", "not a WebAssembly module"),
    ] {
        fs::write(&guest, bytes).expect("it can be written");
        let entry = manifest
            .entry()
            .replace(&sha256_of(hostile_module()), &sha256_of(&guest));
        manifest.refuses(&entry, &["\"mine\"", word]);
    }
}

#[test]
fn a_missing_manifest_is_named() {
    let nowhere = Path::new("/nowhere/plugins.toml");
    Setup::new()
        .plugins(nowhere)
        .refused()
        .exits_with(FAILED)
        .names(&["/nowhere/plugins.toml"]);
}

#[test]
fn a_check_says_what_a_start_would() {
    let home = TempDir::new().expect("a temporary directory can be made");
    let (dir, link, file) = (
        home.path().join("dir"),
        home.path().join("link"),
        home.path().join("file"),
    );
    fs::create_dir(&dir).expect("it can be made");
    fs::write(&file, b"not a directory").expect("it can be written");
    std::os::unix::fs::symlink(&dir, &link).expect("it can be made");
    let missing = home.path().join("missing");
    let on = |dirs: &[&Path]| {
        let dirs: Vec<_> = dirs.iter().map(|dir| dir.to_path_buf()).collect();
        Setup::new().log_dirs(&dirs)
    };
    let listening = |addresses: &str| on(&[&dir]).argument("--listen").argument(addresses);
    let twice = {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        free.local_addr().expect("it has one").to_string()
    };
    let cases: [(&dyn Fn() -> Setup, &str); 6] = [
        (&|| on(&[&missing, &missing]), "missing"),
        (&|| on(&[&dir, &link]), "link"),
        (&|| on(&[&file]), "not writable"),
        (&|| on(&[&file.join("below")]), "not writable"),
        (&|| listening("192.0.2.1:0"), "192.0.2.1"),
        (&|| listening(&format!("{twice},{twice}")), "cannot listen"),
    ];
    for (setup, word) in cases {
        setup().refused().exits_with(FAILED).names(&[word]);
        for made in ["missing", "dir"] {
            let _ = fs::remove_dir_all(home.path().join(made));
        }
        fs::create_dir(&dir).expect("it can be made");
        let checked = setup().argument("--check").refused();
        checked.exits_with(FAILED).names(&[word]);
        assert!(!missing.exists());
        assert_eq!(fs::read_dir(&dir).expect("it is there").count(), 0);
    }
    // What another process has may be the broker that this one is to replace.
    let running = Broker::start();
    let dirs = format!("log.dirs={}", missing.display());
    for address in [running.address(), "127.0.0.1:0"] {
        let check = ["serve", "--check", "--listen", address, "-o", &dirs];
        let checked = running.command(&check).output().expect("it runs");
        let said = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
        assert!(checked.status.success() && said.contains("fine"), "{said}");
        let is_taken = address == running.address();
        assert_eq!(said.contains("cannot listen"), is_taken, "{said}");
    }
    assert!(!missing.exists());
}
