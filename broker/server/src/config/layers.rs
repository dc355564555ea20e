//! The layers of the configuration: reads each one into `(key, text, origin)` and puts them over
//! each other with the `config` crate. Every setting of every layer is checked, also one that a
//! higher layer overrides: a typo does not hide until the override is gone.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use config::{Config, Map, Source, Value, ValueKind};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{BROKER_KEYS, ENVIRONMENT_PREFIX, broker_key, unknown_key};
use super::load_error::{ConfigError, Origin, Problem, ProblemKind};

/// Which file to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ConfigFile {
    /// None.
    #[default]
    None,
    /// This one; it is an error when it is missing.
    Required(PathBuf),
    /// This one, if it is there.
    IfPresent(PathBuf),
}

/// What lies above the defaults, lowest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigLayers {
    /// The configuration file.
    pub file: ConfigFile,
    /// Environment variables; those without our prefix are passed over.
    pub environment: Vec<(String, String)>,
    /// Keys and values from the command line; of equal keys the last one counts.
    pub command_line: Vec<(String, String)>,
}

/// One setting as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// An effective value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Effective {
    pub(super) value: String,
    pub(super) origin: Origin,
}

/// The variables of this process, for [`ConfigLayers::environment`].
pub fn process_environment() -> Vec<(String, String)> {
    let text = |os: OsString| os.to_string_lossy().into_owned();
    std::env::vars_os()
        .map(|(name, value)| (text(name), text(value)))
        .collect()
}

/// Splits `key=value` as it is written on the command line.
///
/// # Errors
/// When there is no `=` or no key.
pub fn parse_assignment(text: &str) -> Result<(String, String), ConfigError> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(ConfigError::Assignment {
            text: text.to_owned(),
        }),
    }
}

impl ConfigLayers {
    /// The effective value of every key.
    pub(super) fn combine(&self) -> Result<BTreeMap<&'static str, Effective>, ConfigError> {
        let layers = [
            defaults(),
            self.file.settings()?,
            environment(&self.environment),
            command_line(&self.command_line),
        ];
        let mut problems = Vec::new();
        let mut origins = Vec::new();
        let mut builder = Config::builder();
        for settings in layers {
            builder = builder.add_source(Layer::check(settings, &mut origins, &mut problems));
        }
        if !problems.is_empty() {
            return Err(ConfigError::Invalid(problems));
        }
        let combined = builder.build()?.collect()?;
        let effective = BROKER_KEYS.iter().filter_map(|row| {
            let found = leaf(&combined, row.key.name)?;
            let origin = found.origin()?.parse::<usize>().ok()?;
            let effective = Effective {
                value: found.clone().into_string().ok()?,
                origin: origins.get(origin)?.clone(),
            };
            Some((row.key.name, effective))
        });
        Ok(effective.collect())
    }
}

/// A checked layer as the `config` crate takes it. The origin of a value is its number in a list.
#[derive(Clone, Debug)]
struct Layer {
    values: Vec<(&'static str, Value)>,
}

impl Layer {
    fn check(
        settings: Vec<Setting>,
        origins: &mut Vec<Origin>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut values = Vec::new();
        let mut seen: BTreeMap<String, Origin> = BTreeMap::new();
        for Setting { key, text, origin } in settings {
            let checked = check(&key, &text);
            match (checked, seen.get(&key)) {
                (Err(kind), _) => problems.push(Problem { origin, kind }),
                (Ok(_), Some(first)) => problems.push(Problem {
                    kind: ProblemKind::Twice {
                        key,
                        first: first.clone(),
                    },
                    origin,
                }),
                (Ok((name, normal)), None) => {
                    let number = origins.len().to_string();
                    values.push((name, Value::new(Some(&number), normal)));
                    origins.push(origin.clone());
                    seen.insert(key, origin);
                }
            }
        }
        Self { values }
    }
}

fn check(key: &str, text: &str) -> Result<(&'static str, String), ProblemKind> {
    let row = broker_key(key).ok_or_else(|| unknown_key(key))?;
    Ok((row.key.name, row.key.normalise(text)?))
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        let values = self.values.iter();
        Ok(values
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect())
    }
}

fn leaf<'a>(root: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => root.get(key),
        Some((first, rest)) => match &root.get(first)?.kind {
            ValueKind::Table(table) => leaf(table, rest),
            _ => None,
        },
    }
}

fn defaults() -> Vec<Setting> {
    let setting = |row: &super::BrokerKey| Setting {
        key: row.key.name.to_owned(),
        text: row.key.default.to_owned(),
        origin: Origin::Default,
    };
    BROKER_KEYS.iter().map(setting).collect()
}

/// `BROKER__LOG__SEGMENT__BYTES` is `log.segment.bytes`; a single `_` stays one.
fn environment(variables: &[(String, String)]) -> Vec<Setting> {
    let setting = |(variable, value): &(String, String)| {
        let name = variable.strip_prefix(ENVIRONMENT_PREFIX)?;
        Some(Setting {
            key: name.to_ascii_lowercase().replace("__", "."),
            text: value.clone(),
            origin: Origin::Environment {
                variable: variable.clone(),
            },
        })
    };
    let mut settings: Vec<Setting> = variables.iter().filter_map(setting).collect();
    settings.sort_by(|a, b| a.key.cmp(&b.key));
    settings
}

fn command_line(pairs: &[(String, String)]) -> Vec<Setting> {
    let overridden = |position: usize, key: &str| {
        let later = pairs.iter().skip(position + 1);
        later.map(|(later, _)| later).any(|later| later == key)
    };
    pairs
        .iter()
        .enumerate()
        .filter(|(position, (key, _))| !overridden(*position, key))
        .map(|(_, (key, value))| Setting {
            key: key.clone(),
            text: value.clone(),
            origin: Origin::CommandLine,
        })
        .collect()
}

impl ConfigFile {
    fn settings(&self) -> Result<Vec<Setting>, ConfigError> {
        let (path, missing_is_fine) = match self {
            Self::None => return Ok(Vec::new()),
            Self::Required(path) => (path, false),
            Self::IfPresent(path) => (path, true),
        };
        match std::fs::read_to_string(path) {
            Ok(text) => file_settings(&text, path),
            Err(error) if missing_is_fine && error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Vec::new())
            }
            Err(source) => Err(ConfigError::Read {
                path: path.clone(),
                source,
            }),
        }
    }
}

/// Tables, dotted keys and quoted dotted keys all name the same setting.
fn file_settings(text: &str, path: &Path) -> Result<Vec<Setting>, ConfigError> {
    let document = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    let mut settings = Vec::new();
    let mut open = vec![(String::new(), document.get_ref())];
    while let Some((prefix, table)) = open.pop() {
        for (name, value) in table.iter() {
            let key = match prefix.as_str() {
                "" => name.get_ref().to_string(),
                prefix => format!("{prefix}.{}", name.get_ref()),
            };
            if let DeValue::Table(inner) = value.get_ref() {
                open.push((key, inner));
                continue;
            }
            let line = line_of(text, name);
            settings.push((line, key, text_of(value.get_ref())));
        }
    }
    settings.sort();
    let at = |line| Origin::File {
        path: path.to_owned(),
        line,
    };
    Ok(settings
        .into_iter()
        .map(|(line, key, text)| Setting {
            key,
            text,
            origin: at(line),
        })
        .collect())
}

fn line_of<T>(text: &str, part: &Spanned<T>) -> usize {
    let before = text.as_bytes().iter().take(part.span().start);
    1 + before.filter(|byte| **byte == b'\n').count()
}

/// A value as its key's kind reads it: lists joined by commas, all else as written.
fn text_of(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(parts) => {
            let parts: Vec<String> = parts.iter().map(|part| text_of(part.get_ref())).collect();
            parts.join(",")
        }
        DeValue::Table(_) => "a table".to_owned(),
    }
}
