//! `broker plugin test` and `bench` on the plugins that come with the broker.

use std::path::Path;

use crate::harness::{Ran, run};

/// Writes a shipped plugin's module into the folder.
pub(crate) fn shipped(name: &str, dir: &Path) -> String {
    let modules = broker_plugin_bundle::modules();
    let module = modules
        .iter()
        .find(|module| module.name == name)
        .expect("it is shipped");
    let path = dir.join(format!("{}.wasm", name.replace('-', "_")));
    std::fs::write(&path, module.bytes).expect("it can be written");
    path.display().to_string()
}

fn test_with(name: &str, fixtures: &str) -> Ran {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let module = shipped(name, dir.path());
    std::fs::write(dir.path().join("fixtures.jsonl"), fixtures).expect("it can be written");
    run(&["plugin", "test", &module, "--json"])
}

fn case(fields: &str) -> String {
    format!("{{\"name\":\"a case\",{fields}}}")
}

/// The problems of the first case.
#[track_caller]
fn problems(name: &str, fields: &str) -> String {
    let ran = test_with(name, &case(fields)).ended(1);
    ran.json()["cases"][0]["problems"].to_string()
}

#[test]
fn fixtures_beside_a_module_are_found_and_pass() {
    let fixtures = [
        case(
            r#""partitions":8,"records":[{"key":"21"},{"key":"foobar"}],"expect":{"partitions":[4,6]}"#,
        ),
        case(
            r#""partitions":8,"records":[{"key":{"hex":"3231"}},{"key":{"base64":"Zm9vYmFy"}}],"expect":{"partitions":[4,6]}"#,
        ),
        case(
            r#""partitions":8,"options":{"x":1},"records":[],"expect":{"error":"unknown option x"}"#,
        ),
    ];
    let tested = test_with("key-hash", &fixtures.join("\n")).ok().json();
    assert_eq!(
        (&tested["passed"], &tested["failed"]),
        (&3.into(), &0.into())
    );
    assert_eq!(tested["cases"][2]["line"], 3);
}

#[test]
fn a_folder_of_fixtures_is_read_file_by_file() {
    let dir = tempfile::tempdir().unwrap();
    let module = shipped("key-hash", dir.path());
    let folder = dir.path().join("fixtures");
    std::fs::create_dir(&folder).unwrap();
    let fields = r#""partitions":8,"records":[{"key":"21"}],"expect":{"partitions":[4]}"#;
    std::fs::write(folder.join("b.jsonl"), case(fields)).unwrap();
    std::fs::write(folder.join("a.yaml"), format!("- {}\n", case(fields))).unwrap();
    std::fs::write(folder.join("notes.txt"), "no fixtures").unwrap();
    let tested = run(&["plugin", "test", &module, "--json"]).ok().json();
    assert_eq!(tested["passed"], 2, "{tested}");
    let file = tested["cases"][0]["fixtures"].as_str().unwrap();
    assert!(file.ends_with("a.yaml"), "{file}");
}

#[test]
fn what_differs_is_said() {
    let found = problems(
        "key-hash",
        r#""partitions":8,"records":[{"key":"21"}],"expect":{"partitions":[5]}"#,
    );
    assert!(found.contains("expected partition 5, got 4"), "{found}");
    let found = problems(
        "key-hash",
        r#""partitions":8,"records":[{"key":"21"}],"expect":{"error":"no"}"#,
    );
    assert!(found.contains("got an answer"), "{found}");
    let found = problems(
        "key-hash",
        r#""partitions":8,"options":{"x":"1"},"records":[],"expect":{"error":"other"}"#,
    );
    assert!(
        found.contains("got: plugin plugin-key-hash") && found.contains("unknown option"),
        "{found}"
    );
}

#[test]
fn a_mistake_in_a_fixture_fails_its_case() {
    let mistakes = [
        (
            r#""partitions":0,"records":[],"expect":{"partitions":[]}"#,
            "at least 1 partition",
        ),
        (
            r#""partitions":1,"records":[],"expect":{}"#,
            "expects nothing",
        ),
        (
            r#""partitions":1,"records":[],"expect":{"partitions":[0]}"#,
            "1 entries for 0 records",
        ),
    ];
    for (fields, reason) in mistakes {
        let found = problems("key-hash", fields);
        assert!(found.contains(reason), "{reason:?} is missing in {found}");
    }
}

#[test]
fn what_cannot_be_read_names_the_line() {
    let good = case(r#""partitions":8,"records":[],"expect":{"partitions":[]}"#);
    for (bad, part) in [
        (case(r#""partitions":8,"recods":[],"expect":{}"#), "recods"),
        (
            case(r#""partitions":8,"records":[{"key":7}],"expect":{}"#),
            "text in quotes",
        ),
        (
            case(r#""now_ms":0,"records":[],"expect":{"keep":[]}"#),
            "now_ms",
        ),
        ("{".to_owned(), "EOF"),
    ] {
        let error = test_with("key-hash", &format!("{good}\n{bad}"))
            .ended(1)
            .json_error();
        let message = error["message"].as_str().unwrap();
        assert!(
            message.contains("line 2") && message.contains(part),
            "{message}"
        );
    }
    let error = test_with("key-hash", "\n").ended(1).json_error();
    assert!(error["message"].as_str().unwrap().contains("no cases"));
}

#[test]
fn missing_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let module = shipped("key-hash", dir.path());
    run(&["plugin", "test", &module])
        .ended(2)
        .says(&["no fixtures", "--fixtures"]);
    run(&["plugin", "test", &module, "--fixtures", "/nowhere.yaml"])
        .ended(1)
        .says(&["/nowhere.yaml"]);
    let fixtures = dir.path().join("fixtures.yaml");
    std::fs::write(&fixtures, "[]").unwrap();
    let bad = dir.path().join("bad.wasm").display().to_string();
    std::fs::write(&bad, "no module").unwrap();
    for command in ["test", "bench"] {
        run(&["plugin", command, &bad])
            .ended(1)
            .says(&["bad.wasm", "is not a plugin"]);
    }
}

#[test]
fn a_bench_says_when_a_given_value_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let module = shipped("integer", dir.path());
    let bench = ["plugin", "bench", &module, "--records", "20"];
    let given = |value: &str| run(&[&bench[..], &["--value", value]].concat());
    let warning = "the plugin refuses --value";
    let taken = given("7").ok();
    assert!(!taken.stderr.contains(warning), "{taken:?}");
    given("\"text\"").says(&[warning]);
}

#[test]
fn a_bench_has_a_row_for_each_batch_size() {
    let dir = tempfile::tempdir().unwrap();
    let module = shipped("key-hash", dir.path());
    let measured = run(&["plugin", "bench", &module, "--records", "200", "--json"])
        .ok()
        .json();
    let rows = measured["rows"].as_array().unwrap();
    let batches: Vec<_> = rows.iter().map(|row| row["batch"].as_u64()).collect();
    assert_eq!(batches, [Some(1), Some(100), Some(1_000), Some(10_000)]);
    for row in rows {
        assert!(row["ns_per_record"].as_f64() > Some(0.0), "{row}");
        assert!(row["memory_bytes"].as_u64() > Some(0), "{row}");
    }
    run(&["plugin", "bench", &module, "--option", "x=1", "-q"])
        .ended(1)
        .says(&["unknown option x"]);
    run(&["plugin", "bench", &module, "--option", "x"])
        .ended(2)
        .says(&["NAME=VALUE"]);
    run(&["plugin", "bench", &module, "--value", "1", "-q"])
        .ended(2)
        .says(&["partitioner"]);
}
