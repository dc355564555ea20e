//! `Finding`: one broken rule at one place, and the two verdicts the tests are made of.

use std::fmt;

use crate::source::Source;

/// A rule that is broken somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    place: String,
    problem: String,
}

impl Finding {
    pub(crate) fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            problem: problem.into(),
        }
    }

    pub(crate) fn at(source: &Source, line: usize, problem: impl Into<String>) -> Self {
        Self::new(format!("{}:{line}", source.path), problem)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

/// Fails with every finding at once.
#[track_caller]
pub(crate) fn assert_tidy(findings: &[Finding]) {
    let lines: Vec<String> = findings
        .iter()
        .map(|finding| format!("\n  {finding}"))
        .collect();
    assert!(
        findings.is_empty(),
        "{} findings:{}",
        lines.len(),
        lines.concat()
    );
}

/// Runs a rule over one bad file and fails unless it complains in these words.
#[track_caller]
pub(crate) fn assert_catches(
    rule: impl Fn(&Source) -> Vec<Finding>,
    path: &str,
    text: &str,
    words: &str,
) {
    let findings = rule(&Source::sample(path, text));
    let caught = findings
        .iter()
        .any(|finding| finding.problem.contains(words));
    assert!(
        caught,
        "the rule let this pass in {path}: {text}\nit found {findings:?}"
    );
}

/// Runs a rule over one good file and fails if it complains.
#[track_caller]
pub(crate) fn assert_accepts(rule: impl Fn(&Source) -> Vec<Finding>, path: &str, text: &str) {
    assert_tidy(&rule(&Source::sample(path, text)));
}
