//! Sockets: reading frames within a budget, writing answers, accepting connections. Nothing in here
//! knows a method.

pub(crate) mod answer;
pub(crate) mod answer_budget;
pub(crate) mod answer_writer;
pub(crate) mod apart;
mod begun_frame;
mod breaths;
pub(crate) mod budget;
mod busy_poll;
pub(crate) mod ceiling;
pub(crate) mod changes;
pub(crate) mod frame_reader;
mod held;
pub(crate) mod lane;
mod line;
pub(crate) mod list_requests;
pub(crate) mod listener;
mod read_error;
pub(crate) mod reading_pace;
pub(crate) mod routing;
pub(crate) mod standing;
mod turns;
pub(crate) mod unfolding;
mod unwanted;
pub(crate) mod waits;

pub(crate) use answer::{Answer, AnswerSink, Answers};
pub(crate) use answer_budget::{AnswerBudget, AnswerMemory, AnswersFull};
pub(crate) use begun_frame::Patience;
pub(crate) use budget::{ConnectionBudget, RequestBudget};
pub(crate) use busy_poll::BusyPolls;
pub(crate) use frame_reader::FrameReader;
pub(crate) use read_error::ReadError;
pub(crate) use standing::InFlight;
