//! What a plugin of the broker is written with: a trait and an export macro per kind, accessors for the
//! batches that the broker hands over, and builders that make batches for native tests.
//!
//! - [`Partitioner`], [`export_partitioner!`]: the partition of each produced record
//! - [`Serializer`], [`export_serializer!`]: how values are stored, and which records are refused
//! - [`RetentionPolicy`], [`export_retention!`]: how many of the oldest segments go
//! - [`CompactionPolicy`], [`export_compaction!`]: which records a cleaning keeps
//!
//! Each trait's page has a complete plugin of its kind with a test. A plugin is a crate:
//! ```toml
//! [lib]
//! crate-type = ["cdylib"]
//! [dependencies]
//! plugin-sdk = { path = "…/plugin-sdk" }
//! [profile.release]
//! lto = true
//! codegen-units = 1
//! panic = "abort"
//! strip = true
//! ```
//! Its `lib.rs` implements one trait and calls that trait's macro once. `cargo test` runs its tests
//! natively, without a broker; `cargo build --release --target wasm32-unknown-unknown` makes the plugin,
//! with the crate's name and version in it.
//!
//! # What every plugin lives by
//! - No clock, files, network or random numbers: the same input gives the same output on every broker.
//! - One call is a batch or a part of a large one; each trait's page says how large. Memory and the time
//!   of a call are limited; beyond them the call is a trap.
//! - So is a panic: the broker reports its text, drops the instance and makes a new one. It may do so
//!   without one, too: answers must not depend on earlier calls (except within a cleaning).
//! - [`Config`] carries the options. Refuse what you do not know: [`Config::allow_only`].
//! - [`log`] writes to the broker's log; [`messagepack`] and [`json`] read and write values; the feature
//!   `key-table` has a `KeyTable` for compaction policies.

mod batch;
mod batch_builders;
mod bitmap;
mod bytes_column;
mod compaction;
mod config;
#[doc(hidden)]
pub mod generated;
mod headers;
mod identity;
pub mod json;
#[cfg(feature = "key-table")]
mod key_table;
pub mod log;
pub mod messagepack;
mod murmur2;
mod partitioner;
mod retention;
mod serializer;
mod units;

pub use batch::Offsets;
pub use bitmap::Bitmap;
pub use bytes_column::Rows;
pub use compaction::CompactionPolicy;
pub use generated::compaction_plugin::exports::broker::plugin::compaction::{Environment, Scope};
pub use generated::partitioner_plugin::broker::plugin::types::{
    Batch, BytesColumn, Columns, Config, RowError,
};
pub use generated::partitioner_plugin::exports::broker::plugin::partitioner::Layout;
pub use generated::retention_plugin::exports::broker::plugin::retention::{
    Bounds, Segment, View as LogView,
};
pub use generated::serializer_plugin::exports::broker::plugin::serializer::Outcome;
pub use headers::HeaderValues;
#[cfg(feature = "key-table")]
pub use key_table::{Full, KeyTable};
pub use murmur2::murmur2;
pub use partitioner::Partitioner;
pub use retention::RetentionPolicy;
pub use serializer::{OutcomeBuilder, Serializer};
#[doc(hidden)]
pub use {
    compaction::Export as __CompactionExport, partitioner::Export as __PartitionerExport,
    retention::Export as __RetentionExport, serializer::Export as __SerializerExport,
};
