//! `produce`: appends records to a partition, or lets the topic's partitioner choose partitions.
//! Two forms: `records`, a MessagePack array that the broker stores as it is, and `body`, bytes
//! encoded and possibly compressed by the client, with what they hold stated beside them.

mod request;
mod response;
mod routed_together;
mod value_records;

#[cfg(test)]
mod tests;

pub(crate) use request::read_topic_id;
pub use request::{Acks, OpaqueBody, Partial, Payload, ProduceRequest, ProducerFields};
pub use response::{Appended, ProduceResponse, RecordErrors, Routed};
pub use routed_together::RoutedTogether;
pub use value_records::{ValueRecords, split_records};
