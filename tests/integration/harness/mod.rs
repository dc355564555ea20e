//! What the tests are written with: a broker process that one owns, a client that speaks the protocol
//! byte by byte, records as one sees them from outside, plugin modules built on the spot.

mod broker;
mod clock_shift;
mod faulty_disks;
mod flooding;
mod guests;
mod ledger;
mod log_check;
mod opaque;
mod plugin_calls;
mod power_cut;
mod preload;
mod python;
mod record;
mod small_disk;
mod value;
mod waiting;
mod wire;

pub(crate) use broker::{Broker, Setup, broker_command};
pub(crate) use clock_shift::ClockShift;
pub(crate) use faulty_disks::FaultyDisks;
pub(crate) use flooding::{COMPARISONS, Flooded, counted, is_massive};
pub(crate) use guests::{
    custom_partitioner, hostile_module, hostile_sister, sha256_of, shipped_module,
};
pub(crate) use ledger::{Acknowledged, Ledger, produce_alone, produce_until_killed};
pub(crate) use opaque::{crc32, opaque, opaque_body, pack};
pub(crate) use plugin_calls::{DryRun, config_of, digest_of};
pub(crate) use power_cut::{PowerCut, Survival};
pub(crate) use python::{output_of, python};
pub(crate) use record::{Rec, keyed, plain, valued};
pub(crate) use small_disk::SmallDisk;
pub(crate) use value::{Value, map};
pub(crate) use waiting::{eventually, patience};
pub(crate) use wire::{Wire, WireError, frame, opens_late};
