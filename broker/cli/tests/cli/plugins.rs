//! `broker plugin inspect`: offline, on the modules that come with the broker and on what is none.

use std::path::Path;

use broker_wasm::{Builtin, Catalog, Manifest, PluginEngine};

use crate::fixtures::shipped;
use crate::harness::{Broker, run};

fn key_hash(dir: &Path) -> String {
    shipped("key-hash", dir)
}

#[test]
fn a_plugin_file_is_described() {
    let dir = tempfile::tempdir().unwrap();
    let path = key_hash(dir.path());
    let json = run(&["plugin", "inspect", &path, "--json"]).ok().json();
    assert_eq!(json["kind"], "partitioner");
    assert_eq!(json["sha256"].as_str().unwrap().len(), 64);
    assert!(json["exports"].as_array().unwrap().len() >= 3);
    assert!(json["problem"].is_null());
    let text = run(&["plugin", "inspect", &path]).ok().text();
    assert!(
        text.contains("partitioner") && text.contains("[[plugin]]"),
        "{text}"
    );
}

#[test]
fn the_manifest_entry_is_one_that_a_broker_takes() {
    let dir = tempfile::tempdir().unwrap();
    let path = key_hash(dir.path());
    let entry = run(&[
        "plugin",
        "inspect",
        &path,
        "--manifest-entry",
        "--name",
        "mine",
    ])
    .ok()
    .text();
    let manifest = dir.path().join("plugins.toml");
    std::fs::write(&manifest, &entry).unwrap();
    let manifest = Manifest::load(&manifest).unwrap_or_else(|error| panic!("{error} in {entry}"));
    let engine = PluginEngine::new().unwrap();
    let none: [Builtin<'_>; 0] = [];
    let catalog = Catalog::load(&engine, &none, Some(&manifest))
        .unwrap_or_else(|error| panic!("{error} in {entry}"));
    assert!(catalog.get("mine").is_some());
}

#[test]
fn a_file_that_is_no_plugin_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("not.wasm").display().to_string();
    std::fs::write(&path, b"#!/bin/sh\n").unwrap();
    run(&["plugin", "inspect", &path])
        .ended(1)
        .says(&["not.wasm", "is not a plugin"]);
    let ran = run(&["plugin", "inspect", &path, "--manifest-entry"]).ended(1);
    assert_eq!(ran.stdout, b"", "nothing must end up in a manifest");
    let ran = run(&["plugin", "inspect", &path, "--json"]).ended(1);
    assert!(ran.json()["problem"].is_string());
    run(&["plugin", "inspect", "/nowhere.wasm"])
        .ended(1)
        .says(&["/nowhere.wasm"]);
}

#[test]
fn modules_of_every_kind_are_known() {
    let dir = tempfile::tempdir().unwrap();
    for (name, kind) in [
        ("key-hash", "partitioner"),
        ("string", "serializer"),
        ("time-and-size", "retention"),
        ("latest-by-key", "compaction"),
    ] {
        let path = shipped(name, dir.path());
        let json = run(&["plugin", "inspect", &path, "--json"]).ok().json();
        assert_eq!(json["kind"], kind);
        assert_eq!(
            json["imports"],
            serde_json::json!(["broker:plugin/log@0.1.0#write"])
        );
    }
}

/// The bytes with one text in place of another of the same length, everywhere.
fn with_text(module: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut changed = module.to_owned();
    let mut found = 0;
    for at in 0..changed.len().saturating_sub(from.len()) {
        if changed[at..].starts_with(from.as_bytes()) {
            changed[at..at + to.len()].copy_from_slice(to.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "{from} is not in the module");
    changed
}

#[test]
fn every_bad_module_is_refused_with_what_is_wrong_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let module = std::fs::read(key_hash(dir.path())).unwrap();
    let torn = &module[..module.len() / 2];
    for (bad, parts) in [
        (
            b"".to_vec(),
            ["not a WebAssembly module", "wasm32-unknown-unknown"],
        ),
        (
            vec![7; 1_000],
            ["not a WebAssembly module", "wasm32-unknown-unknown"],
        ),
        (b"\0asm\x0d\0\x01\0".to_vec(), ["component", "core module"]),
        (b"\0asm\x01\0\0\0".to_vec(), ["exports no plugin", "cdylib"]),
        (torn.to_vec(), ["damaged", "at byte"]),
        (
            with_text(&module, "plugin/log@0.1.0", "plugin/lag@0.1.0"),
            ["imports broker:plugin/lag", "no WASI"],
        ),
        (
            with_text(&module, "@0.1.0", "@9.1.0"),
            ["version 9.1.0", "build it again"],
        ),
        (
            with_text(&module, "partitioner.assign", "partitioner.assing"),
            ["does not export", "assign"],
        ),
    ] {
        let path = dir.path().join("bad.wasm");
        std::fs::write(&path, &bad).unwrap();
        let path = path.display().to_string();
        run(&["plugin", "inspect", &path])
            .ended(1)
            .says(&parts)
            .says(&["bad.wasm", "broker plugin new"]);
    }
    let huge = dir.path().join("huge.wasm");
    std::fs::File::create(&huge)
        .unwrap()
        .set_len(17 << 20)
        .unwrap();
    run(&["plugin", "inspect", &huge.display().to_string()])
        .ended(1)
        .says(&["larger than a plugin may be"]);
    run(&["plugin", "inspect", &dir.path().display().to_string()])
        .ended(1)
        .says(&["is a folder", "broker plugin build"]);
}

#[test]
fn a_broker_lists_its_plugins() {
    let broker = Broker::start();
    let json = broker.run(&["plugin", "list", "--json"]).ok().json();
    let names: Vec<_> = json
        .as_array()
        .unwrap()
        .iter()
        .map(|plugin| plugin["name"].clone())
        .collect();
    assert!(names.contains(&"key-hash".into()) && names.contains(&"round-robin".into()));
    let text = broker.run(&["plugin", "list"]).ok().text();
    assert!(
        text.contains("key-hash") && text.contains("builtin"),
        "{text}"
    );
}
