//! The broker's configuration: built-in defaults, then `broker.toml`, then the environment
//! (`BROKER__LOG__SEGMENT__BYTES`), then the command line; each layer wins over the one before.
//!
//! One table ([`keys`]) holds every key; loading, `describe`, `explain` and the sample file come
//! from it. Unknown keys and impossible values are errors that say where they were written and what
//! was probably meant, all of them at once.

mod broker_config;
mod doubts;
mod explain;
pub mod keys;
mod layers;
mod load_error;
pub mod names;
mod sample;

pub use broker_config::{BrokerConfig, DescribedEntry, LoggingFormat};
pub use explain::{Explanation, Level, explain};
pub use keys::{BROKER_KEYS, BrokerKey, unknown_key};
pub use layers::{ConfigFile, ConfigLayers, parse_assignment, process_environment};
pub use load_error::{ConfigError, Origin, Problem, ProblemKind};
pub use sample::sample;

#[cfg(test)]
mod tests;
