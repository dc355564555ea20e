//! Layers: which crate may depend on which, ours and others', read from `cargo metadata`. The table is
//! the one of broker/ARCHITECTURE.md; a crate that is not in it, or an edge that it does not name, is a
//! finding. Dependencies of tests and benches may reach further.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::LazyLock;

use broker_tests::repository;
use serde_json::Value;

use crate::finding::{Finding, assert_tidy};

/// A crate of ours: its layer, what it may use of the others, and what it must not know.
struct Rule {
    name: &'static str,
    layer: u8,
    may_use: &'static [&'static str],
    must_not_know: &'static [&'static str],
}

const fn rule(
    name: &'static str,
    layer: u8,
    may_use: &'static [&'static str],
    must_not_know: &'static [&'static str],
) -> Rule {
    Rule {
        name,
        layer,
        may_use,
        must_not_know,
    }
}

const ASYNC: &[&str] = &["tokio", "futures", "actix", "actix-rt"];

/// Every shipped plugin, `plugins/*`.
const PLUGIN: Rule = rule("plugin-*", 2, &["plugin-sdk"], ASYNC);

const RULES: [Rule; 14] = [
    rule(
        "broker-model",
        0,
        &[],
        &[
            "tokio",
            "futures",
            "actix",
            "actix-rt",
            "serde",
            "rmp-serde",
            "rustix",
        ],
    ),
    rule(
        "broker-record",
        1,
        &["broker-model"],
        &[
            "tokio", "futures", "actix", "actix-rt", "rustix", "memmap2", "socket2",
        ],
    ),
    rule("broker-wasm", 1, &["broker-model"], ASYNC),
    rule("plugin-sdk", 1, &[], ASYNC),
    rule(
        "broker-protocol",
        2,
        &["broker-model", "broker-record"],
        ASYNC,
    ),
    rule(
        "broker-storage",
        2,
        &["broker-model", "broker-record"],
        ASYNC,
    ),
    rule(
        "broker-cluster",
        2,
        &["broker-model", "broker-record"],
        &["tokio", "futures", "actix", "actix-rt", "rustix", "memmap2"],
    ),
    rule("broker-plugin-bundle", 2, &[], ASYNC),
    rule(
        "broker-client",
        3,
        &["broker-model", "broker-record", "broker-protocol"],
        &["actix", "actix-rt"],
    ),
    rule(
        "broker-server",
        4,
        &[
            "broker-model",
            "broker-record",
            "broker-wasm",
            "broker-protocol",
            "broker-storage",
            "broker-cluster",
            "broker-plugin-bundle",
            "broker-client",
        ],
        &["clap", "anyhow"],
    ),
    rule(
        "broker-cli",
        5,
        &[
            "broker-model",
            "broker-record",
            "broker-wasm",
            "broker-storage",
            "broker-plugin-bundle",
            "broker-cluster",
            "broker-client",
            "broker-server",
        ],
        &["actix", "actix-rt"],
    ),
    rule(
        "broker-examples",
        5,
        &["broker-client"],
        &["actix", "actix-rt"],
    ),
    rule(
        "broker-tests",
        6,
        &[
            "broker-model",
            "broker-record",
            "broker-wasm",
            "broker-protocol",
            "broker-storage",
            "broker-cluster",
            "broker-client",
            "broker-server",
            "broker-cli",
        ],
        &[],
    ),
    rule(
        "broker-compare",
        6,
        &["broker-client", "broker-record"],
        &["actix", "actix-rt"],
    ),
];

/// Only one crate may name it.
const WASMTIME: (&str, &str) = ("wasmtime", "broker-wasm");

/// A package of the workspace with the names of its direct dependencies.
#[derive(Clone, Debug, Default)]
struct Member {
    name: String,
    normal: BTreeSet<String>,
}

static METADATA: LazyLock<Value> = LazyLock::new(cargo_metadata);

fn cargo_metadata() -> Value {
    let host = Command::new("rustc")
        .arg("-vV")
        .output()
        .expect("rustc runs");
    let host = String::from_utf8_lossy(&host.stdout).into_owned();
    let host = host
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .expect("rustc names its host");
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--filter-platform",
            host,
        ])
        .current_dir(repository())
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata failed: {said}");
    serde_json::from_slice(&output.stdout).expect("cargo metadata writes JSON")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn members() -> Vec<Member> {
    let inside: BTreeSet<&str> = list(&METADATA, "workspace_members")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let packages = list(&METADATA, "packages")
        .iter()
        .filter(|package| inside.contains(text(package, "id")));
    let member = |package: &Value| {
        let dependencies = list(package, "dependencies").iter();
        let shipped = dependencies.filter(|dependency| text(dependency, "kind") != "dev");
        Member {
            name: text(package, "name").to_owned(),
            normal: shipped
                .map(|dependency| text(dependency, "name").to_owned())
                .collect(),
        }
    };
    packages.map(member).collect()
}

fn broken_edges(members: &[Member]) -> Vec<Finding> {
    let known: BTreeMap<&str, &Rule> = RULES.iter().map(|rule| (rule.name, rule)).collect();
    let mut findings = Vec::new();
    for member in members {
        let is_plugin = member.name.starts_with("plugin-");
        let of_plugins = is_plugin.then_some(&PLUGIN);
        let Some(rule) = known.get(member.name.as_str()).copied().or(of_plugins) else {
            findings.push(Finding::new(
                &member.name,
                "is in no layer: add it to the table and to broker/ARCHITECTURE.md",
            ));
            continue;
        };
        for used in &member.normal {
            let used = used.as_str();
            if known.contains_key(used) && !rule.may_use.contains(&used) {
                findings.push(Finding::new(
                    &member.name,
                    format!("must not depend on {used}"),
                ));
            }
            let is_wasmtime = used == WASMTIME.0 && member.name != WASMTIME.1;
            if is_wasmtime || rule.must_not_know.contains(&used) {
                findings.push(Finding::new(&member.name, format!("must not know {used}")));
            }
        }
    }
    let found: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let gone = RULES.iter().filter(|rule| !found.contains(rule.name));
    findings.extend(gone.map(|rule| {
        Finding::new(
            rule.name,
            "is in the table of layers and not in the workspace",
        )
    }));
    findings
}

/// Every package that building `root` for use needs, through normal dependencies.
fn tree(metadata: &Value, root: &str) -> BTreeSet<String> {
    let packages = list(metadata, "packages")
        .iter()
        .map(|package| (text(package, "id"), text(package, "name")));
    let names: BTreeMap<&str, &str> = packages.collect();
    let nodes: BTreeMap<&str, &Value> = list(&metadata["resolve"], "nodes")
        .iter()
        .map(|node| (text(node, "id"), node))
        .collect();
    let mut open: Vec<&str> = names
        .iter()
        .filter(|(_, name)| **name == root)
        .map(|(id, _)| *id)
        .collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        for dependency in nodes
            .get(id)
            .map(|node| list(node, "deps"))
            .unwrap_or_default()
        {
            let is_normal = list(dependency, "dep_kinds")
                .iter()
                .any(|kind| kind["kind"].is_null());
            if is_normal {
                open.push(text(dependency, "pkg"));
            }
        }
    }
    seen.into_iter()
        .filter_map(|id| names.get(id))
        .map(|name| (*name).to_owned())
        .collect()
}

#[test]
fn every_crate_depends_only_on_what_its_layer_allows() {
    let members = members();
    assert!(
        members.len() >= RULES.len(),
        "cargo metadata shows only {members:?}"
    );
    assert_tidy(&broken_edges(&members));
}

#[test]
fn the_table_itself_keeps_strict_layers() {
    let layers: BTreeMap<&str, u8> = RULES.iter().map(|rule| (rule.name, rule.layer)).collect();
    for rule in &RULES {
        for used in rule.may_use {
            assert!(
                layers[used] < rule.layer,
                "{} (layer {}) may use {used}",
                rule.name,
                rule.layer
            );
        }
    }
}

#[test]
fn the_client_has_neither_actors_nor_a_wasm_engine_in_its_whole_tree() {
    let tree = tree(&METADATA, "broker-client");
    assert!(
        tree.contains("broker-protocol") && tree.contains("tokio"),
        "the tree is {tree:?}"
    );
    let unwanted = |name: &&String| {
        ["actix", "wasmtime", "cranelift", "wasmparser"]
            .iter()
            .any(|part| name.starts_with(part))
    };
    let found: Vec<_> = tree.iter().filter(unwanted).collect();
    assert!(found.is_empty(), "broker-client pulls in {found:?}");
}

#[test]
fn the_walk_through_a_tree_sees_what_is_deep_inside() {
    let server = tree(&METADATA, "broker-server");
    assert!(
        server.contains("wasmtime") && server.contains("actix"),
        "the tree is {server:?}"
    );
}

#[test]
fn forbidden_edges_are_caught() {
    let complaints = |name: &str, uses: &[&str]| {
        let normal = uses.iter().map(|used| (*used).to_owned()).collect();
        let member = Member {
            name: name.to_owned(),
            normal,
        };
        let others = RULES.iter().filter(|rule| rule.name != name);
        let others = others.map(|rule| Member {
            name: rule.name.to_owned(),
            ..Member::default()
        });
        let all: Vec<Member> = others.chain([member]).collect();
        broken_edges(&all)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        complaints("broker-storage", &["broker-model", "bytes"]),
        [""; 0]
    );
    assert_eq!(
        complaints("broker-storage", &["broker-protocol"]),
        ["broker-storage: must not depend on broker-protocol"]
    );
    assert_eq!(
        complaints("broker-client", &["broker-server"]),
        ["broker-client: must not depend on broker-server"]
    );
    assert_eq!(
        complaints("broker-server", &["wasmtime"]),
        ["broker-server: must not know wasmtime"]
    );
    assert_eq!(
        complaints("broker-cluster", &["tokio"]),
        ["broker-cluster: must not know tokio"]
    );
    assert_eq!(complaints("broker-new", &[]).len(), 1);
    assert_eq!(broken_edges(&[]).len(), RULES.len());
}
