//! The client against fake brokers that answer late, out of order, wrongly, or not at all.

// Helpers of tests may unwrap as tests do.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod cluster;
mod connection;
mod consumer;
mod consumer_faults;
mod fake;
mod producer;
mod producer_faults;
mod typed;
