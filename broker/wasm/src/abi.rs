//! The host's side of `plugin.wit`: the types that more than one kind of plugin uses, as they cross the
//! border. Those of one kind stand with it. Every function is checked against these types when an
//! instance is made, so a module that was built from another WIT is refused at load.
//!
//! Names of records, fields and flags are the WIT's; a test loads the shipped plugins against them.

use wasmtime::component::{ComponentType, Lift, Lower, ResourceAny};

/// The version of `broker:plugin` that this broker speaks.
pub(crate) const ABI_VERSION: &str = "0.1.0";
/// The only interface that a plugin may import.
pub(crate) const LOG_INTERFACE: &str = "broker:plugin/log@0.1.0";

// The macro takes no documentation: the columns are described in `plugin.wit`.
#[allow(missing_docs)]
mod flags {
    wasmtime::component::flags! {
        Columns {
            #[component(name = "keys")]
            const KEYS;
            #[component(name = "values")]
            const VALUES;
            #[component(name = "headers")]
            const HEADERS;
            #[component(name = "timestamps")]
            const TIMESTAMPS;
            #[component(name = "value-lens")]
            const VALUE_LENS;
        }
    }
}

pub use flags::Columns;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "a guest's level is made by Lift")]
pub(crate) enum LogLevel {
    #[component(name = "error")]
    Error,
    #[component(name = "warn")]
    Warn,
    #[component(name = "info")]
    Info,
    #[component(name = "debug")]
    Debug,
}

impl LogLevel {
    pub(crate) fn name(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
        }
    }
}

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct BytesColumn<'a> {
    pub(crate) data: &'a [u8],
    pub(crate) lens: &'a [i32],
}

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Batch<'a> {
    pub(crate) count: u32,
    #[component(name = "base-offset")]
    pub(crate) base_offset: u64,
    #[component(name = "offset-deltas")]
    pub(crate) offset_deltas: &'a [u32],
    #[component(name = "timestamps-ms")]
    pub(crate) timestamps_ms: Option<&'a [i64]>,
    pub(crate) keys: Option<BytesColumn<'a>>,
    pub(crate) values: Option<BytesColumn<'a>>,
    pub(crate) headers: Option<BytesColumn<'a>>,
    #[component(name = "value-lens")]
    pub(crate) value_lens: Option<&'a [i32]>,
}

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Config<'a> {
    pub(crate) topic: &'a str,
    pub(crate) options: &'a [(String, String)],
}

/// What every constructor answers: the plugin, or why it refuses its configuration.
pub(crate) type Constructed = (Result<ResourceAny, String>,);
