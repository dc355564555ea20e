//! Scrubbing: reading what is stored to find damage before its readers do. Works on what a log hands
//! out ([`Log::scrub_targets`](crate::Log::scrub_targets)), on handles of its own and beside everything
//! else; what it finds goes back to the log ([`Log::on_scrubbed`](crate::Log::on_scrubbed)). It changes
//! nothing itself, and how quickly it goes is up to a [`Pace`](crate::Pace).

mod from_disk;
mod target;

pub use target::{ScrubFailed, ScrubFound, ScrubTarget, Scrubbed};
