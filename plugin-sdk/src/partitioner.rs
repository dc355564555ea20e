//! The partitioner kind: decides which partition each record of a batch goes to, before the batch is
//! split and appended. [`export_partitioner!`](crate::export_partitioner) makes a type the plugin.

use std::cell::RefCell;

use crate::generated::partitioner_plugin::exports::broker::plugin::partitioner as exported;
use crate::{Batch, Columns, Config, Layout};

/// A partitioner plugin. One instance serves one topic on one thread of a broker and may be dropped
/// and made again at any time, so an answer may depend only on the arguments and the configuration.
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

    /// Answers one partition for each record of the batch, each below `layout.partitions`.
    ///
    /// # Errors
    /// The whole batch is refused and the producer sees the text (its first 256 bytes).
    fn assign(&mut self, batch: &Batch, layout: &Layout) -> Result<Vec<u32>, String>;
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
}

/// Makes a type that implements [`Partitioner`](crate::Partitioner) the plugin of this crate, and
/// writes the crate's name and version into the module.
#[macro_export]
macro_rules! export_partitioner {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, missing_docs, unreachable_pub)]
        const _: () = {
            type Exported = $crate::__PartitionerExport<$plugin>;
            $crate::generated::partitioner_plugin::__export_partitioner!(
                Exported with_types_in $crate::generated::partitioner_plugin
            );
            $crate::__plugin_identity!();
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || {
            fn is_partitioner<P: $crate::Partitioner>() {}
            is_partitioner::<$plugin>();
        };
    };
}

/// Puts `name NUL version` of the calling crate into the custom section `broker-plugin`.
#[doc(hidden)]
#[macro_export]
macro_rules! __plugin_identity {
    () => {
        #[used]
        #[unsafe(link_section = "broker-plugin")]
        static IDENTITY: [u8; __IDENTITY_TEXT.len()] = {
            let mut bytes = [0; __IDENTITY_TEXT.len()];
            bytes.copy_from_slice(__IDENTITY_TEXT.as_bytes());
            bytes
        };
        const __IDENTITY_TEXT: &str = ::core::concat!(
            ::core::env!("CARGO_PKG_NAME"),
            "\0",
            ::core::env!("CARGO_PKG_VERSION")
        );
    };
}
