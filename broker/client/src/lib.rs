//! A client of the broker: async, on tokio, pure Rust.
//!
//! - [`Client`] knows the cluster: brokers, leaders, one connection each.
//! - [`Producer`] gathers records into batches and sends them in order.
//! - [`Consumer`] is a stream of records, fetched ahead.
//! - [`Admin`] creates, changes and looks.
//! - [`Connection`] is what lies below: pipelined requests over one socket.
//!
//! Works on a current-thread runtime as well as on a multi-threaded one; all futures are `Send`.
//! The runtime needs I/O and time enabled.
//!
//! ```no_run
//! use broker_client::{Client, Consumer, Producer, ProducerRecord, StartAt};
//!
//! # async fn example() -> Result<(), broker_client::ClientError> {
//! let client = Client::connect("127.0.0.1:7420").await?;
//!
//! let producer = Producer::builder(&client).build()?;
//! let sent = producer.send(ProducerRecord::new("orders").key("user-7").value("hello")).await?;
//! println!("partition {} offset {:?}", sent.partition, sent.offset);
//! producer.close().await?;
//!
//! let mut consumer = Consumer::builder(&client)
//!     .topic("orders")
//!     .start(StartAt::Earliest)
//!     .stop_at_end()
//!     .build()
//!     .await?;
//! while let Some(record) = consumer.next().await {
//!     let record = record?;
//!     println!("{}: {:?}", record.offset, record.value);
//! }
//! # Ok(())
//! # }
//! ```

mod admin;
mod cluster;
mod connection;
mod consumer;
mod error;
mod plugin_admin;
mod producer;

pub use broker_model as model;
pub use broker_protocol as protocol;
pub use broker_record::Codec;

pub use self::admin::{Admin, CreateTopic};
pub use self::cluster::{
    BackoffBounds, Bootstrap, Client, ClientOptions, DEFAULT_PORT, Leader, PartitionView, Retries,
    TopicView,
};
pub use self::connection::{Answered, Connection, ConnectionOptions, RawArgs, Submitted};
pub use self::consumer::{
    Consumer, ConsumerBuilder, ConsumerRecord, FieldError, FieldErrors, OffsetReset, ResetPolicy,
    StartAt,
};
pub use self::error::{Call, ClientError, Outcome};
pub use self::plugin_admin::DeployPlugin;
pub use self::producer::{
    Acks, Delivery, Header, Partial, Producer, ProducerBuilder, ProducerRecord, RecordMetadata,
};
