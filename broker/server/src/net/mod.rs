//! Sockets: reading frames within a budget, writing answers, accepting connections. Nothing in here
//! knows a method.

pub(crate) mod answer;
pub(crate) mod answer_writer;
pub(crate) mod budget;
pub(crate) mod frame_reader;
pub(crate) mod listener;

pub(crate) use answer::{Answer, AnswerSink};
pub(crate) use budget::{
    AnswerBudget, AnswerMemory, AnswersFull, ConnectionBudget, InFlight, RequestBudget,
};
pub(crate) use frame_reader::{FrameReader, ReadError};
