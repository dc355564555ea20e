//! `broker plugin inspect`: offline, on the modules that come with the broker and on what is none.

use std::path::Path;

use broker_wasm::{Builtin, Catalog, Manifest, PluginEngine};

use crate::harness::{Broker, run};

fn key_hash(dir: &Path) -> String {
    let modules = broker_plugin_bundle::modules();
    let module = modules
        .iter()
        .find(|module| module.name == "key-hash")
        .expect("it is shipped");
    let path = dir.join("key_hash.wasm");
    std::fs::write(&path, module.bytes).expect("it can be written");
    path.display().to_string()
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
