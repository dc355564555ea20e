//! Reading fixtures: JSON lines (one case a line) or YAML (a list of cases). Each case keeps the line
//! it begins on; what cannot be read is reported with its line, or with the case it is in.

use std::path::{Path, PathBuf};

use broker_wasm::PluginKind;
use serde::de::DeserializeOwned;
use serde_saphyr::Spanned;

use super::fixture::{CompactionCase, PartitionerCase, RetentionCase, SerializerCase};
use crate::failure::Failure;
use crate::output::bytes;

/// The largest file of fixtures that is read.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// What fixtures are called where nobody says.
const NAMES: [&str; 5] = [
    "fixtures.yaml",
    "fixtures.yml",
    "fixtures.jsonl",
    "fixtures.ndjson",
    "fixtures",
];
/// How files of fixtures end.
const EXTENSIONS: [&str; 4] = ["yaml", "yml", "jsonl", "ndjson"];

/// A case and the line it begins on.
#[derive(Debug)]
pub(super) struct Located<T> {
    pub(super) line: u64,
    pub(super) case: T,
}

/// The cases of one file, all for one kind of plugin.
#[derive(Debug)]
pub(super) enum Cases {
    Partitioner(Vec<Located<PartitionerCase>>),
    Serializer(Vec<Located<SerializerCase>>),
    Retention(Vec<Located<RetentionCase>>),
    Compaction(Vec<Located<CompactionCase>>),
}

/// The fixtures that belong to a module or a crate: in its folder, or in one above it up to the
/// folder that has the Cargo.toml.
pub(super) fn find(module_or_folder: &Path) -> Result<PathBuf, Failure> {
    let start = module_or_folder.canonicalize();
    let start = start.unwrap_or_else(|_| module_or_folder.to_owned());
    for folder in start.ancestors().filter(|folder| folder.is_dir()) {
        let mut candidates = NAMES.iter().map(|name| folder.join(name));
        if let Some(found) = candidates.find(|path| path.exists()) {
            return Ok(found);
        }
        if folder.join("Cargo.toml").is_file() {
            break;
        }
    }
    let missing = format!("no fixtures found for {}", module_or_folder.display());
    Err(Failure::usage(missing).with_hint(
        "write a fixtures.yaml beside it, or name a file with --fixtures; `broker plugin test --help` shows how cases look",
    ))
}

/// The files of fixtures at a path: itself, or what lies in that folder, by name.
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries =
        std::fs::read_dir(path).map_err(|error| Failure::from(error).after(path.display()))?;
    let is_fixture = |file: &PathBuf| {
        let extension = file.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
    };
    let mut files: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(is_fixture)
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(
            Failure::failed(format!("{} has no fixtures", path.display())).with_hint(format!(
                "files of fixtures end with .{}",
                EXTENSIONS.join(", .")
            )),
        );
    }
    Ok(files)
}

/// Reads the cases for a plugin of that kind.
pub(super) fn read(path: &Path, kind: PluginKind) -> Result<Cases, Failure> {
    let failed = |error: std::io::Error| Failure::from(error).after(path.display());
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > FILE_BYTES_MAX {
        let text = format!(
            "{} of fixtures, the most is {}",
            bytes(size),
            bytes(FILE_BYTES_MAX)
        );
        return Err(Failure::failed(text).after(path.display()));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let cases = match kind {
        PluginKind::Partitioner => parse(path, &text).map(Cases::Partitioner),
        PluginKind::Serializer => parse(path, &text).map(Cases::Serializer),
        PluginKind::Retention => parse(path, &text).map(Cases::Retention),
        PluginKind::Compaction => parse(path, &text).map(Cases::Compaction),
    };
    cases.map_err(|problem| {
        Failure::failed(format!("{}: {problem}", path.display())).with_hint(format!(
            "these are read as fixtures for a {kind}: see `broker plugin test --help`"
        ))
    })
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<Vec<Located<T>>, String> {
    let cases = if is_json_lines(path, text) {
        parse_json_lines(text)
    } else {
        parse_yaml(text)
    }?;
    if cases.is_empty() {
        return Err("there are no cases in it".to_owned());
    }
    Ok(cases)
}

fn is_json_lines(path: &Path, text: &str) -> bool {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("jsonl" | "ndjson") => true,
        Some("yaml" | "yml") => false,
        _ => text.trim_start().starts_with('{'),
    }
}

fn parse_json_lines<T: DeserializeOwned>(text: &str) -> Result<Vec<Located<T>>, String> {
    let mut cases = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        if text.trim().is_empty() {
            continue;
        }
        let case = serde_json::from_str(text).map_err(|error| {
            let column = error.column();
            let reason = error.to_string();
            let reason = reason
                .split(" at line ")
                .next()
                .unwrap_or_default()
                .to_owned();
            format!("line {line}, column {column}: {reason}")
        })?;
        cases.push(Located { line, case });
    }
    Ok(cases)
}

fn parse_yaml<T: DeserializeOwned>(text: &str) -> Result<Vec<Located<T>>, String> {
    let cases: Vec<Spanned<T>> = serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map(|location| location.line());
        let place = line.map_or_else(String::new, |line| format!("line {line}: "));
        format!(
            "{place}{}",
            first_line(&error.without_snippet().to_string())
        )
    })?;
    let cases = cases.into_iter().map(|spanned| Located {
        line: spanned.defined.line(),
        case: spanned.value,
    });
    Ok(cases.collect())
}

/// The problem without the place and the picture that may follow it.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    line.split(" at line ")
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"
{"name":"a","partitions":2,"records":[{"key":"x","headers":{"t":"1"}}],"expect":{"partitions":[1]}}

{"name":"b","partitions":2,"records":[{"key":{"hex":"00"},"headers":[["t",null],["t","2"]]}],"expect":{}}
"#;

    fn partitioner(name: &str, text: &str) -> Result<Vec<Located<PartitionerCase>>, String> {
        parse(Path::new(name), text)
    }

    #[test]
    fn json_lines_and_yaml_say_the_same() {
        let yaml = "- name: a\n  partitions: 2\n  records: [{key: x, headers: {t: '1'}}]\n  expect: {partitions: [1]}\n\
                    - name: b\n  partitions: 2\n  records:\n    - key: {hex: '00'}\n      headers: [[t, null], [t, '2']]\n  expect: {}\n";
        for (file, text, lines) in [
            ("f.jsonl", JSON, [2, 4]),
            ("f.yaml", yaml, [1, 5]),
            ("f", JSON, [2, 4]),
        ] {
            let cases = partitioner(file, text).unwrap();
            assert_eq!(
                cases.iter().map(|case| case.line).collect::<Vec<_>>(),
                lines,
                "{file}"
            );
            assert_eq!(cases[0].case.expect.partitions.as_deref(), Some(&[1][..]));
            let second = &cases[1].case.records[0];
            assert_eq!(second.key.0.as_deref(), Some(&[0][..]));
            assert_eq!(second.headers.0.len(), 2);
        }
    }

    #[test]
    fn a_name_that_is_not_known_is_an_error_with_its_line() {
        let error = partitioner("f.jsonl", &JSON.replace("\"key\":{", "\"kee\":{")).unwrap_err();
        assert!(
            error.contains("line 4") && error.contains("`kee`"),
            "{error}"
        );
        let yaml = "- name: a\n  partitions: 2\n  records: []\n  expekt: {}\n";
        let error = partitioner("f.yaml", yaml).unwrap_err();
        assert!(
            error.contains("line 4") && error.contains("expekt"),
            "{error}"
        );
    }

    #[test]
    fn values_of_the_wrong_type_are_refused_with_what_is_possible() {
        for bad in [
            "7",
            "{\"hax\":\"00\"}",
            "{\"hex\":\"0\"}",
            "{\"hex\":\"00\",\"x\":\"\"}",
            "{}",
        ] {
            let text = JSON.replace("{\"hex\":\"00\"}", bad);
            let error = partitioner("f.jsonl", &text).unwrap_err();
            assert!(error.starts_with("line 4"), "{error}");
        }
        assert!(
            partitioner("f.yaml", "[]")
                .unwrap_err()
                .contains("no cases")
        );
        assert!(partitioner("f.yaml", "name: x").is_err());
    }

    #[test]
    fn options_are_text_and_take_numbers() {
        let text = r#"{"name":"a","options":{"n":3,"t":"x","b":true},"partitions":1,"records":[],"expect":{}}"#;
        let cases = partitioner("f.jsonl", text).unwrap();
        let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(
            cases[0].case.options.pairs(),
            [pair("b", "true"), pair("n", "3"), pair("t", "x")]
        );
        assert!(partitioner("f.jsonl", &text.replace('3', "[3]")).is_err());
    }
}
