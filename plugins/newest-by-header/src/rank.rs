//! The rank of a record among those of its key.

use plugin_sdk::Batch;

use crate::version::{Order, Version};

/// What decides between two records of a key: the version, then the offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    version: Option<Version>,
    offset: u64,
}

/// Each record of a batch: its key and its rank.
pub(crate) fn ranked<'a>(
    header: &'a str,
    order: Order,
    batch: &'a Batch,
) -> impl Iterator<Item = (Option<&'a [u8]>, Rank)> {
    let versions = batch
        .header_values(header)
        .map(move |value| order.read(value??));
    let records = batch.keys().zip(batch.offsets()).zip(versions);
    records.map(|((key, offset), version)| (key, Rank { version, offset }))
}
