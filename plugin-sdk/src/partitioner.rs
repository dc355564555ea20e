//! The partitioner kind: decides which partition each record of a batch goes to, before the batch is
//! split and appended. [`export_partitioner!`](crate::export_partitioner) makes a type the plugin.

use std::cell::RefCell;

use crate::generated::partitioner_plugin::exports::broker::plugin::partitioner as exported;
use crate::{Batch, Columns, Config, Layout};

/// A partitioner plugin. One instance serves one topic on one thread of a broker and may be dropped
/// and made again at any time, so an answer may depend only on the arguments and the configuration.
///
/// A topic uses it with `partitioner = NAME` in its configuration; `partitioner.option.X` sets option X.
/// Keys and values are the stored bytes: a serializer of the topic has done its work before.
///
/// ```
/// use plugin_sdk::{Batch, Config, Layout, Partitioner};
///
/// /// Sends every record to the partition that its key's first byte names.
/// struct FirstByte;
///
/// impl Partitioner for FirstByte {
///     fn new(config: &Config) -> Result<Self, String> {
///         config.allow_only(&[])?;
///         Ok(FirstByte)
///     }
///
///     fn assign(&mut self, batch: &Batch, layout: &Layout) -> Result<Vec<u32>, String> {
///         let first = |key: Option<&[u8]>| key.and_then(|key| key.first().copied()).unwrap_or(0);
///         Ok(batch.keys().map(|key| u32::from(first(key)) % layout.partitions).collect())
///     }
/// }
///
/// plugin_sdk::export_partitioner!(FirstByte);
///
/// // The author's own test needs no broker:
/// let mut plugin = FirstByte::new(&Config::default()).unwrap();
/// let batch = Batch::from_keys([Some("\u{1}one"), None]);
/// assert_eq!(plugin.assign(&batch, &Layout::of(4)).unwrap(), [1, 0]);
/// ```
pub trait Partitioner: Sized {
    /// Reads the configuration. Refuse options that you do not know: [`Config::allow_only`].
    /// The broker does this once at its start too, with an empty topic name, to check the options.
    ///
    /// # Errors
    /// The text reaches whoever configured the plugin or the topic.
    fn new(config: &Config) -> Result<Self, String>;

    /// The columns that `assign` looks at; the others are not copied. Keys, unless overridden.
    fn needs(&self) -> Columns {
        Columns::KEYS
    }

    /// Answers one partition for each record of the batch, each below `layout.partitions`. The broker
    /// refuses any other answer. [`Layout::turn`] goes round robin.
    ///
    /// A large batch comes in parts, one call each, so that `batch` may be a part of what was produced: at
    /// most 16,384 records and 512 KiB, or 512 records and 32 KiB where values or headers are asked for (a
    /// larger record comes alone). `layout.sequence` counts on from part to part, `layout.batches` does not.
    ///
    /// # Errors
    /// The whole batch is refused and the producer sees the text (its first 256 bytes).
    fn assign(&mut self, batch: &Batch, layout: &Layout) -> Result<Vec<u32>, String>;

    /// A shortcut for batches without a single key, for partitioners that send each of them to one partition
    /// whatever else is in its records: that partition, the same as `assign` answers for every one of the
    /// `count` records. The broker then does not take the batch apart, which is what costs most.
    ///
    /// `None`, as it is unless overridden: ask `assign`. It has to be `None` always or never: each thread of
    /// a broker is told so once, and may ask again.
    ///
    /// Implement it if `assign` sends records without a key batch by batch, as `key-hash` does with
    /// `layout.turn(layout.batches)`: then this is `Some(layout.turn(layout.batches))`. Leave it out if they go
    /// one by one, as those of `round-robin` do, or by their values or headers. `broker plugin test` asks both
    /// about each case without keys and fails if they disagree.
    fn keyless(&mut self, _count: u32, _layout: &Layout) -> Option<u32> {
        None
    }
}

/// Carries a [`Partitioner`] through the generated bindings.
pub struct Export<P>(RefCell<P>);

impl<P: Partitioner + 'static> exported::Guest for Export<P> {
    type Partitioner = Export<P>;
}

impl<P: Partitioner + 'static> exported::GuestPartitioner for Export<P> {
    fn new(config: Config) -> Result<Self, String> {
        crate::log::report_panics();
        P::new(&config).map(|plugin| Export(RefCell::new(plugin)))
    }

    fn needs(&self) -> Columns {
        self.0.borrow().needs()
    }

    fn assign(&self, batch: Batch, layout: Layout) -> Result<Vec<u32>, String> {
        self.0.borrow_mut().assign(&batch, &layout)
    }

    fn keyless(&self, count: u32, layout: Layout) -> Option<u32> {
        self.0.borrow_mut().keyless(count, &layout)
    }
}

/// Makes a type that implements [`Partitioner`](crate::Partitioner) the plugin of this crate, and
/// writes the crate's name and version into the module.
#[macro_export]
macro_rules! export_partitioner {
    ($plugin:ty) => {
        $crate::__export_plugin!(
            $plugin,
            $crate::Partitioner,
            __PartitionerExport,
            partitioner_plugin,
            __export_partitioner
        );
    };
}
