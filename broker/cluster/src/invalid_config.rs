//! `InvalidConfig`: what is wrong with a configuration key or value, with the facts as fields and
//! the fix in the text.

use broker_model::limits::CONFIG_BYTES_MAX;

use crate::config_key::nearest;

/// A key that does not exist or a value it cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// There is no such key.
    #[error("unknown configuration key {key:?}{}", did_you_mean(.suggestion.as_deref()))]
    UnknownKey {
        /// The key asked for.
        key: String,
        /// The key that was probably meant.
        suggestion: Option<String>,
    },
    /// The key cannot have this value.
    #[error("{key} cannot be {value:?}: it takes {allowed}")]
    Value {
        /// The key.
        key: String,
        /// The value as it was given.
        value: String,
        /// Which values are allowed.
        allowed: String,
    },
    /// The value has a meaning, but this version cannot carry it out.
    #[error("{key} = {value} is not available in this version: it takes {allowed}")]
    NotAvailable {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// Which values are available.
        allowed: String,
    },
    /// All keys and values take too much.
    #[error(
        "the keys and values that are set for a topic take {bytes} bytes: at most {CONFIG_BYTES_MAX} \
         are allowed, and {key} takes most of them"
    )]
    TooLarge {
        /// The key that takes most.
        key: String,
        /// What all of them take.
        bytes: usize,
    },
    /// The same key was to be set and unset in one request.
    #[error("{key} is both set and unset")]
    SetAndUnset {
        /// The key.
        key: String,
    },
}

impl InvalidConfig {
    /// An unknown key: `alias` where the key is known under another name elsewhere, otherwise the
    /// nearest of `names`.
    pub fn unknown_key<'a>(
        key: &str,
        alias: Option<&str>,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self::UnknownKey {
            key: key.to_owned(),
            suggestion: alias.or_else(|| nearest(key, names)).map(str::to_owned),
        }
    }

    /// The key that is at fault.
    pub fn key(&self) -> &str {
        match self {
            Self::UnknownKey { key, .. }
            | Self::Value { key, .. }
            | Self::NotAvailable { key, .. }
            | Self::TooLarge { key, .. }
            | Self::SetAndUnset { key } => key,
        }
    }
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |name| format!(": did you mean {name:?}?"))
}
