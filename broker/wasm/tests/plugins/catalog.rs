//! A broker's plugins out of a manifest and modules in files: what is offered, and everything for
//! which the broker refuses to start.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker_wasm::{
    Catalog, Inspection, Manifest, Partitioner, Plugin, PluginErrorKind, PluginKind, PluginSource,
};
use tempfile::TempDir;

use crate::harness::{
    LAYOUT, assign, builtins, catalog, engine, hostile, hostile_bytes, hostile_module,
    shipped_module,
};

/// A folder with the hostile guest as `guest.wasm`, and a manifest.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        // Held, so that loading a manifest finds its modules compiled.
        let _compiled = (catalog(), hostile(PluginKind::Partitioner));
        let folder = TempDir::new().unwrap();
        fs::copy(hostile_module(), folder.path().join("guest.wasm")).unwrap();
        Folder(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn load(&self, manifest: &str) -> Result<Catalog, String> {
        let path = self.path().join("plugins.toml");
        fs::write(&path, manifest).unwrap();
        let manifest = Manifest::load(&path).map_err(|error| error.to_string())?;
        Catalog::load(engine(), &builtins(), Some(&manifest)).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn refuses(&self, manifest: &str, expected: &str) {
        let error = self.load(manifest).expect_err("the manifest is wrong");
        assert!(error.contains("plugins.toml:"), "{error}");
        assert!(
            error.contains(expected),
            "{error}\n  does not contain\n{expected}"
        );
    }
}

fn digest_of(path: &Path) -> String {
    Inspection::of(engine(), &fs::read(path).unwrap()).digest
}

/// A correct entry for the guest, with `more` put in at line 6.
fn guest(more: &str) -> String {
    let digest = digest_of(hostile_module());
    format!(
        "[[plugin]]\nname = \"guest\"\nkind = \"partitioner\"\npath = \"guest.wasm\"\n\
         sha256 = \"{digest}\"\n{more}\n"
    )
}

#[test]
fn a_plugin_in_a_file_is_offered_with_its_options_and_limits() {
    let folder = Folder::new();
    let more = "version = \"6.6.6\"\noptions = { behaviour = \"loop\" }\n\
                limits = { deadline = \"20ms\", memory = \"4MiB\" }";
    let catalog = folder.load(&guest(more)).unwrap();
    assert_eq!(catalog.plugins().len(), builtins().len() + 1);
    let plugin = catalog.get("guest").unwrap();
    assert_eq!(
        plugin.source(),
        &PluginSource::File(folder.path().join("guest.wasm"))
    );
    assert_eq!(plugin.limits().memory_bytes, 4 << 20);
    let mut partitioner = Partitioner::new(engine(), plugin, "orders", &[]).unwrap();
    let error = assign(&mut partitioner, &[Some("go")], LAYOUT).unwrap_err();
    assert!(error.message.contains("20ms"), "{error}");
}

#[test]
fn every_kind_can_be_offered_under_its_own_limits() {
    let folder = Folder::new();
    let mut manifest = String::new();
    for (kind, limits) in [
        (PluginKind::Serializer, "output = \"1MiB\""),
        (PluginKind::Retention, "memory = \"2MiB\""),
        (
            PluginKind::Compaction,
            "budget = \"90s\", deadline = \"1s\"",
        ),
    ] {
        let file = folder.path().join(format!("{kind}.wasm"));
        fs::write(&file, hostile_bytes(kind)).unwrap();
        manifest += &format!(
            "[[plugin]]\nname = \"my-{kind}\"\nkind = \"{kind}\"\npath = \"{kind}.wasm\"\n\
             sha256 = \"{}\"\nlimits = {{ {limits} }}\n\n",
            digest_of(&file)
        );
    }
    let catalog = folder.load(&manifest).unwrap();
    let limits = |name: &str| catalog.get(name).unwrap().limits();
    assert_eq!(limits("my-serializer").output_bytes, 1 << 20);
    assert_eq!(limits("my-retention").memory_bytes, 2 << 20);
    assert_eq!(limits("my-compaction").budget, Duration::from_secs(90));
    assert_eq!(limits("my-compaction").memory_bytes, 64 << 20);
    let fallback = manifest.replace("limits = { output", "fallback = \"key-hash\"\n#");
    folder.refuses(
        &fallback,
        ":6: plugin \"my-serializer\": fallback is for partitioners",
    );
}

#[test]
fn a_catalog_can_be_copied_and_changed_while_others_use_it() {
    let before = catalog();
    let mut after = before.clone();
    let name = "deployed";
    let plugin = Plugin::new(name, hostile(PluginKind::Retention), PluginSource::Deployed);
    assert!(after.insert(Arc::new(plugin)).is_none());
    let newer = Plugin::new(
        name,
        hostile(PluginKind::Compaction),
        PluginSource::Deployed,
    );
    let replaced = after.insert(Arc::new(newer)).unwrap();
    assert_eq!(replaced.kind(), PluginKind::Retention);
    let offered = after.get(name).unwrap();
    assert_eq!(
        (offered.kind(), offered.path()),
        (PluginKind::Compaction, None)
    );
    assert!(before.get(name).is_none());
    assert!(after.remove(name).is_some() && after.get(name).is_none());
}

#[test]
fn options_that_only_a_topic_can_give_are_not_asked_for_at_start() {
    let folder = Folder::new();
    let entry = "[[plugin]]\nname = \"by-header\"\nkind = \"partitioner\"\nbuiltin = \"by-header\"\n\
                 limits = { deadline = \"50ms\" }\n";
    let catalog = folder.load(entry).unwrap();
    let plugin = catalog.get("by-header").unwrap();
    let error = plugin.check_config(engine(), "orders", &[]).unwrap_err();
    assert_eq!(error.kind, PluginErrorKind::InvalidConfig);
    let of_topic = [("header".to_owned(), "region".to_owned())];
    assert_eq!(plugin.check_config(engine(), "orders", &of_topic), Ok(()));
    // An entry that has options is taken at its word.
    folder.refuses(
        &format!("{entry}options = {{ missing = \"key\" }}\n"),
        " refused its configuration: option header is missing",
    );
}

#[test]
fn a_topics_options_go_over_those_of_the_manifest() {
    let folder = Folder::new();
    let catalog = folder
        .load(&guest("options = { behaviour = \"loop\" }"))
        .unwrap();
    let options = [("behaviour".to_owned(), "refuse".to_owned())];
    let plugin = catalog.get("guest").unwrap();
    let mut partitioner = Partitioner::new(engine(), plugin, "orders", &options).unwrap();
    let error = assign(&mut partitioner, &[Some("go")], LAYOUT).unwrap_err();
    assert_eq!(error.kind, PluginErrorKind::Rejected);
}

#[test]
fn a_fallback_answers_for_the_batch_on_which_its_plugin_fails() {
    let folder = Folder::new();
    let more = "options = { behaviour = \"panic\" }\nfallback = \"key-hash\"";
    let catalog = folder.load(&guest(more)).unwrap();
    let plugin = catalog.get("guest").unwrap();
    let mut partitioner = Partitioner::new(engine(), plugin, "orders", &[]).unwrap();
    assert_eq!(
        assign(&mut partitioner, &[Some("21")], LAYOUT).unwrap(),
        [0]
    );
    assert_eq!(
        assign(&mut partitioner, &[Some("go"), Some("21")], LAYOUT).unwrap()[1],
        4
    );
    let usage = plugin.counters().usage();
    assert_eq!((usage.calls, usage.errors, usage.fallbacks), (2, 1, 1));
}

#[test]
fn a_wrong_digest_shows_both_and_a_missing_one_shows_what_to_paste() {
    let folder = Folder::new();
    let actual = digest_of(hostile_module());
    let wrong = "0".repeat(64);
    let entry = guest("").replace(&actual, &wrong);
    folder.refuses(&entry, "plugins.toml:5: plugin \"guest\": the digest of ");
    folder.refuses(&entry, &format!("expected {wrong}\n  actual   {actual}"));
    let entry = guest("").replace("sha256", "# sha256");
    let hint = format!("sha256 is missing; if you trust this file, write sha256 = \"{actual}\"");
    folder.refuses(&entry, &hint);
}

#[test]
fn a_builtin_can_be_pinned_by_its_digest_too() {
    let folder = Folder::new();
    let entry = "[[plugin]]\nname = \"key-hash\"\nkind = \"partitioner\"\nbuiltin = \"key-hash\"\n";
    assert!(folder.load(entry).is_ok());
    let wrong = format!("{entry}sha256 = \"{}\"\n", "0".repeat(64));
    folder.refuses(
        &wrong,
        ":5: plugin \"key-hash\": the digest of key-hash is not",
    );
}

#[test]
fn a_shipped_module_can_be_offered_under_a_second_name() {
    let folder = Folder::new();
    let entry = "[[plugin]]\nname = \"turns\"\nkind = \"partitioner\"\nbuiltin = \"round-robin\"\n\
                 limits = { deadline = \"50ms\" }\n";
    let catalog = folder.load(entry).unwrap();
    assert_eq!(
        catalog.get("turns").unwrap().limits().deadline,
        Duration::from_millis(50)
    );
    assert_eq!(catalog.plugins().len(), builtins().len() + 1);
    folder.refuses(
        &entry.replace("round-robin", "random"),
        "there is no shipped plugin \"random\"; there are: ",
    );
    folder.refuses(
        &entry.replace("\"turns\"", "\"key-hash\""),
        "this is the name of a shipped plugin",
    );
}

#[test]
fn a_file_that_is_missing_or_no_plugin_is_refused() {
    let folder = Folder::new();
    folder.refuses(
        &guest("").replace("guest.wasm", "gost.wasm"),
        ":4: plugin \"guest\": its file ",
    );
    folder.refuses(
        &guest("").replace("guest.wasm", "gost.wasm"),
        "gost.wasm cannot be read: ",
    );
    fs::write(folder.path().join("guest.wasm"), "hello").unwrap();
    let digest = digest_of(&folder.path().join("guest.wasm"));
    let entry = guest("").replace(&digest_of(hostile_module()), &digest);
    folder.refuses(
        &entry,
        ":4: plugin \"guest\": it is not a WebAssembly module",
    );
    let huge = fs::File::create(folder.path().join("guest.wasm")).unwrap();
    huge.set_len(1 << 30).unwrap();
    folder.refuses(
        &entry,
        ":4: plugin \"guest\": the module has 1073741824 bytes",
    );
}

#[test]
fn a_wrong_kind_or_version_is_refused() {
    let folder = Folder::new();
    let entry = guest("").replace("partitioner", "serializer");
    folder.refuses(&entry, ":3: plugin \"guest\": the manifest says kind = \"serializer\" and the module is a partitioner plugin");
    folder.refuses(
        &guest("version = \"1.0.0\""),
        ":6: plugin \"guest\": the manifest says version = \"1.0.0\" and the module says 6.6.6",
    );
}

#[test]
fn options_that_the_plugin_refuses_are_found_at_start() {
    let folder = Folder::new();
    let entry = guest("options = { behavior = \"loop\" }");
    folder.refuses(&entry, ":6: plugin \"guest\": plugin guest 6.6.6 refused its configuration: unknown option behavior");
    folder.refuses(
        &guest("options = { behaviour = \"panic-at-start\" }"),
        "trapped: panicked at",
    );
}

#[test]
fn a_fallback_has_to_be_another_plugin_that_stands_alone() {
    let folder = Folder::new();
    folder.refuses(
        &guest("fallback = \"kay-hash\""),
        ":6: plugin \"guest\": its fallback \"kay-hash\" is not a plugin",
    );
    folder.refuses(&guest("fallback = \"guest\""), "is the plugin itself");
    let second = guest("fallback = \"guest\"").replace("name = \"guest\"", "name = \"other\"");
    folder.refuses(
        &(guest("fallback = \"key-hash\"") + &second),
        "has a fallback itself",
    );
    assert!(
        folder.load(&(second + &guest(""))).is_ok(),
        "order does not matter"
    );
}

#[test]
fn a_shipped_module_that_cannot_be_loaded_is_named() {
    let broken = &shipped_module("key-hash")[..1_000];
    let builtins = [broker_wasm::Builtin {
        name: "key-hash",
        bytes: broken,
        digest: &broker_wasm::module_digest(broken),
    }];
    let error = Catalog::load(engine(), &builtins, None)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("plugin \"key-hash\": the module is damaged"),
        "{error}"
    );
}
