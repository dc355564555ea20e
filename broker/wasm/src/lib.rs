//! Plugins: WebAssembly modules that decide for the broker, in a sandbox. This is the only crate that
//! knows wasmtime; it knows nothing of actors, storage or the protocol.
//!
//! A [`PluginEngine`] loads core modules, a [`Catalog`] holds those of a broker (shipped, or of a [`Manifest`]).
//! A [`Partitioner`], [`Serializer`], [`Retention`] or [`Compactor`] is one of them bound to a topic on one thread.
//! A guest has no clock, files, network or random numbers, bounded time and memory; it answers or is a [`PluginError`].
//!
//! ```
//! use broker_wasm::{BatchColumns, Builtin, BytesColumn, Catalog, Layout, Partitioner, PluginEngine};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let shipped = broker_plugin_bundle::modules();
//! let builtins: Vec<_> =
//!     shipped.iter().map(|m| Builtin { name: m.name, bytes: m.bytes, digest: m.digest }).collect();
//! let engine = PluginEngine::new()?;
//! let catalog = Catalog::load(&engine, &builtins, None)?;
//!
//! let mut partitioner = Partitioner::new(&engine, catalog.get("key-hash").expect("shipped"), "orders", &[])?;
//! let keys: BytesColumn = [Some(&b"21"[..]), Some(&b"foobar"[..])].into_iter().collect();
//! let batch = BatchColumns { records: 2, keys: Some(&keys), ..BatchColumns::default() };
//! let layout = Layout { partitions: 8, counts: &[8], sequence: 0, batches: 0 };
//! assert_eq!(partitioner.assign(&batch, &layout)?, [4, 6]);
//! # Ok(())
//! # }
//! ```

mod abi;
mod anatomy;
mod bitmap;
mod bound;
mod catalog;
mod columns;
mod compactor;
mod counters;
mod engine;
mod guest;
mod inspection;
mod kind;
mod limits;
mod load_error;
mod manifest;
mod manifest_entry;
mod manifest_error;
mod message_pack;
mod module;
mod partitioner;
mod parts;
mod plugin;
mod plugin_error;
mod plugin_log;
mod retention;
mod sandbox;
mod serializer;
mod serializer_answer;
mod stand_ins;
mod suspension;
mod ticker;

pub use abi::Columns;
pub use catalog::{Builtin, Catalog, read_module};
pub use columns::{BatchColumns, BytesColumn, Rows};
pub use compactor::{Compactor, Scope};
pub use counters::{Counters, Usage};
pub use engine::{EngineError, PluginEngine};
pub use inspection::Inspection;
pub use kind::PluginKind;
pub use limits::{LimitError, LimitSettings, Limits};
pub use load_error::LoadError;
pub use manifest::Manifest;
pub use manifest_entry::{ManifestEntry, ModuleSource};
pub use manifest_error::{ManifestError, ManifestProblem};
pub use module::{Module, digest as module_digest};
pub use partitioner::{Layout, Partitioner};
pub use plugin::{Plugin, PluginSource};
pub use plugin_error::{PluginError, PluginErrorKind};
pub use plugin_log::{LogLine, PluginLog};
pub use retention::{Bounds, Retention, RetentionView, SegmentFacts};
pub use serializer::{RawAnswer, RowError, Serializer};
pub use suspension::PluginState;
