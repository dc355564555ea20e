//! Why a module cannot be a plugin. Each message says what to do about it.

use broker_model::limits::PLUGIN_MODULE_BYTES_MAX;

use crate::abi::{ABI_VERSION, LOG_INTERFACE};
use crate::kind::PluginKind;

/// A module that cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It is larger than any plugin may be.
    #[error(
        "the module has {bytes} bytes, the most is {PLUGIN_MODULE_BYTES_MAX}; build it in release mode and stripped"
    )]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// It has more of something than a broker compiles.
    #[error(
        "the module has {count} {what}, the most is {max}; build it in release mode, and leave out what the plugin does not need"
    )]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: u64,
        /// The limit.
        max: u64,
    },
    /// It does not begin like WebAssembly.
    #[error(
        "it is not a WebAssembly module (it does not begin with \\0asm); build the plugin with --target wasm32-unknown-unknown"
    )]
    NotWasm,
    /// It is a component already.
    #[error(
        "it is a WebAssembly component; give the core module that `cargo build --target wasm32-unknown-unknown` writes, the broker makes the component itself"
    )]
    IsComponent,
    /// It begins like WebAssembly and is not valid.
    #[error(
        "the module is damaged or uses features that the broker does not run, at byte {position}: {reason}"
    )]
    Malformed {
        /// Where.
        position: usize,
        /// What the validator says.
        reason: String,
    },
    /// It exports nothing that makes it a plugin.
    #[error(
        "the module exports no plugin; use plugin-sdk's export macro (such as export_partitioner!) and crate-type = [\"cdylib\"]"
    )]
    NoPlugin,
    /// It exports more than one kind.
    #[error(
        "the module exports several kinds of plugin ({}); a plugin is of exactly one",
        names(kinds)
    )]
    SeveralKinds {
        /// The kinds.
        kinds: Vec<PluginKind>,
    },
    /// It was built for another version of the plugin interface.
    #[error(
        "the module was built for version {found} of broker:plugin, this broker runs {ABI_VERSION}; build it again with the plugin-sdk of this broker"
    )]
    OtherAbi {
        /// That version.
        found: String,
    },
    /// It imports something that the broker does not give to plugins.
    #[error(
        "the module imports {import}; a plugin may import {LOG_INTERFACE} and nothing else (no WASI, no clock, no random numbers)"
    )]
    UnknownImport {
        /// `module#name`.
        import: String,
    },
    /// It lacks a function of its kind.
    #[error(
        "the module looks like a {kind} plugin and does not export {export}; build it again with the plugin-sdk of this broker"
    )]
    MissingExport {
        /// Its kind.
        kind: PluginKind,
        /// The function.
        export: String,
    },
    /// Its functions have other types than `plugin.wit` says.
    #[error(
        "the module does not fit plugin.wit: {reason}; build it again with the plugin-sdk of this broker"
    )]
    Interface {
        /// What does not fit.
        reason: String,
    },
}

fn names(kinds: &[PluginKind]) -> String {
    let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
    names.join(", ")
}
