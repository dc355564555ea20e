//! The broker actor: parent of the partitions and of the controller. It turns committed metadata into
//! running partitions, starts again what panicked, and drives retention and checkpoints. Nobody but
//! the controller and its own children sends to it; its mailbox holds `limits::BROKER_MAILBOX`.

mod actor;
mod checkpointing;
mod deleting;
mod handle;
mod hanging;
mod hosting;
mod messages;
mod opening;
mod reopening;
mod restarts;
mod stopping;
mod vanishing;

pub(crate) use actor::BrokerActor;
pub(crate) use handle::{BrokerError, BrokerHandle};
pub(crate) use hanging::{hanging, is_slow, unless_it_hangs, watch};
pub(crate) use hosting::Hosting;
pub(crate) use opening::Openings;
