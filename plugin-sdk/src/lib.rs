//! What a plugin of the broker is written with: a trait and an export macro per kind, accessors for
//! the batches that the broker hands over, and builders that make batches for native tests.
//!
//! | kind | trait | macro | decides |
//! |---|---|---|---|
//! | partitioner | [`Partitioner`] | [`export_partitioner!`] | the partition of each produced record |
//! | serializer | [`Serializer`] | [`export_serializer!`] | how MessagePack values are stored, and which records are refused |
//! | retention | [`RetentionPolicy`] | [`export_retention!`] | how many of the oldest segments go |
//! | compaction | [`CompactionPolicy`] | [`export_compaction!`] | which records a cleaning keeps |
//!
//! Each trait's page has a complete plugin of its kind with a test.
//!
//! # A plugin is a crate
//! ```toml
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! plugin-sdk = { path = "…/plugin-sdk" }
//!
//! [profile.release]
//! lto = true
//! codegen-units = 1
//! panic = "abort"
//! strip = true
//! ```
//! Its `lib.rs` implements one trait and calls that trait's macro once. `cargo test` runs its tests
//! natively, without a broker; `cargo build --release --target wasm32-unknown-unknown` makes the plugin.
//! The crate's name and version go into the module and are shown wherever the broker shows the plugin.
//!
//! # What every plugin lives by
//! - No clock, no files, no network, no random numbers, no environment: what there is to know comes as
//!   an argument, so that the same input gives the same output on every broker.
//! - One call is a batch. Memory and the time of a call are limited; beyond them the call is a trap.
//! - A panic is a trap: the broker drops the instance, reports the panic's text and makes a new one. The
//!   same may happen without one, so answers must not depend on earlier calls (except within a cleaning).
//! - [`Config`] carries the options. Refuse what you do not know: [`Config::allow_only`].
//! - [`log`] writes lines to the broker's log, [`messagepack`] reads and writes values.

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
pub mod log;
pub mod messagepack;
mod murmur2;
mod partitioner;
mod retention;
mod serializer;

pub use batch::Offsets;
pub use bitmap::Bitmap;
pub use bytes_column::Rows;
pub use compaction::CompactionPolicy;
pub use generated::compaction_plugin::exports::broker::plugin::compaction::Environment;
pub use generated::partitioner_plugin::broker::plugin::types::{
    Batch, BytesColumn, Columns, Config, RowError,
};
pub use generated::partitioner_plugin::exports::broker::plugin::partitioner::Layout;
pub use generated::retention_plugin::exports::broker::plugin::retention::{
    Bounds, Segment, View as LogView,
};
pub use generated::serializer_plugin::exports::broker::plugin::serializer::Outcome;
pub use headers::HeaderValues;
pub use murmur2::murmur2;
pub use partitioner::Partitioner;
pub use retention::RetentionPolicy;
pub use serializer::{OutcomeBuilder, Serializer};

#[doc(hidden)]
pub use {
    compaction::Export as __CompactionExport, partitioner::Export as __PartitionerExport,
    retention::Export as __RetentionExport, serializer::Export as __SerializerExport,
};
