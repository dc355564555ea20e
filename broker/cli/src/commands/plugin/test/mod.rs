//! `broker plugin test`: runs a plugin's own module in the broker's own sandbox on fixtures. `fixture`
//! is the format, `fixture_file` reads it, `case` runs a case and says what differs.

mod case;
mod fixture;
mod fixture_file;
mod kinds;
mod records;
mod serializer_case;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use self::case::{CaseResult, run_all};
use self::fixture_file::Cases;
use super::cargo_build::{BuildOptions, build};
use super::module_file::Offline;
use crate::failure::Failure;
use crate::session::Session;

/// Test a plugin: its module, in the broker's sandbox, on fixtures
///
/// Given the folder of a crate, builds it first. Ends with exit code 1 if a case fails. Every case
/// is asked of two instances, which have to give the same answer; a compaction policy is asked a
/// third time with one record after the other, a partitioner about records without keys both as a
/// whole (`keyless`) and record by record (`assign`).
///
/// Fixtures are cases, as JSON lines or as a YAML list. Each has a name, what the plugin is asked,
/// and what it has to answer; `options` are optional. Bytes are null, text, {"hex": "00ff"} or
/// {"base64": "AP8="}. Names that are not known are errors.
#[derive(Debug, Args)]
#[command(after_help = FIXTURES)]
pub(super) struct TestArgs {
    /// A module, or the folder of a crate
    #[arg(default_value = ".", value_name = "FILE|DIR")]
    subject: PathBuf,

    /// The fixtures [default: fixtures.yaml, fixtures.jsonl or the folder fixtures of the crate]
    #[arg(long, value_name = "FILE|DIR")]
    fixtures: Option<PathBuf>,

    #[command(flatten)]
    options: BuildOptions,
}

const FIXTURES: &str = "\
Examples:
  broker plugin test
  broker plugin test ./by-region
  broker plugin test by_region.wasm --fixtures cases.jsonl --json

A case of each kind (YAML; the same in JSON on one line is a case of JSON lines):
  - name: two keys                        # partitioner; counts, sequence, batches are optional
    partitions: 4
    records: [{key: a, value: x, headers: {h: v}, timestamp_ms: 0}, {key: null}]
    expect: {partitions: [3, 0]}
  - name: a value and no value            # serializer; or `deserialize: [stored bytes]`
    serialize: [{id: 7}, oops]
    expect: {rows: ['{\"id\":7}', null], refused: {1: part of the reason}}
    round_trip: true
  - name: one of two                      # retention; high_watermark, log_bytes, … are optional
    bounds: {retention_ms: 500, retention_bytes: null}
    now_ms: 1000
    segments: [{base_offset: 0, next_offset: 10, bytes: 100, max_timestamp_ms: 0},
               {base_offset: 10, next_offset: 20, bytes: 100, max_timestamp_ms: 900}]
    expect: {expired: 1}
  - name: the newest                      # compaction; offsets count from 0 if they are left out
    now_ms: 0
    records: [{key: a, value: '1'}, {key: a, value: '2'}]
    expect: {keep: [1]}
  - name: a bad option                    # any kind
    options: {speling: '1'}
    partitions: 1
    records: []
    expect: {error: unknown option}";

#[derive(Serialize)]
struct Tested {
    file: String,
    kind: &'static str,
    name: String,
    version: Option<String>,
    sha256: String,
    passed: usize,
    failed: usize,
    cases: Vec<CaseResult>,
}

impl TestArgs {
    pub(super) fn run(self, session: &Session) -> Result<(), Failure> {
        let fixtures = |subject: &Path| match &self.fixtures {
            Some(fixtures) => Ok(fixtures.clone()),
            None => fixture_file::find(subject),
        };
        let (file, fixtures) = if self.subject.is_dir() {
            // What is missing is said before anything is built.
            let fixtures = fixtures(&self.subject)?;
            (
                build(&self.subject, &self.options, &session.output)?,
                fixtures,
            )
        } else {
            (self.subject.clone(), fixtures(&self.subject)?)
        };
        let offline = Offline::load(&file)?;
        let mut results = Vec::new();
        for file in fixture_file::files(&fixtures)? {
            let cases = fixture_file::read(&file, offline.module.kind())?;
            results.extend(run_cases(&cases, &offline, &file.display().to_string()));
        }
        report(session, &file, &offline, results)
    }
}

/// Runs the cases of one file. What the plugin writes is part of their results, and of nothing else.
fn run_cases(cases: &Cases, offline: &Offline, file: &str) -> Vec<CaseResult> {
    let quiet = tracing::subscriber::NoSubscriber::default();
    tracing::subscriber::with_default(quiet, || match cases {
        Cases::Partitioner(cases) => run_all(cases, offline, file),
        Cases::Serializer(cases) => run_all(cases, offline, file),
        Cases::Retention(cases) => run_all(cases, offline, file),
        Cases::Compaction(cases) => run_all(cases, offline, file),
    })
}

fn report(
    session: &Session,
    file: &Path,
    offline: &Offline,
    cases: Vec<CaseResult>,
) -> Result<(), Failure> {
    let passed = cases.iter().filter(|case| case.passed).count();
    let tested = Tested {
        file: file.display().to_string(),
        kind: offline.module.kind().name(),
        name: offline.name().to_owned(),
        version: offline.module.version().map(str::to_owned),
        sha256: offline.module.digest().to_owned(),
        passed,
        failed: cases.len() - passed,
        cases,
    };
    session.output.show(&tested, text)?;
    match tested.failed {
        0 => Ok(()),
        failed => Err(Failure::failed(format!(
            "{failed} of {} cases failed",
            tested.cases.len()
        ))),
    }
}

fn text(tested: &Tested) -> String {
    let mut text = String::new();
    let version = tested.version.as_deref().unwrap_or("unversioned");
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{} {version}, a {} plugin", tested.name, tested.kind);
    for case in &tested.cases {
        if case.passed {
            let _ = writeln!(text, "ok      {}", case.name);
            continue;
        }
        let _ = writeln!(
            text,
            "FAILED  {} ({}:{})",
            case.name, case.fixtures, case.line
        );
        for problem in &case.problems {
            let _ = writeln!(text, "          {problem}");
        }
        for line in &case.log {
            let _ = writeln!(text, "          log {line}");
        }
    }
    let _ = writeln!(text, "{} passed, {} failed", tested.passed, tested.failed);
    text
}
