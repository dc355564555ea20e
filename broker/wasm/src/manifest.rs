//! The plugin manifest, `plugins.toml`: which plugins a broker offers beside the shipped ones, and
//! with which digest, options and limits. `plugins/plugins.toml` is the commented example.
//!
//! This file reads the text; [`Catalog::load`](crate::Catalog::load) reads the modules it names. Both
//! refuse what they do not understand and say where.

use std::fs;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use crate::manifest_entry::{EntryReader, Fault, ManifestEntry, bad, line_of, refuse_unknown};
use crate::manifest_error::{ManifestError, ManifestProblem};

const MANIFEST_KEYS: &[&str] = &["plugin"];

/// A plugin manifest that could be read.
#[derive(Clone, Debug)]
pub struct Manifest {
    path: PathBuf,
    entries: Vec<ManifestEntry>,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// Names the file, the line and the entry.
    pub fn load(path: &Path) -> Result<Self, ManifestError> {
        let text = fs::read_to_string(path).map_err(|error| ManifestError {
            path: Some(path.to_owned()),
            line: None,
            plugin: None,
            problem: Box::new(ManifestProblem::Unreadable {
                reason: error.to_string(),
            }),
        })?;
        Self::parse(&text, path)
    }

    /// Reads the text of a manifest that lies at `path`.
    ///
    /// # Errors
    /// Names the file, the line and the entry.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ManifestError> {
        let entries = read_entries(text, path);
        let entries = entries.map_err(|fault| ManifestError {
            path: Some(path.to_owned()),
            line: Some(line_of(text, fault.at)),
            plugin: fault.plugin,
            problem: Box::new(fault.problem),
        })?;
        Ok(Manifest {
            path: path.to_owned(),
            entries,
        })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its plugins, in the order of the file.
    pub fn entries(&self) -> &[ManifestEntry] {
        &self.entries
    }

    /// An error about a key of an entry.
    pub(crate) fn error(
        &self,
        entry: &ManifestEntry,
        key: &str,
        problem: ManifestProblem,
    ) -> ManifestError {
        ManifestError {
            path: Some(self.path.clone()),
            line: Some(entry.line_of(key)),
            plugin: Some(entry.name.clone()),
            problem: Box::new(problem),
        }
    }
}

fn read_entries(text: &str, path: &Path) -> Result<Vec<ManifestEntry>, Fault> {
    let document = DeTable::parse(text).map_err(|error| {
        let reason = error.message().to_owned();
        Fault::at(
            error.span().map_or(0, |span| span.start),
            ManifestProblem::Syntax { reason },
        )
    })?;
    let document = document.get_ref();
    refuse_unknown(document, MANIFEST_KEYS)?;
    let Some(plugins) = document.get("plugin") else {
        return Ok(Vec::new());
    };
    let DeValue::Array(plugins) = plugins.get_ref() else {
        return Err(Fault::at(
            plugins.span().start,
            bad("plugin", "is written as [[plugin]]"),
        ));
    };
    let mut entries: Vec<ManifestEntry> = Vec::new();
    for plugin in plugins.iter() {
        let DeValue::Table(table) = plugin.get_ref() else {
            return Err(Fault::at(
                plugin.span().start,
                bad("plugin", "is written as [[plugin]]"),
            ));
        };
        let reader = EntryReader {
            text,
            at: plugin.span().start,
            table,
        };
        let entry = reader.read(path)?;
        if let Some(first) = entries.iter().find(|first| first.name == entry.name) {
            let problem = ManifestProblem::DuplicateName {
                first_line: first.line_of("name"),
            };
            return Err(reader.fault("name", problem));
        }
        entries.push(entry);
    }
    Ok(entries)
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
