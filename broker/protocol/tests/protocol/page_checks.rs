//! PROTOCOL.md against the code. Every check is a function of the page, so that it can be tried on a
//! page with a row missing and be seen to notice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use broker_protocol::{ErrorCode, Method, feature};
use broker_record::{BatchHeader, Codec};

use crate::bad_frames::{self, BadFrame};
use crate::msgpack::Value;
use crate::page::{PATH, Page, Printed, Row};
use crate::page_limits::{LIMITS, NOT_ON_THE_PAGE};
use crate::samples;
use crate::vectors::{Vector, from_hex};

type Outcome = Result<(), String>;
type Check = fn(&Page) -> Outcome;

/// Every check, by name.
const CHECKS: [(&str, Check); 10] = [
    ("methods", methods),
    ("errors", errors),
    ("limits", limits),
    ("features", features),
    ("codecs", codecs),
    ("batch header", batch_header),
    ("fields", fields),
    ("error names", error_names),
    ("vectors", vectors),
    ("bad frames", bad_frame_vectors),
];

fn same<T: PartialEq + std::fmt::Debug>(what: &str, page: T, code: T) -> Outcome {
    if page == code {
        return Ok(());
    }
    Err(format!("{what}\npage: {page:#?}\ncode: {code:#?}"))
}

fn cells<const N: usize>(cells: [&str; N]) -> Row {
    // A literal | cannot stand in a table; nothing in the tables has one.
    cells.map(|cell| cell.replace('`', "")).to_vec()
}

fn methods(page: &Page) -> Outcome {
    let row = |method: &Method| {
        let needs = method.feature().unwrap_or("");
        cells([method.name(), method.summary(), needs])
    };
    let code: Vec<Row> = Method::ALL.iter().map(row).collect();
    same("methods", page.table("## Methods")?, code)?;
    let sections: Vec<&str> = page
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'))
        .collect();
    let names: Vec<&str> = Method::ALL.iter().map(|method| method.name()).collect();
    same("sections of methods", sections, names)
}

fn errors(page: &Page) -> Outcome {
    let yes = |flag: bool| if flag { "yes" } else { "no" };
    let row = |code: &ErrorCode| {
        let (retriable, definite) = (yes(code.retriable()), yes(code.definite()));
        let number = code.number().to_string();
        cells([
            &number,
            code.name(),
            retriable,
            definite,
            code.meaning(),
            code.remedy(),
        ])
    };
    let code: Vec<Row> = ErrorCode::ALL.iter().map(row).collect();
    same("errors", page.table("## Errors")?, code)
}

/// Whatever looks like the name of an error is one.
fn error_names(page: &Page) -> Outcome {
    for quoted in page.text.split('`').skip(1).step_by(2) {
        let shape = |c: char| c.is_ascii_uppercase() || c == '_';
        let looks_like_one = quoted.len() > 3 && quoted.chars().all(shape);
        let is_limit = LIMITS.iter().any(|(name, _)| *name == quoted);
        if looks_like_one && !is_limit && ErrorCode::from_name(quoted).is_none() {
            return Err(format!("{quoted} is no error"));
        }
    }
    Ok(())
}

fn limits(page: &Page) -> Outcome {
    let table = page.table("## Limits")?;
    let rows: Vec<Row> = table.iter().map(|row| row[..2].to_vec()).collect();
    let code = LIMITS
        .iter()
        .map(|(name, value)| cells([name, &value.to_string()]));
    same("limits", rows, code.collect())?;
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../model/src/limits.rs");
    let source = std::fs::read_to_string(source).map_err(|error| error.to_string())?;
    let in_source: BTreeSet<&str> = source
        .lines()
        .filter_map(|line| line.strip_prefix("pub const ")?.split(':').next())
        .collect();
    let known = LIMITS.iter().map(|(name, _)| *name).chain(NOT_ON_THE_PAGE);
    same(
        "every limit is on the page or known not to be",
        known.collect(),
        in_source,
    )
}

fn features(page: &Page) -> Outcome {
    let table = page.table("### Features")?;
    let names: Vec<&str> = table.iter().map(|row| row[0].as_str()).collect();
    same("features", names, feature::ALL.to_vec())
}

fn codecs(page: &Page) -> Outcome {
    let table = page.table("### Codecs")?;
    let rows: Vec<Row> = table.iter().map(|row| row[..2].to_vec()).collect();
    let code = Codec::ALL
        .iter()
        .map(|codec| cells([codec.name(), &codec.id().to_string()]));
    same("codecs", rows, code.collect())
}

/// Reads the sample batch by the page's table and compares with what the crate decodes.
fn batch_header(page: &Page) -> Outcome {
    let stored = samples::stored_batch();
    let header = BatchHeader::decode(&stored).map_err(|error| error.to_string())?;
    let expected: BTreeMap<&str, i128> = [
        ("base offset", i128::from(header.base_offset.get())),
        ("length", (stored.len() - 12) as i128),
        ("leader epoch", i128::from(header.leader_epoch.get())),
        ("version", 1),
        ("body format", 1),
        ("codec", i128::from(header.codec.id())),
        ("timestamp type", i128::from(header.timestamp_type.id())),
        ("record count", i128::from(header.record_count)),
        ("last offset delta", i128::from(header.last_offset_delta)),
        (
            "base timestamp",
            i128::from(header.base_timestamp.as_millis()),
        ),
        (
            "max timestamp",
            i128::from(header.max_timestamp.as_millis()),
        ),
        ("producer id", -1),
        ("producer epoch", -1),
        ("log mark", 0x2a17),
        ("base sequence", -1),
        ("body crc", i128::from(header.body_crc)),
    ]
    .into();
    let mut at = 0;
    let mut read = BTreeMap::new();
    for row in page.table("### The batch header")? {
        let [offset, kind, name] = [&row[0], &row[1], &row[2]];
        same(name, offset.parse(), Ok(at))?;
        let bits: u32 = kind[1..]
            .parse()
            .map_err(|_| format!("{name}: type {kind}"))?;
        let bytes = &stored[at..at + bits as usize / 8];
        let raw = bytes
            .iter()
            .fold(0_i128, |number, byte| number << 8 | i128::from(*byte));
        let negative = kind.starts_with('i') && raw >> (bits - 1) == 1;
        let value = if negative { raw - (1 << bits) } else { raw };
        if name != "header crc" {
            read.insert(row[2].clone(), value);
        }
        at += bits as usize / 8;
    }
    same("length of the header", at, BatchHeader::LEN)?;
    let read: BTreeMap<&str, i128> = read.iter().map(|(k, v)| (k.as_str(), *v)).collect();
    same("fields of the header", read, expected)
}

/// Keys below which everything is free: configuration and options.
const FREE_MAPS: [&str; 4] = ["config", "set", "options", "data"];

/// Keys whose values the tables do not take apart: errors have a section, and the keys and values of
/// records are anybody's.
const DESCRIBED_ELSEWHERE: [&str; 3] = ["error", "records", "keys"];

/// The paths of all keys of a value, such as `partitions[].offset`. Errors are described once.
fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(values) => {
            for value in values {
                paths(value, &format!("{path}[]"), found);
            }
        }
        Value::Map(entries) => {
            for (key, value) in entries {
                let Value::Text(key) = key else {
                    panic!("a key that is not text")
                };
                let dot = if path.is_empty() { "" } else { "." };
                let path = format!("{path}{dot}{key}");
                let is_free = FREE_MAPS.contains(&key.as_str()) && matches!(value, Value::Map(_));
                if !DESCRIBED_ELSEWHERE.contains(&key.as_str()) && !is_free {
                    paths(value, &path, found);
                }
                found.insert(path);
            }
        }
        _ => {}
    }
}

/// Titles, and arguments or results, of all samples: those of the page and those behind it.
static PAYLOADS: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| {
    let all = samples::all().into_iter().chain(samples::hidden());
    all.map(|vector| (vector.title.clone(), vector.payload()))
        .collect()
});

/// Every field of every request and result is in the tables, and nothing else is.
fn fields(page: &Page) -> Outcome {
    for method in Method::ALL {
        for (kind, label) in [("request", "**Arguments**"), ("response", "**Result**")] {
            let mut code = BTreeSet::new();
            let prefix = format!("{method} {kind}");
            for (_, payload) in PAYLOADS
                .iter()
                .filter(|(title, _)| title.starts_with(&prefix))
            {
                paths(payload, "", &mut code);
            }
            let rows = page.method_table(method.name(), label)?;
            let on_page: BTreeSet<String> = rows.iter().map(|row| row[0].clone()).collect();
            same(&format!("{label} of {method}"), on_page, code)?;
        }
    }
    let mut code = BTreeSet::new();
    paths(&samples::every_fact(), "", &mut code);
    let rows = page.table("### Facts")?;
    same(
        "facts of errors",
        rows.iter().map(|row| row[0].clone()).collect(),
        code,
    )
}

/// The samples with what the page has to print for each.
static SAMPLES: LazyLock<Vec<(Vector, Printed)>> = LazyLock::new(|| {
    let samples = samples::all().into_iter();
    samples
        .map(|vector| (vector.clone(), print(&vector)))
        .collect()
});

fn print(vector: &Vector) -> Printed {
    Printed {
        title: vector.title.clone(),
        hex: vector.hex(),
        json: vector.json(),
    }
}

fn vectors(page: &Page) -> Outcome {
    let printed = page.printed("vector")?;
    for one in &printed {
        let sample = SAMPLES.iter().find(|(vector, _)| vector.title == one.title);
        let (vector, code) = sample.ok_or(format!("{}: no such sample", one.title))?;
        same(&one.title, one, code)?;
        // What is checked from here on are the bytes of the page.
        let frame = from_hex(&one.hex)?;
        Vector {
            frame,
            ..vector.clone()
        }
        .check()?;
    }
    let titles: BTreeSet<&str> = printed
        .iter()
        .map(|printed| printed.title.as_str())
        .collect();
    same(
        "vectors",
        titles,
        SAMPLES
            .iter()
            .map(|(vector, _)| vector.title.as_str())
            .collect(),
    )?;
    for method in Method::ALL {
        for kind in ["request", "response"] {
            let prefix = format!("{method} {kind}");
            if !SAMPLES
                .iter()
                .any(|(vector, _)| vector.title.starts_with(&prefix))
            {
                return Err(format!("no vector of a {prefix}"));
            }
        }
    }
    Ok(())
}

/// The bad frames as the page has to print them.
static BAD_FRAMES: LazyLock<Vec<Printed>> = LazyLock::new(|| {
    let print = |bad: &BadFrame| Printed {
        title: bad.title.to_owned(),
        hex: bad.hex(),
        json: bad.answer_json(),
    };
    bad_frames::all().iter().map(print).collect()
});

fn bad_frame_vectors(page: &Page) -> Outcome {
    same("bad frames", &page.printed("bad frame")?, &*BAD_FRAMES)
}

/// The first check that fails.
fn check_all(page: &Page) -> Outcome {
    for (name, check) in CHECKS {
        check(page).map_err(|problem| format!("{name}: {problem}"))?;
    }
    Ok(())
}

/// With `UPDATE_PROTOCOL_PAGE` set, prints the vectors anew below their markers first.
fn page_to_check() -> Page {
    let mut page = Page::read();
    if std::env::var_os("UPDATE_PROTOCOL_PAGE").is_some() {
        for (_, vector) in SAMPLES.iter() {
            page = page.with_printed("vector", vector);
        }
        for bad in BAD_FRAMES.iter() {
            page = page.with_printed("bad frame", bad);
        }
        std::fs::write(PATH, &page.text).unwrap();
    }
    page
}

#[test]
fn the_example_is_a_client_of_25_lines() {
    let page = Page::read();
    let (_, rest) = page.text.split_once("```python\n").unwrap();
    let (example, _) = rest.split_once("```\n").unwrap();
    assert!(example.lines().count() <= 25, "{example}");
    for step in ["\"hello\"", "\"create_topic\"", "\"produce\"", "\"fetch\""] {
        assert!(example.contains(step), "no {step} in\n{example}");
    }
}

#[test]
fn the_page_says_what_the_code_does() {
    check_all(&page_to_check()).unwrap_or_else(|problem| panic!("{problem}"));
}

/// The page, free of faults, so that one more cannot hide behind another.
fn intact() -> Page {
    let page = Page::read();
    assert_eq!(check_all(&page), Ok(()));
    page
}

#[test]
fn a_missing_row_is_noticed_in_every_table() {
    let page = intact();
    let lines: Vec<&str> = page.text.lines().collect();
    let is_row = |at: usize| {
        let line = |at: usize| lines.get(at).copied().unwrap_or_default();
        let is_head = line(at + 1).starts_with("|---") || line(at).starts_with("|---");
        line(at).starts_with('|') && !is_head
    };
    let rows: Vec<usize> = (0..lines.len()).filter(|at| is_row(*at)).collect();
    assert!(rows.len() > 200, "only {} rows", rows.len());
    for missing in rows {
        let kept = lines.iter().enumerate().filter(|(at, _)| *at != missing);
        let text: Vec<&str> = kept.map(|(_, line)| *line).collect();
        let without = Page {
            text: text.join("\n"),
        };
        assert!(
            check_all(&without).is_err(),
            "nobody misses {:?}",
            lines[missing]
        );
    }
}

#[test]
fn a_changed_byte_is_noticed_in_every_vector() {
    let page = intact();
    let kinds: [(&str, Check); 2] = [("vector", vectors), ("bad frame", bad_frame_vectors)];
    for (kind, check) in kinds {
        for printed in page.printed(kind).unwrap() {
            let last = printed.hex.chars().last().unwrap();
            let other = if last == '0' { '1' } else { '0' };
            let hex = format!("{}{other}", &printed.hex[..printed.hex.len() - 1]);
            let changed = page.with_printed(
                kind,
                &Printed {
                    hex,
                    ..printed.clone()
                },
            );
            assert!(
                check(&changed).is_err(),
                "nobody minds a change of {}",
                printed.title
            );
            let json = printed.json.replacen('[', "[ ", 1);
            let changed = page.with_printed(
                kind,
                &Printed {
                    json,
                    ..printed.clone()
                },
            );
            assert!(
                check(&changed).is_err(),
                "nobody minds a change of {}",
                printed.title
            );
        }
    }
}
