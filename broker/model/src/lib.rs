//! The words every other crate speaks: ids, offsets, epochs, times, sizes and the table of limits.
//!
//! Newtypes stand at every border, so that an epoch cannot be passed as an offset. Nothing in here
//! does I/O, knows async, or says how a value looks on the wire.
//!
//! ```
//! use broker_model::{Offset, PartitionId, TopicName, TopicPartition};
//!
//! let orders = TopicPartition::new(TopicName::new("shop.orders")?, PartitionId::new(3));
//! assert_eq!(orders.to_string(), "shop.orders-3");
//! assert_eq!(Offset::new(41).next(), Offset::new(42));
//! # Ok::<(), broker_model::InvalidTopicName>(())
//! ```

pub mod clock;
pub mod id;
pub mod limits;
pub mod occasional;
pub mod offset;
pub mod quantity;
pub mod steady_clock;
pub mod topic_name;
pub mod topic_partition;

pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use id::{BrokerId, LeaderEpoch, PartitionId, TopicId};
pub use occasional::Occasional;
pub use offset::Offset;
pub use quantity::{InvalidQuantity, parse_bytes, parse_duration};
pub use steady_clock::{ClockJump, SteadyClock};
pub use topic_name::{InvalidTopicName, TopicName};
pub use topic_partition::TopicPartition;
