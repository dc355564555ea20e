//! What can be wrong with the broker's configuration and where it was written. A start reports all
//! problems together, so that nobody fixes them one start at a time.

use std::fmt;
use std::path::PathBuf;

use broker_cluster::InvalidConfig;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// A configuration file.
    File {
        /// Which.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        variable: String,
    },
    /// The command line.
    CommandLine,
}

impl Origin {
    /// The name in answers: `default`, `file`, `environment` or `command line`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File { .. } => "file",
            Self::Environment { .. } => "environment",
            Self::CommandLine => "command line",
        }
    }

    /// The layer it belongs to; a higher one wins.
    pub(super) const fn rank(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File { .. } => 1,
            Self::Environment { .. } => 2,
            Self::CommandLine => 3,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment { variable } => write!(f, "environment variable {variable}"),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written.
    pub origin: Origin,
    /// What is wrong.
    pub kind: ProblemKind,
}

/// What is wrong with one setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProblemKind {
    /// The key or its value.
    #[error(transparent)]
    Invalid(#[from] InvalidConfig),
    /// The same key twice in one layer.
    #[error("{key} is set twice, first at {first}")]
    Twice {
        /// The key.
        key: String,
        /// Where it was set first.
        first: Origin,
    },
    /// Two keys that exclude each other in one layer.
    #[error("{key} and {other} (at {other_origin}) are both set: use one of them")]
    Conflict {
        /// The key.
        key: &'static str,
        /// The other.
        other: &'static str,
        /// Where the other was set.
        other_origin: Origin,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.kind)
    }
}

/// Why there is no configuration to start from.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{} is not valid TOML: {reason}", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// The parser's words, with line and column.
        reason: String,
    },
    /// An argument that is not `key=value`.
    #[error("{text:?} is not KEY=VALUE, such as log.segment.bytes=64MiB")]
    Assignment {
        /// The argument.
        text: String,
    },
    /// Keys or values.
    #[error("invalid configuration: {}", joined(.0))]
    Invalid(Vec<Problem>),
    /// The layers could not be put over each other.
    #[error("cannot combine the configuration: {0}")]
    Layering(#[from] config::ConfigError),
}

fn joined(problems: &[Problem]) -> String {
    if let [only] = problems {
        return only.to_string();
    }
    let lines = problems.iter().map(|problem| format!("\n  {problem}"));
    lines.collect()
}
