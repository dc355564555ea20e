//! Compaction: sealed segments below the high watermark are written again without the records that a
//! policy gives up. Offsets are kept, the active segment and the recovery point never touched. A
//! [`Cleaning`] runs on any thread, in two passes, and writes `.cleaned` files; the log puts them in
//! place in one step (`swap`). Until then the log is as it was, and whatever fails leaves it so.
//! Batches always follow each other without a gap: offsets of batches that went are covered by the
//! batch in front of them or by one without records, so that a gap is damage, as everywhere.

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
pub use policy::{CompactionPolicy, CompactionSettings, ObserveScope};
pub use state::{CleaningState, DueReason};

pub(crate) use cleaned::Place;
pub(crate) use cleaned_files::CLEANED;
pub(crate) use cleaned_writer::OutputLimits;
pub(crate) use cleaning::{CleaningPlan, SegmentSource, Surroundings};
pub(crate) use swap::{SwapJournal, finish_interrupted};
pub(crate) use under_way::{CleaningToken, UnderWay};
