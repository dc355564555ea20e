//! What a plugin of the broker is written with: a trait per kind, an export macro, and accessors for
//! the batches that the broker hands over.
//!
//! A plugin is an ordinary library crate (`crate-type = ["cdylib"]`) built for
//! `wasm32-unknown-unknown`. It has no clock, no files, no network and no random numbers: the same
//! input gives the same output on every broker. A panic is caught by the broker, which drops the
//! instance and reports the panic's text.
//!
//! ```
//! use plugin_sdk::{Batch, Config, Layout, Partitioner};
//!
//! /// Sends every record to the partition that its key's first byte names.
//! struct FirstByte;
//!
//! impl Partitioner for FirstByte {
//!     fn new(config: &Config) -> Result<Self, String> {
//!         config.allow_only(&[])?;
//!         Ok(FirstByte)
//!     }
//!
//!     fn assign(&mut self, batch: &Batch, layout: &Layout) -> Result<Vec<u32>, String> {
//!         let first = |key: Option<&[u8]>| key.and_then(|key| key.first().copied()).unwrap_or(0);
//!         Ok(batch.keys().map(|key| u32::from(first(key)) % layout.partitions).collect())
//!     }
//! }
//!
//! plugin_sdk::export_partitioner!(FirstByte);
//!
//! // The author's own test needs no broker:
//! let mut plugin = FirstByte::new(&Config::default()).unwrap();
//! let batch = Batch::from_keys([Some("\u{1}one"), None]);
//! assert_eq!(plugin.assign(&batch, &Layout::of(4)).unwrap(), [1, 0]);
//! ```

mod batch;
mod config;
#[doc(hidden)]
pub mod generated;
pub mod log;
mod murmur2;
mod partitioner;

pub use batch::{BytesColumn, Rows};
pub use generated::partitioner_plugin::broker::plugin::types::{Batch, Columns, Config};
pub use generated::partitioner_plugin::exports::broker::plugin::partitioner::Layout;
pub use murmur2::murmur2;
pub use partitioner::Partitioner;

#[doc(hidden)]
pub use partitioner::Export as __PartitionerExport;
