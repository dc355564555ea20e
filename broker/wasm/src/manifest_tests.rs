//! The manifest's text: what is read, and that every refusal names line, entry and remedy.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::kind::PluginKind;
use crate::limits::Limits;
use crate::manifest_entry::ModuleSource;

fn parse(text: &str) -> Result<Manifest, String> {
    let manifest = Manifest::parse(text, Path::new("/etc/broker/plugins.toml"));
    manifest.map_err(|error| error.to_string())
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    let error = parse(text).expect_err("the manifest is wrong");
    assert!(
        error.contains(expected),
        "{error}\n  does not contain\n{expected}"
    );
}

/// A correct entry with `line` put in.
fn with(line: &str) -> String {
    format!("[[plugin]]\nname = \"geo\"\nkind = \"partitioner\"\npath = \"geo.wasm\"\n{line}\n")
}

#[test]
fn an_entry_is_read_with_everything_it_says() {
    let digest = "AB".repeat(32);
    let text = with(&format!(
        "sha256 = \"{digest}\"\nversion = \"1.2.0\"\nfallback = \"key-hash\"\n\
         options = {{ split = 50, on = true, at = \"eu\" }}\n\
         limits = {{ deadline = \"20ms\", memory = \"4MiB\" }}"
    ));
    let manifest = parse(&text).unwrap();
    let [entry] = manifest.entries() else {
        panic!("one entry")
    };
    assert_eq!(entry.name, "geo");
    assert_eq!(entry.kind, PluginKind::Partitioner);
    assert_eq!(
        entry.module,
        ModuleSource::File("/etc/broker/geo.wasm".into())
    );
    assert_eq!(entry.sha256, Some("ab".repeat(32)));
    assert_eq!(entry.version.as_deref(), Some("1.2.0"));
    assert_eq!(entry.fallback.as_deref(), Some("key-hash"));
    let options = [("at", "eu"), ("on", "true"), ("split", "50")];
    assert_eq!(
        entry.options,
        options.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    let limits = Limits {
        deadline: Duration::from_millis(20),
        memory_bytes: 4 << 20,
        ..Limits::default_for(PluginKind::Partitioner)
    };
    assert_eq!(entry.limits, limits);
}

#[test]
fn what_is_left_out_has_defaults() {
    let manifest = parse(&with("")).unwrap();
    let [entry] = manifest.entries() else {
        panic!("one entry")
    };
    assert_eq!(entry.limits, Limits::default_for(PluginKind::Partitioner));
    assert!(entry.options.is_empty());
    assert!(parse("").unwrap().entries().is_empty());
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_one() {
    refused(
        &with("sha265 = \"00\""),
        "plugins.toml:5: plugin \"geo\": unknown key \"sha265\"; did you mean \"sha256\"?",
    );
    refused(
        "\n[[plugins]]\nname = \"a\"",
        "plugins.toml:2: unknown key \"plugins\"; did you mean \"plugin\"?",
    );
    refused(
        &with("limits = { cpu = 1 }"),
        ":5: plugin \"geo\": unknown key \"cpu\"; known keys: deadline, memory, output, budget",
    );
}

#[test]
fn broken_toml_names_its_line() {
    refused(
        "[[plugin]]\nname = \"geo",
        "plugins.toml:2: this is not valid TOML",
    );
}

#[test]
fn a_missing_key_names_the_entry_and_what_to_write() {
    refused(
        "[[plugin]]\nkind = \"partitioner\"\npath = \"a\"",
        ":1: name is missing; write the name",
    );
    refused(
        "\n[[plugin]]\nname = \"geo\"\npath = \"a\"",
        ":2: plugin \"geo\": kind is missing; write kind = one of partitioner, ",
    );
    refused(
        "[[plugin]]\nname = \"geo\"\nkind = \"partitioner\"",
        "path is missing; write path = ",
    );
}

#[test]
fn bad_values_name_the_line_and_the_rule() {
    refused(
        &with("version = 1"),
        ":5: plugin \"geo\": version is text: write it in quotes",
    );
    refused(
        &with("builtin = \"key-hash\""),
        ":5: plugin \"geo\": builtin stands beside path",
    );
    refused(
        &with("sha256 = \"1234\""),
        ":5: plugin \"geo\": sha256 is not a SHA-256 digest",
    );
    refused(
        &with("options = 3"),
        ":5: plugin \"geo\": options is a table, such as",
    );
    refused(
        &with("options = { a = [1] }"),
        ":5: plugin \"geo\": options.a is neither text",
    );
    refused(
        &with("limits = { deadline = \"2s\" }"),
        "limits.deadline is not between 1ms and 1s",
    );
    refused(
        &with("limits = { deadline = \"soon\" }"),
        "limits.deadline cannot be used",
    );
    refused(
        &with("limits = { memory = \"1MiB\" }"),
        "limits.memory is not between 2MiB and 1GiB",
    );
    refused(
        &with("").replace("geo\"", "geo/x\""),
        ":2: plugin \"geo/x\": name is \"geo/x\"; write 1 to 64",
    );
    refused(
        &with("").replace("partitioner", "router"),
        ":3: plugin \"geo\": kind is \"router\"; there are partitioner",
    );
    refused("plugin = 3", ":1: plugin is written as [[plugin]]");
}

#[test]
fn every_kind_has_its_own_defaults_and_the_limits_that_mean_something_to_it() {
    let entry = |kind: &str, line: &str| {
        let manifest = parse(&with(line).replace("partitioner", kind))?;
        Ok::<_, String>(manifest.entries()[0].limits)
    };
    for kind in PluginKind::ALL {
        let limits = entry(kind.name(), "").unwrap();
        assert_eq!(limits, Limits::default_for(kind));
    }
    let limits = entry("compaction", "limits = { budget = \"1m\" }").unwrap();
    assert_eq!(
        (limits.budget, limits.memory_bytes),
        (Duration::from_secs(60), 64 << 20)
    );
    let limits = entry("serializer", "limits = { output = \"1MiB\" }").unwrap();
    assert_eq!(limits.output_bytes, 1 << 20);
    let refused = |kind, line, expected: &str| {
        let error = entry(kind, line).unwrap_err();
        assert!(error.contains(expected), "{error}");
    };
    refused(
        "retention",
        "limits = { budget = \"1m\" }",
        ":5: plugin \"geo\": limits.budget is a limit of compaction plugins",
    );
    refused(
        "compaction",
        "limits = { output = \"1MiB\" }",
        "limits.output is a limit of serializers",
    );
    refused(
        "compaction",
        "limits = { budget = \"1ms\" }",
        "limits.budget is not between 10ms and 24h",
    );
    refused(
        "serializer",
        "limits = { output = \"1KiB\" }",
        "limits.output is not between 64KiB and 1GiB",
    );
    refused(
        "retention",
        "fallback = \"key-hash\"",
        ":5: plugin \"geo\": fallback is for partitioners; where a retention plugin fails, everything is kept",
    );
}

#[test]
fn a_name_can_be_given_once() {
    let twice = with("") + &with("");
    refused(
        &twice,
        ":7: plugin \"geo\": this name was given to another plugin on line 2",
    );
}
