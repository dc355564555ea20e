//! Why a plugin manifest is refused: always the file, the line and the entry, and what to do about it.
//! An operator reads this on a terminal, before the broker has started.

use std::fmt;
use std::path::PathBuf;

use crate::kind::PluginKind;
use crate::load_error::LoadError;
use crate::plugin_error::PluginError;

/// A plugin manifest, or one of the plugins it names, that the broker refuses to start with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError {
    /// The manifest; `None` if a plugin of the binary itself is at fault.
    pub path: Option<PathBuf>,
    /// The line, counted from 1; `None` if the file as a whole is at fault.
    pub line: Option<usize>,
    /// The name of the plugin concerned, as far as it is known.
    pub plugin: Option<String>,
    /// What is wrong.
    pub problem: Box<ManifestProblem>,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "{}:", path.display())?;
            match self.line {
                Some(line) => write!(f, "{line}: ")?,
                None => f.write_str(" ")?,
            }
        }
        if let Some(plugin) = &self.plugin {
            write!(f, "plugin {plugin:?}: ")?;
        }
        self.problem.fmt(f)
    }
}

impl std::error::Error for ManifestError {}

/// What is wrong with a manifest or one of its plugins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestProblem {
    /// The manifest cannot be read.
    #[error("the plugin manifest cannot be read: {reason}")]
    Unreadable {
        /// The system's words.
        reason: String,
    },
    /// It is not TOML.
    #[error("this is not valid TOML: {reason}")]
    Syntax {
        /// The parser's words.
        reason: String,
    },
    /// A key that does not exist.
    #[error("unknown key {key:?}{}", suggestion(*nearest, known))]
    UnknownKey {
        /// The key.
        key: String,
        /// The key that was probably meant.
        nearest: Option<&'static str>,
        /// The keys that there are.
        known: &'static [&'static str],
    },
    /// A key that has to be there.
    #[error("{key} is missing; {hint}")]
    MissingKey {
        /// The key.
        key: &'static str,
        /// What to write.
        hint: String,
    },
    /// A value that cannot be used.
    #[error("{key} {problem}")]
    BadValue {
        /// The key.
        key: String,
        /// Why not, and what to write instead.
        problem: String,
    },
    /// A name that was given before.
    #[error(
        "this name was given to another plugin on line {first_line}; each plugin needs a name of its own"
    )]
    DuplicateName {
        /// Where it was given first.
        first_line: usize,
    },
    /// A file plugin under the name of a shipped one.
    #[error("this is the name of a shipped plugin; give the file's plugin another name")]
    ShippedName,
    /// `builtin` names nothing that is shipped.
    #[error("there is no shipped plugin {name:?}; there are: {}", known.join(", "))]
    UnknownBuiltin {
        /// The name.
        name: String,
        /// The shipped plugins.
        known: Vec<String>,
    },
    /// `fallback` names no plugin.
    #[error("its fallback {name:?} is not a plugin of this manifest or a shipped one")]
    UnknownFallback {
        /// The name.
        name: String,
    },
    /// `fallback` names a plugin that cannot stand in.
    #[error("its fallback {name:?} {problem}")]
    BadFallback {
        /// The name.
        name: String,
        /// Why it cannot.
        problem: &'static str,
    },
    /// The module's file cannot be read.
    #[error("its file {} cannot be read: {reason}; path is relative to the manifest", path.display())]
    MissingFile {
        /// The file.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// The module's bytes are not the ones that the manifest means.
    #[error(
        "the digest of {of} is not the manifest's\n  expected {expected}\n  actual   {actual}\nif the module is meant to have changed, write sha256 = \"{actual}\""
    )]
    WrongDigest {
        /// The file, or the shipped plugin.
        of: String,
        /// What the manifest says.
        expected: String,
        /// What the file has.
        actual: String,
    },
    /// The module is of another kind than the manifest says.
    #[error("the manifest says kind = \"{declared}\" and the module is a {actual} plugin")]
    WrongKind {
        /// What the manifest says.
        declared: PluginKind,
        /// What the module is.
        actual: PluginKind,
    },
    /// The module has another version than the manifest says.
    #[error(
        "the manifest says version = \"{declared}\" and the module says {actual}; leave version out or correct it"
    )]
    WrongVersion {
        /// What the manifest says.
        declared: String,
        /// What the module says.
        actual: String,
    },
    /// The module is no plugin that this broker runs.
    #[error("{0}")]
    Load(#[from] LoadError),
    /// The module was tried out with its options and failed.
    #[error("{0}")]
    Start(#[from] PluginError),
}

fn suggestion(nearest: Option<&str>, known: &[&str]) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean {nearest:?}?"),
        None => format!("; known keys: {}", known.join(", ")),
    }
}
