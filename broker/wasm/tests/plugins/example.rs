//! The example that users start from: it builds on its own, its tests pass, the broker takes it, and
//! the commented manifest is right.

use std::path::Path;
use std::sync::Arc;

use broker_wasm::{Catalog, Manifest, Partitioner, Plugin, PluginSource};

use crate::harness::{LAYOUT, assign, build_guest, builtins, cargo, catalog, engine};

const EXAMPLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../examples/partitioner-plugin"
);
const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/plugins.toml");

#[test]
fn the_custom_partitioner_builds_alone_and_changes_the_mapping() {
    let folder = Path::new(EXAMPLE);
    let file = build_guest(folder, "partitioner_plugin");
    let module = engine().load(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(
        (module.name(), module.version()),
        (Some("partitioner-plugin"), Some("1.0.0"))
    );
    let plugin = Arc::new(Plugin::new("eu-first", module, PluginSource::File(file)));
    let mut custom = Partitioner::new(engine(), &plugin, "orders", &[]).unwrap();
    let shipped = catalog().get("key-hash").unwrap();
    let mut shipped = Partitioner::new(engine(), shipped, "orders", &[]).unwrap();
    let keys = [Some("eu:1"), Some("eu:2"), Some("eu:3"), Some("us:1"), None];
    let answer = assign(&mut custom, &keys, LAYOUT).unwrap();
    assert!(
        answer[..3].iter().all(|partition| *partition < 4),
        "{answer:?}"
    );
    assert!(
        answer[3..].iter().all(|partition| *partition >= 4),
        "{answer:?}"
    );
    assert_ne!(answer, assign(&mut shipped, &keys, LAYOUT).unwrap());
}

#[test]
fn the_custom_partitioners_own_tests_pass_without_a_broker() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("partitioner_plugin_native");
    cargo(Path::new(EXAMPLE), &target, &["test", "--locked"]);
}

#[test]
fn the_commented_manifest_loads_as_it_is() {
    let manifest = Manifest::load(Path::new(MANIFEST)).unwrap();
    assert!(manifest.entries().len() >= 2);
    let with = Catalog::load(engine(), &builtins(), Some(&manifest)).unwrap();
    let names = |catalog: &Catalog| {
        let names = catalog.plugins().map(|plugin| plugin.name().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(&with), names(catalog()));
}

#[test]
fn the_commented_out_entry_is_understood_key_by_key() {
    let text = std::fs::read_to_string(MANIFEST).unwrap();
    let (_, example) = text.split_once("# [[plugin]]").unwrap();
    let uncommented: String = example
        .lines()
        .map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or_default()))
        .collect();
    let manifest =
        Manifest::parse(&format!("[[plugin]]{uncommented}"), Path::new(MANIFEST)).unwrap();
    let [entry] = manifest.entries() else {
        panic!("one entry")
    };
    assert_eq!(
        (entry.name.as_str(), entry.fallback.as_deref()),
        ("eu-first", Some("key-hash"))
    );
}

#[test]
fn the_table_of_shipped_plugins_has_each_with_its_kind_and_its_options() {
    let text = std::fs::read_to_string(MANIFEST).unwrap();
    let rows = text
        .lines()
        .skip_while(|line| !line.contains("kind         options"))
        .skip(1)
        .map_while(|line| line.strip_prefix("#   "));
    let mut named = Vec::new();
    for row in rows {
        let mut words = row.split_whitespace();
        let (name, kind) = (words.next().unwrap(), words.next().unwrap());
        let plugin = catalog().get(name).unwrap();
        assert_eq!(plugin.kind().to_string(), kind, "{name}");
        assert_eq!(options(row), known_options(plugin), "{name}");
        named.push(name);
    }
    named.sort_unstable();
    let shipped: Vec<_> = catalog().plugins().map(|plugin| plugin.name()).collect();
    assert_eq!(named, shipped);
}

/// The options that a row of the table names: every word that is no value of the one before it. What
/// stands in brackets explains.
fn options(row: &str) -> Vec<String> {
    let (_, options) = row.split_at("key-hash          partitioner  ".len());
    let outside = options
        .split('(')
        .enumerate()
        .map(|(index, piece)| match index {
            0 => piece,
            _ => piece.split_once(')').unwrap().1,
        });
    let outside: String = outside.collect();
    let mut names = Vec::new();
    let mut is_value = false;
    for word in outside.split_whitespace() {
        match word {
            "=" | "|" => is_value = true,
            _ if is_value => is_value = false,
            "none" | "with" | "or" | "," => {}
            _ => names.push(
                word.trim_end_matches(['*', ','])
                    .trim_end_matches('*')
                    .to_owned(),
            ),
        }
    }
    names.sort_unstable();
    names
}

/// The options that a plugin says it knows when it is given one that it does not know.
fn known_options(plugin: &Arc<Plugin>) -> Vec<String> {
    let unknown = [("no-such-option".to_owned(), "1".to_owned())];
    let refused = plugin
        .check_config(engine(), "orders", &unknown)
        .unwrap_err();
    let (_, known) = refused.message.split_once("known options: ").unwrap();
    let names = known.split(", ").filter(|name| *name != "none");
    let mut names: Vec<_> = names.map(str::to_owned).collect();
    names.sort_unstable();
    names
}
