//! Who a plugin is: `name NUL version` of its crate in the module's custom section `broker-plugin`. Every
//! export macro writes it; the broker shows it and compares it with what the manifest says.

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

/// What every export macro does: the exports for wasm, the check of the trait elsewhere.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_plugin {
    ($plugin:ty, $trait:path, $carrier:ident, $world:ident, $export:ident) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, missing_docs, unreachable_pub)]
        const _: () = {
            type Exported = $crate::$carrier<$plugin>;
            $crate::generated::$world::$export!(
                Exported with_types_in $crate::generated::$world
            );
            $crate::__plugin_identity!();
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || {
            fn is_a_plugin<P: $trait>() {}
            is_a_plugin::<$plugin>();
        };
    };
}
