//! Calls that are not made: panics by convenience, files past the storage I/O module, clocks past
//! `Clock`, sockets and async in the pure crates, `unsafe` outside its named files, tests that never run.
//! Exceptions are listed with their reason, and an exception that nothing needs any more is a finding.

use crate::finding::{Finding, assert_accepts, assert_catches, assert_tidy};
use crate::source::Source;
use crate::tokens::{all_tokens, code_tokens, lines_of, lines_of_path};

/// A place that may do what others may not.
struct Exception {
    path: &'static str,
    #[expect(dead_code, reason = "for whoever reads the list")]
    reason: &'static str,
}

const fn except(path: &'static str, reason: &'static str) -> Exception {
    Exception { path, reason }
}

/// Crates without a clock, a socket or a task of their own.
const PURE: [&str; 5] = [
    "broker/model/",
    "broker/record/",
    "broker/protocol/",
    "broker/storage/",
    "broker/cluster/",
];

const MAY_TOUCH_FILES: [Exception; 4] = [
    except(
        "broker/storage/src/io/",
        "the one door to files below log.dirs",
    ),
    except(
        "broker/server/src/memory/mod.rs",
        "asks /proc where its code is mapped",
    ),
    except(
        "broker/server/src/run.rs",
        "asks /proc which signals are ignored",
    ),
    except(
        "broker/server/src/config/layers.rs",
        "the configuration file lies outside log.dirs",
    ),
];

const MAY_READ_CLOCKS: [Exception; 8] = [
    except("broker/model/src/clock.rs", "the clock itself"),
    except("broker/server/src/net/", "deadlines of sockets"),
    except("broker/server/src/connection/", "deadline of the handshake"),
    except("broker/server/src/request/", "deadline of a long poll"),
    except(
        "broker/server/src/plugins/pace.rs",
        "how long calls of plugins take",
    ),
    except(
        "broker/client/src/",
        "linger, retries and time-outs of a client",
    ),
    except(
        "broker/wasm/src/",
        "what plugins cost, and how often they may log",
    ),
    except("broker/cli/src/", "progress and benchmarks"),
];

const MAY_BE_UNSAFE: [Exception; 4] = [
    except(
        "broker/storage/src/io/map.rs",
        "read-only maps of sealed files",
    ),
    except(
        "broker/server/src/memory/",
        "the allocator and its settings, advice to the kernel",
    ),
    except(
        "broker/server/src/background/slice.rs",
        "a setting of the scheduler for one thread",
    ),
    except(
        "plugin-sdk/src/identity.rs",
        "the section with the plugin's name is a link attribute",
    ),
];

fn no_panics_by_convenience(source: &Source) -> Vec<Finding> {
    if source.is_test_code() {
        return Vec::new();
    }
    let tokens = code_tokens(source);
    let mut findings = Vec::new();
    for banned in [
        ".unwrap()",
        ".unwrap_err()",
        "todo!",
        "unimplemented!",
        "dbg!",
    ] {
        let parts: &[&str] = match banned {
            ".unwrap()" => &[".", "unwrap", "(", ")"],
            ".unwrap_err()" => &[".", "unwrap_err", "(", ")"],
            "todo!" => &["todo", "!"],
            "unimplemented!" => &["unimplemented", "!"],
            _ => &["dbg", "!"],
        };
        let problem = format!("`{banned}`: return the error, or expect() with the proof");
        findings.extend(
            lines_of(&tokens, parts)
                .into_iter()
                .map(|line| Finding::at(source, line, &problem)),
        );
    }
    findings
}

fn files_only_through_storage_io(source: &Source) -> Vec<Finding> {
    let bound = PURE.iter().chain(&["broker/server/", "broker/client/"]);
    if source.is_test_code()
        || !is_below_any(source, bound)
        || is_excepted(source, &MAY_TOUCH_FILES)
    {
        return Vec::new();
    }
    named_paths(
        source,
        &[("std", "fs"), ("tokio", "fs"), ("rustix", "fs")],
        "files go through storage::io",
    )
}

fn clocks_only_through_clock(source: &Source) -> Vec<Finding> {
    if source.is_test_code() || is_excepted(source, &MAY_READ_CLOCKS) {
        return Vec::new();
    }
    let tokens = code_tokens(source);
    let reads = ["SystemTime", "Instant", "Utc", "Zoned", "Timestamp"]
        .into_iter()
        .flat_map(|clock| lines_of(&tokens, &[clock, ":", ":", "now"]));
    reads
        .map(|line| {
            Finding::at(
                source,
                line,
                "time is passed in: take a `Clock` or a value of it",
            )
        })
        .collect()
}

fn pure_crates_know_no_sockets(source: &Source) -> Vec<Finding> {
    if source.is_test_code() || !is_below_any(source, PURE.iter()) {
        return Vec::new();
    }
    named_paths(
        source,
        &[("std", "net"), ("tokio", "net"), ("rustix", "net")],
        "this crate knows no sockets",
    )
}

fn pure_crates_know_no_async(source: &Source) -> Vec<Finding> {
    if !is_below_any(source, PURE.iter()) {
        return Vec::new();
    }
    let lines = lines_of(&all_tokens(source), &["async"]);
    lines
        .into_iter()
        .map(|line| Finding::at(source, line, "this crate knows no async"))
        .collect()
}

fn unsafe_only_in_named_files(source: &Source) -> Vec<Finding> {
    if is_excepted(source, &MAY_BE_UNSAFE) {
        return Vec::new();
    }
    let lines = lines_of(&all_tokens(source), &["unsafe"]);
    lines
        .into_iter()
        .map(|line| Finding::at(source, line, "`unsafe` is for the named files"))
        .collect()
}

fn every_test_runs(source: &Source) -> Vec<Finding> {
    let mut lines = lines_of(&all_tokens(source), &["#", "[", "ignore"]);
    let fences = source
        .text
        .lines()
        .enumerate()
        .filter(|(_, line)| line.trim_start().starts_with("//") && line.contains("```ignore"));
    lines.extend(fences.map(|(index, _)| index + 1));
    lines
        .into_iter()
        .map(|line| Finding::at(source, line, "a test that never runs proves nothing"))
        .collect()
}

/// Switches that break a rule are for tests alone.
fn bugs_are_planted_by_tests(source: &Source) -> Vec<Finding> {
    let is_below_tests = source.path.starts_with("tests/") || source.path.contains("/tests/");
    if is_below_tests || source.is_below("broker/storage/src/") {
        return Vec::new();
    }
    let tokens = all_tokens(source);
    let mut lines = lines_of(&tokens, &["with_planted_bugs"]);
    lines.extend(lines_of(&tokens, &["PlantedBugs", "{"]));
    let problem = "a rule is broken on purpose outside of the tests";
    let found = lines.into_iter();
    found
        .map(|line| Finding::at(source, line, problem))
        .collect()
}

fn is_below_any<'a>(source: &Source, mut folders: impl Iterator<Item = &'a &'a str>) -> bool {
    folders.any(|folder| source.is_below(folder))
}

fn is_excepted(source: &Source, exceptions: &[Exception]) -> bool {
    exceptions
        .iter()
        .any(|exception| source.is_below(exception.path))
}

fn named_paths(source: &Source, paths: &[(&str, &str)], why: &str) -> Vec<Finding> {
    let tokens = code_tokens(source);
    let mut findings = Vec::new();
    for (first, second) in paths {
        for line in lines_of_path(&tokens, first, second) {
            findings.push(Finding::at(
                source,
                line,
                format!("`{first}::{second}`: {why}"),
            ));
        }
    }
    findings
}

#[track_caller]
fn assert_rule(rule: fn(&Source) -> Vec<Finding>) {
    assert_tidy(&Source::all().iter().flat_map(rule).collect::<Vec<_>>());
}

/// Every exception has to be needed: taken off the list, the rule would complain.
#[track_caller]
fn assert_needed(exceptions: &[Exception], needs: fn(&Source) -> bool) {
    for exception in exceptions {
        let mut below = Source::all()
            .iter()
            .filter(|source| source.is_below(exception.path));
        assert!(
            below.any(needs),
            "nothing in {} needs its exception any more",
            exception.path
        );
    }
}

#[test]
fn nothing_panics_by_convenience() {
    assert_rule(no_panics_by_convenience);
    let rule = no_panics_by_convenience;
    let place = "broker/x/src/a.rs";
    for bad in [
        "a.unwrap();",
        "m!(a.b().unwrap());",
        "todo!()",
        "unimplemented!(\"x\")",
        "dbg!(a);",
    ] {
        assert_catches(
            rule,
            place,
            &format!("fn a() {{ {bad} }}"),
            "expect() with the proof",
        );
    }
    let tests = "#[cfg(test)]\nmod tests { #[test] fn a() { b.unwrap(); } }";
    assert_accepts(rule, place, tests);
    assert_accepts(rule, "broker/x/src/a_tests.rs", "fn a() { b.unwrap(); }");
    assert_accepts(rule, place, "fn a() { b.unwrap_or(1); } // .unwrap()");
}

#[test]
fn only_the_storage_io_module_touches_files() {
    assert_rule(files_only_through_storage_io);
    let rule = files_only_through_storage_io;
    assert_catches(
        rule,
        "broker/storage/src/log/a.rs",
        "use std::fs::File;",
        "storage::io",
    );
    assert_catches(
        rule,
        "broker/server/src/a.rs",
        "use std::{fs, io};",
        "storage::io",
    );
    assert_catches(
        rule,
        "broker/storage/src/a.rs",
        "fn a() { rustix::fs::fsync(f) }",
        "storage::io",
    );
    assert_accepts(rule, "broker/storage/src/io/a.rs", "use std::fs::File;");
    assert_accepts(rule, "broker/cli/src/a.rs", "use std::fs::File;");
    assert_needed(&MAY_TOUCH_FILES, |source| {
        let tokens = code_tokens(source);
        ["std", "rustix"]
            .iter()
            .any(|root| !lines_of_path(&tokens, root, "fs").is_empty())
    });
}

#[test]
fn time_is_passed_in() {
    assert_rule(clocks_only_through_clock);
    let rule = clocks_only_through_clock;
    assert_catches(
        rule,
        "broker/storage/src/a.rs",
        "fn a() { Instant::now(); }",
        "passed in",
    );
    assert_catches(
        rule,
        "broker/cluster/src/a.rs",
        "fn a() { m!(std::time::SystemTime::now()) }",
        "passed in",
    );
    assert_accepts(rule, "broker/client/src/a.rs", "fn a() { Instant::now(); }");
    assert_accepts(
        rule,
        "broker/storage/src/a.rs",
        "fn a() { self.clock.now(); }",
    );
    assert_needed(&MAY_READ_CLOCKS, |source| {
        !lines_of(&code_tokens(source), &["Instant", ":", ":", "now"]).is_empty()
    });
}

#[test]
fn pure_crates_stay_pure() {
    assert_rule(pure_crates_know_no_sockets);
    assert_rule(pure_crates_know_no_async);
    assert_catches(
        pure_crates_know_no_sockets,
        "broker/record/src/a.rs",
        "use std::net::TcpStream;",
        "sockets",
    );
    assert_catches(
        pure_crates_know_no_async,
        "broker/storage/src/a.rs",
        "async fn a() {}",
        "async",
    );
    assert_accepts(
        pure_crates_know_no_async,
        "broker/storage/src/a.rs",
        "/// Not async.\nfn a() { \"async\"; }",
    );
    assert_accepts(
        pure_crates_know_no_async,
        "broker/server/src/a.rs",
        "async fn a() {}",
    );
}

#[test]
fn unsafe_code_lives_in_named_files() {
    assert_rule(unsafe_only_in_named_files);
    let rule = unsafe_only_in_named_files;
    assert_catches(
        rule,
        "broker/server/src/a.rs",
        "fn a() { unsafe { b() } }",
        "named files",
    );
    assert_catches(
        rule,
        "broker/server/src/a.rs",
        "macro_rules! m { () => { unsafe { b() } } }",
        "named files",
    );
    assert_accepts(
        rule,
        "broker/storage/src/io/map.rs",
        "fn a() { unsafe { b() } }",
    );
    assert_needed(&MAY_BE_UNSAFE, |source| {
        !lines_of(&all_tokens(source), &["unsafe"]).is_empty()
    });
}

#[test]
fn no_test_is_switched_off() {
    assert_rule(every_test_runs);
    assert_catches(
        every_test_runs,
        "a.rs",
        "#[test]\n#[ignore]\nfn a() {}",
        "never runs",
    );
    assert_catches(
        every_test_runs,
        "a.rs",
        "#[ignore = \"slow\"]\nfn a() {}",
        "never runs",
    );
    assert_catches(
        every_test_runs,
        "a.rs",
        &format!("/// ```{}\n/// a\n/// ```\nfn a() {{}}", "ignore"),
        "never runs",
    );
    assert_accepts(every_test_runs, "a.rs", "#[test]\nfn a() { ignore(b); }");
}

#[test]
fn rules_are_broken_on_purpose_in_tests_alone() {
    assert_rule(bugs_are_planted_by_tests);
    let rule = bugs_are_planted_by_tests;
    let calls = "fn a() { b.with_planted_bugs(c); }";
    let makes = "fn a() -> PlantedBugs { let b = PlantedBugs { c: true }; b }";
    for bad in [calls, makes] {
        for place in ["broker/server/src/a.rs", "broker/cli/src/a_tests.rs"] {
            assert_catches(rule, place, bad, "on purpose");
        }
        for good in [
            "broker/storage/src/a.rs",
            "broker/storage/tests/a.rs",
            "tests/integration/a.rs",
        ] {
            assert_accepts(rule, good, bad);
        }
    }
}
