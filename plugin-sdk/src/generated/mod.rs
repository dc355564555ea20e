//! Bindings generated from `wit/plugin.wit`, committed so that a plugin builds in seconds.
//!
//! Never edit them. To make them again after a change of the WIT, from the root of the repository:
//! `cargo install wit-bindgen-cli@0.61.1 && wit-bindgen rust plugin-sdk/wit --world partitioner-plugin
//! --format --pub-export-macro --export-macro-name __export_partitioner
//! --default-bindings-module plugin_sdk::generated::partitioner_plugin --out-dir plugin-sdk/src/generated`,
//! then set [`WIT_FINGERPRINT`] to what the test in this file asks for.

// The generator's code, not ours: it is documented in the WIT and checked by the host at load.
#[allow(
    missing_docs,
    unsafe_code,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::too_many_arguments,
    clippy::unwrap_used
)]
#[rustfmt::skip]
pub mod partitioner_plugin;

/// FNV-1a of the `plugin.wit` that the bindings were generated from.
pub const WIT_FINGERPRINT: u64 = 0xd548_f1c9_d260_3863;

#[cfg(test)]
mod tests {
    use super::WIT_FINGERPRINT;

    fn fnv1a(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    #[test]
    fn the_bindings_were_generated_from_this_wit() {
        let found = fnv1a(include_bytes!("../../wit/plugin.wit"));
        assert_eq!(
            found, WIT_FINGERPRINT,
            "plugin.wit changed: generate the bindings again (see the head of src/generated/mod.rs) \
             and set WIT_FINGERPRINT to {found:#018x}"
        );
    }
}
