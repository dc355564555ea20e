//! Bindings generated from `wit/plugin.wit`, committed so that a plugin builds in seconds: one file per
//! world. The types that the worlds share are generated once, with the partitioner's, and the other
//! worlds refer to them, so that a batch is one type for every kind.
//!
//! Never edit them. To make them again after a change of the WIT, run `sh plugin-sdk/wit/generate.sh`,
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
pub mod compaction_plugin;

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
pub mod retention_plugin;

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
pub mod serializer_plugin;

/// FNV-1a of the `plugin.wit` that the bindings were generated from.
pub const WIT_FINGERPRINT: u64 = 0x2e27_ac9e_1c0e_df8f;

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
