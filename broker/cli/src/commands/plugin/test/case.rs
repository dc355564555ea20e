//! A case run in the sandbox: the same question to two instances, whose answers have to be equal and
//! what the case expects. What differs is said in words, one line for each difference.

use broker_wasm::PluginError;
use serde::Serialize;

use super::super::module_file::Offline;
use super::fixture_file::Located;
use crate::output::JsonData;

/// One case of any kind.
pub(super) trait Case {
    /// What the plugin answers.
    type Answer: PartialEq;

    fn name(&self) -> &str;

    /// What the case expects the plugin's failure to say.
    fn expected_error(&self) -> Option<&str>;

    /// Why the case cannot be asked: a mistake in the fixture.
    fn mistake(&self) -> Option<String>;

    /// Asks a fresh instance.
    fn ask(&self, plugin: &Subject<'_>) -> Result<Self::Answer, PluginError>;

    /// Asks the same another way, for a kind that a broker asks in two ways; what to say if the answer is another
    /// one.
    fn contradiction(
        &self,
        _plugin: &Subject<'_>,
        _answer: &Result<Self::Answer, PluginError>,
    ) -> Option<String> {
        None
    }

    /// How the answer differs from what is expected.
    fn differences(&self, answer: &Self::Answer) -> Vec<String>;
}

/// The plugin under test.
pub(super) struct Subject<'a> {
    pub(super) offline: &'a Offline,
    pub(super) plugin: std::sync::Arc<broker_wasm::Plugin>,
}

/// What came of a case.
#[derive(Debug, Serialize)]
pub(super) struct CaseResult {
    pub(super) name: String,
    /// The file that it is in, and the line it begins on.
    pub(super) fixtures: String,
    pub(super) line: u64,
    pub(super) passed: bool,
    pub(super) problems: Vec<String>,
    /// What the plugin wrote meanwhile.
    pub(super) log: Vec<String>,
}

/// The topic that plugins are told in tests.
pub(super) const TOPIC: &str = "test";
/// How many differences of one case are shown.
const DIFFERENCES_SHOWN: usize = 10;
/// How many log lines of one case are shown.
const LOG_LINES_SHOWN: usize = 10;

/// Runs the cases of a file.
pub(super) fn run_all<C: Case>(
    cases: &[Located<C>],
    offline: &Offline,
    file: &str,
) -> Vec<CaseResult> {
    let results = cases.iter().map(|case| run(case, offline, file));
    results.collect()
}

fn run<C: Case>(located: &Located<C>, offline: &Offline, file: &str) -> CaseResult {
    let case = &located.case;
    let fresh = || Subject {
        offline,
        plugin: offline.fresh(),
    };
    let first = fresh();
    let problems = match case.mistake() {
        Some(mistake) => vec![format!("the fixture is wrong: {mistake}")],
        None => problems(case, &first, fresh),
    };
    let log = first.plugin.log().after(0, LOG_LINES_SHOWN).into_iter();
    CaseResult {
        name: case.name().to_owned(),
        fixtures: file.to_owned(),
        line: located.line,
        passed: problems.is_empty(),
        problems,
        log: log
            .map(|line| format!("{}: {}", line.level, line.message))
            .collect(),
    }
}

fn problems<'a, C: Case>(
    case: &C,
    first: &Subject<'a>,
    fresh: impl Fn() -> Subject<'a>,
) -> Vec<String> {
    let answer = case.ask(first);
    let mut problems = match (&answer, case.expected_error()) {
        (Ok(answer), None) => case.differences(answer),
        (Ok(_), Some(expected)) => {
            vec![format!(
                "expected an error that says {expected:?}, got an answer"
            )]
        }
        (Err(error), Some(expected)) if error.to_string().contains(expected) => Vec::new(),
        (Err(error), Some(expected)) => {
            vec![format!(
                "expected an error that says {expected:?}, got: {error}"
            )]
        }
        (Err(error), None) => vec![error.to_string()],
    };
    if let Some(more) = problems
        .len()
        .checked_sub(DIFFERENCES_SHOWN)
        .filter(|more| *more > 0)
    {
        problems.truncate(DIFFERENCES_SHOWN);
        problems.push(format!("and {more} more"));
    }
    if !is_same(&answer, &case.ask(&fresh())) {
        problems.push("two instances answer the same question differently".to_owned());
    }
    problems.extend(case.contradiction(&fresh(), &answer));
    problems
}

/// Failures are the same if they are of one kind: their texts may tell of times.
pub(super) fn is_same<A: PartialEq>(
    one: &Result<A, PluginError>,
    other: &Result<A, PluginError>,
) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => one == other,
        (Err(one), Err(other)) => one.kind == other.kind,
        _ => false,
    }
}

/// Stored bytes as they are written in fixtures.
pub(super) fn shown(data: Option<&[u8]>) -> String {
    serde_json::to_string(&JsonData(data)).unwrap_or_default()
}
