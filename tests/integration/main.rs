//! Black-box tests: a real broker process, seen over the wire, through the command line, in its data
//! directory and its log, and by killing it. One file per theme; `harness` has what they are written
//! with. Each test starts brokers of its own, so all run beside each other.

mod bad_batches;
mod bad_input;
mod codecs;
mod fetching;
mod harness;
mod records;
mod topics;
