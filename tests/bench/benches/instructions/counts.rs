//! `Counts`: instructions by case, kept in a JSON file, compared with those of another build.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Instructions of one execution of each case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts(BTreeMap<String, u64>);

impl Counts {
    pub(crate) fn add(&mut self, case: String, count: u64) {
        self.0.insert(case, count);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads what `save` has written.
    pub(crate) fn load(file: &Path) -> Result<Self> {
        let load = || Ok::<_, anyhow::Error>(serde_json::from_slice(&fs::read(file)?)?);
        load()
            .map(Self)
            .with_context(|| format!("{} cannot be read", file.display()))
    }

    pub(crate) fn save(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.0)?;
        fs::write(file, text + "\n")
            .with_context(|| format!("{} cannot be written", file.display()))
    }

    /// Cases with more than so many per cent more than in `old`. A case that `old` has not is none.
    pub(crate) fn grown_since(&self, old: &Self, percent: f64) -> Vec<String> {
        let has_grown = |(case, count): &(&String, &u64)| {
            let allowed = |before: &u64| *before as f64 * (1.0 + percent / 100.0);
            old.0
                .get(*case)
                .is_some_and(|before| **count as f64 > allowed(before))
        };
        self.0
            .iter()
            .filter(has_grown)
            .map(|(case, _)| case.clone())
            .collect()
    }
}

/// A case for people: now, and before with the ratio.
pub(crate) fn line(case: &str, count: u64, old: Option<&Counts>) -> String {
    match old.map(|old| old.0.get(case)) {
        None => format!("{case:40} {count:>12}"),
        Some(None) => format!("{case:40} {:>12} {count:>12}  new", "–"),
        Some(Some(before)) => {
            let ratio = count as f64 / (*before).max(1) as f64;
            format!("{case:40} {before:>12} {count:>12}  {ratio:.3}")
        }
    }
}
