//! Black-box tests: a real broker process, seen over the wire, through the command line, in its data
//! directory and its log, and by killing it. One file per theme; `harness` has what they are written
//! with. Each test starts brokers of its own, so all run beside each other.

#![allow(
    clippy::unwrap_used,
    reason = "what a test shares with others may fail as a test may"
)]

mod bad_batches;
mod bad_input;
mod bombs;
mod clients;
mod clock;
mod codecs;
mod command_line;
mod compaction;
mod crashes;
mod damage;
mod deploy;
mod dry_run;
mod dry_run_effects;
mod erasure;
mod failing_policies;
mod fetching;
mod few_descriptors;
mod floods;
mod full_disk;
mod hanging_disks;
mod harness;
mod hostile_plugins;
mod io_faults;
mod lost_files;
mod lost_modules;
mod many_partitions;
mod memory;
mod missing_disks;
mod moving;
mod neighbours;
mod offline;
mod overload;
mod permissions;
mod plugins;
mod power_cuts;
mod readme;
mod records;
mod refused_deployments;
mod refused_starts;
mod retention;
mod retention_plugins;
mod scrub;
mod segments;
mod serializers;
mod shutdown;
mod slow_clients;
mod slow_disks;
mod slow_syncs;
mod stuck_threads;
mod supervision;
mod suspension;
mod topics;
mod vanishing;
