//! One `[[plugin]]` of a manifest: its keys, their rules, and where in the text each of them stands.
//!
//! What is read here is only what the text says: whether the module is there and is what the entry
//! calls it is found out when the catalogue is filled.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use broker_model::{parse_bytes, parse_duration};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::kind::PluginKind;
use crate::limits::{LimitSettings, Limits};
use crate::manifest_error::ManifestProblem;

const PLUGIN_KEYS: &[&str] = &[
    "name", "version", "kind", "path", "builtin", "sha256", "options", "limits", "fallback",
];
const LIMIT_KEYS: &[&str] = &["deadline", "memory", "output", "budget"];
/// Longest name of a plugin, in bytes.
const NAME_LEN_MAX: usize = 64;

/// One `[[plugin]]` of a manifest.
#[derive(Clone, Debug)]
pub struct ManifestEntry {
    /// The name by which topics ask for the plugin.
    pub name: String,
    /// The version that the module has to have.
    pub version: Option<String>,
    /// The kind that the module has to be of.
    pub kind: PluginKind,
    /// The shipped plugin whose module it is, or else the module's file.
    pub module: ModuleSource,
    /// SHA-256 that the module has to have, in lower-case hexadecimal.
    pub sha256: Option<String>,
    /// Its options, sorted by name.
    pub options: Vec<(String, String)>,
    /// Its limits.
    pub limits: Limits,
    /// The plugin that answers where this one fails; only a partitioner has one.
    pub fallback: Option<String>,
    lines: BTreeMap<String, usize>,
    line: usize,
}

/// Where the manifest says a module is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModuleSource {
    /// In the binary, under this name.
    Builtin(String),
    /// In this file; a relative path was joined to the manifest's folder.
    File(PathBuf),
}

impl ManifestEntry {
    pub(crate) fn line_of(&self, key: &str) -> usize {
        self.lines.get(key).copied().unwrap_or(self.line)
    }
}

/// A problem at a byte of the text.
pub(crate) struct Fault {
    pub(crate) at: usize,
    pub(crate) plugin: Option<String>,
    pub(crate) problem: ManifestProblem,
}

impl Fault {
    pub(crate) fn at(at: usize, problem: ManifestProblem) -> Self {
        Fault {
            at,
            plugin: None,
            problem,
        }
    }
}

pub(crate) fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

pub(crate) fn bad(key: &str, problem: impl Into<String>) -> ManifestProblem {
    ManifestProblem::BadValue {
        key: key.to_owned(),
        problem: problem.into(),
    }
}

pub(crate) fn refuse_unknown(
    table: &DeTable<'_>,
    known: &'static [&'static str],
) -> Result<(), Fault> {
    let unknown = table
        .keys()
        .filter(|key| !known.contains(&&**key.get_ref()));
    let Some(key) = unknown.min_by_key(|key| key.span().start) else {
        return Ok(());
    };
    let near = |known: &&&str| strsim::damerau_levenshtein(known, key.get_ref());
    let nearest = known
        .iter()
        .min_by_key(near)
        .filter(|known| near(known) <= 3)
        .copied();
    let key_text = key.get_ref().to_string();
    let problem = ManifestProblem::UnknownKey {
        key: key_text,
        nearest,
        known,
    };
    Err(Fault::at(key.span().start, problem))
}

/// One `[[plugin]]` while it is read.
pub(crate) struct EntryReader<'a> {
    pub(crate) text: &'a str,
    pub(crate) at: usize,
    pub(crate) table: &'a DeTable<'a>,
}

impl EntryReader<'_> {
    pub(crate) fn read(&self, manifest: &Path) -> Result<ManifestEntry, Fault> {
        refuse_unknown(self.table, PLUGIN_KEYS).map_err(|fault| self.named(fault))?;
        let lines = self.table.keys().map(|key| {
            (
                key.get_ref().to_string(),
                line_of(self.text, key.span().start),
            )
        });
        let sha256 = self
            .text("sha256")?
            .map(|digest| self.digest(digest))
            .transpose()?;
        let (name, kind) = (self.name()?, self.kind()?);
        Ok(ManifestEntry {
            name,
            version: self.text("version")?.map(str::to_owned),
            kind,
            module: self.module(manifest)?,
            sha256,
            options: self.options()?,
            limits: self.limits(kind)?,
            fallback: self.fallback(kind)?,
            lines: lines.collect(),
            line: line_of(self.text, self.at),
        })
    }

    fn name(&self) -> Result<String, Fault> {
        let Some(name) = self.text("name")? else {
            return Err(self.missing("name", "write the name that topics use, name = \"…\""));
        };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.len() > NAME_LEN_MAX || !name.bytes().all(allowed) {
            let rule = format!(
                "is {name:?}; write 1 to {NAME_LEN_MAX} letters, digits, dots, dashes or underscores"
            );
            return Err(self.fault("name", bad("name", rule)));
        }
        Ok(name.to_owned())
    }

    fn kind(&self) -> Result<PluginKind, Fault> {
        let names = PluginKind::ALL.map(PluginKind::name).join(", ");
        let Some(kind) = self.text("kind")? else {
            return Err(self.missing("kind", &format!("write kind = one of {names}")));
        };
        PluginKind::from_name(kind).ok_or_else(|| {
            self.fault(
                "kind",
                bad("kind", format!("is {kind:?}; there are {names}")),
            )
        })
    }

    fn module(&self, manifest: &Path) -> Result<ModuleSource, Fault> {
        match (self.text("path")?, self.text("builtin")?) {
            (Some(path), None) => {
                let folder = manifest.parent().unwrap_or(Path::new(""));
                Ok(ModuleSource::File(folder.join(path)))
            }
            (None, Some(builtin)) => Ok(ModuleSource::Builtin(builtin.to_owned())),
            (Some(_), Some(_)) => {
                let rule = "stands beside path; write one of the two";
                Err(self.fault("builtin", bad("builtin", rule)))
            }
            (None, None) => Err(self.missing(
                "path",
                "write path = \"the module's file\", or builtin = \"a shipped plugin\"",
            )),
        }
    }

    fn digest(&self, digest: &str) -> Result<String, Fault> {
        if digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let rule = "is not a SHA-256 digest: 64 hexadecimal digits, as `sha256sum FILE` prints";
            return Err(self.fault("sha256", bad("sha256", rule)));
        }
        Ok(digest.to_ascii_lowercase())
    }

    fn options(&self) -> Result<Vec<(String, String)>, Fault> {
        let Some(table) = self.inner("options", "options = { split = 50 }")? else {
            return Ok(Vec::new());
        };
        let mut options = Vec::new();
        for (name, value) in table {
            let name = name.get_ref().to_string();
            let Some(text) = scalar(value.get_ref()) else {
                let rule = "is neither text nor a number nor true or false";
                let problem = bad(&format!("options.{name}"), rule);
                return Err(self.named(Fault::at(value.span().start, problem)));
            };
            options.push((name, text));
        }
        options.sort();
        Ok(options)
    }

    fn limits(&self, kind: PluginKind) -> Result<Limits, Fault> {
        let mut settings = LimitSettings::default();
        let example = "limits = { deadline = \"5ms\", memory = \"16MiB\" }";
        let Some(table) = self.inner("limits", example)? else {
            return Ok(Limits::default_for(kind));
        };
        refuse_unknown(table, LIMIT_KEYS).map_err(|fault| self.named(fault))?;
        let refuse = |key: &str, problem: String| {
            let at = table.get(key).map_or(self.at, |value| value.span().start);
            let problem = bad(&format!("limits.{key}"), problem);
            self.named(Fault::at(at, problem))
        };
        for (key, value) in table {
            let key = &**key.get_ref();
            let text = scalar(value.get_ref()).unwrap_or_default();
            let unusable = |error: String| refuse(key, format!("cannot be used: {error}"));
            let time = || parse_duration(&text).map_err(|error| unusable(error.to_string()));
            let size = || parse_bytes(&text).map_err(|error| unusable(error.to_string()));
            match key {
                "deadline" => settings.deadline = Some(time()?),
                "budget" => settings.budget = Some(time()?),
                "memory" => settings.memory_bytes = Some(size()?),
                _ => settings.output_bytes = Some(size()?),
            }
        }
        Limits::with_settings(kind, &settings)
            .map_err(|error| refuse(error.key, error.problem.to_owned()))
    }

    fn fallback(&self, kind: PluginKind) -> Result<Option<String>, Fault> {
        let fallback = self.text("fallback")?;
        if fallback.is_some() && kind != PluginKind::Partitioner {
            let rule = format!(
                "is for partitioners; where a {kind} plugin fails, {}",
                kind.without()
            );
            return Err(self.fault("fallback", bad("fallback", rule)));
        }
        Ok(fallback.map(str::to_owned))
    }

    fn inner(&self, key: &'static str, example: &str) -> Result<Option<&DeTable<'_>>, Fault> {
        match self.table.get(key).map(Spanned::get_ref) {
            None => Ok(None),
            Some(DeValue::Table(table)) => Ok(Some(table)),
            Some(_) => Err(self.fault(key, bad(key, format!("is a table, such as {example}")))),
        }
    }

    fn text(&self, key: &'static str) -> Result<Option<&str>, Fault> {
        match self.table.get(key).map(Spanned::get_ref) {
            None => Ok(None),
            Some(DeValue::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.fault(key, bad(key, "is text: write it in quotes"))),
        }
    }

    fn missing(&self, key: &'static str, hint: &str) -> Fault {
        let problem = ManifestProblem::MissingKey {
            key,
            hint: hint.to_owned(),
        };
        self.named(Fault::at(self.at, problem))
    }

    /// A problem with a key of the entry.
    pub(crate) fn fault(&self, key: &str, problem: ManifestProblem) -> Fault {
        let at = self
            .table
            .get_key_value(key)
            .map_or(self.at, |(key, _)| key.span().start);
        self.named(Fault::at(at, problem))
    }

    fn named(&self, fault: Fault) -> Fault {
        let name = self
            .table
            .get("name")
            .and_then(|name| name.get_ref().as_str());
        Fault {
            plugin: name.map(str::to_owned),
            ..fault
        }
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}
