//! Compaction: sealed segments below the high watermark are written again without the records that
//! a policy gives up. Offsets are kept, the active segment and the recovery point never touched.
//!
//! [`Log::begin_cleaning`](crate::Log::begin_cleaning) makes a [`Cleaning`], which owns what it reads
//! and runs on any thread: a first pass shows the policy what was not cleaned before, a second one
//! asks it about everything and writes `.cleaned` files.
//! [`Log::finish_cleaning`](crate::Log::finish_cleaning) puts them in place in one step: a journal
//! that is durable first, then renames, which recovery carries on with wherever they were
//! interrupted. Until then the log is as it was, and whatever fails leaves it so.
//!
//! A batch that loses all its records leaves no trace of its own: the batch in front of it covers its
//! offsets, or a batch without records does. So the batches of a log always follow each other without
//! a gap, and a gap is always damage.

mod cleaned;
mod cleaned_files;
mod cleaned_writer;
mod cleaning;
mod error;
mod first_pass;
mod outcome;
mod pace;
mod policy;
mod run_reader;
mod second_pass;
mod state;
mod swap;
mod under_way;

pub use cleaned::Cleaned;
pub use cleaning::Cleaning;
pub use error::CleaningFailed;
pub use outcome::{CleaningOutcome, CleaningSummary, RemovedRecord};
pub use pace::{Pace, Throttle};
pub use policy::{CompactionPolicy, CompactionSettings};
pub use state::{CleaningState, DueReason};

pub(crate) use cleaned::Place;
pub(crate) use cleaned_files::CLEANED;
pub(crate) use cleaned_writer::OutputLimits;
pub(crate) use cleaning::{CleaningPlan, SegmentSource, Surroundings};
pub(crate) use swap::{SwapJournal, finish_interrupted};
pub(crate) use under_way::{CleaningToken, UnderWay};
