//! `Report`: the outcome of a run, with everything it depends on beside the figures.

use std::time::Duration;

use serde::Serialize;

use super::latency::{Latency, Recorder};
use super::reference::Reference;
use super::schedule::Schedule;
use crate::output::{bytes, number, per_second};

/// What was run.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Setting {
    /// `produce`, `consume` or `e2e`.
    pub(super) bench: &'static str,
    pub(super) topic: String,
    pub(super) broker_version: String,
    pub(super) partitions: u32,
    pub(super) flush_mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) acks: Option<&'static str>,
    pub(super) record_bytes: usize,
    pub(super) records_per_batch: u32,
    pub(super) compression: &'static str,
    /// How batches travel: opaque, plain, or batch for a fetch.
    pub(super) form: &'static str,
    /// Whether the partitioner plugin chose the partitions.
    pub(super) routed: bool,
    pub(super) connections: u32,
    pub(super) in_flight: u32,
    pub(super) threads: usize,
    /// Records a second of an open loop; a closed loop has none.
    pub(super) target_records_per_second: Option<f64>,
    /// What a latency is the time of.
    pub(super) latency_of: &'static str,
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    pub(super) setting: Setting,
    warm_up_seconds: f64,
    seconds: f64,
    records: u64,
    payload_bytes: u64,
    pub(super) records_per_second: f64,
    pub(super) mib_per_second: f64,
    pub(super) latency_us: Latency,
    pub(super) reference: Reference,
}

const MIB: f64 = 1024.0 * 1024.0;

impl Report {
    pub(super) fn new(
        setting: Setting,
        schedule: &Schedule,
        recorder: &Recorder,
        reference: Reference,
    ) -> Self {
        let measured: Duration = recorder.measured_since(schedule.warm_until());
        Self {
            setting,
            warm_up_seconds: schedule.warm_up().as_secs_f64(),
            seconds: measured.as_secs_f64(),
            records: recorder.records,
            payload_bytes: recorder.payload_bytes,
            records_per_second: per_second(recorder.records, measured),
            mib_per_second: per_second(recorder.payload_bytes, measured) / MIB,
            latency_us: recorder.latency(),
            reference,
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let Setting {
            bench,
            record_bytes,
            records_per_batch,
            compression,
            form,
            ..
        } = &self.setting;
        let acks = self
            .setting
            .acks
            .map_or(String::new(), |acks| format!("acks {acks}, "));
        let routed = if self.setting.routed {
            ", partitioner plugin"
        } else {
            ""
        };
        let rate = match self.setting.target_records_per_second {
            Some(rate) => format!("open loop at {rate:.0} records/s"),
            None => "closed loop".to_owned(),
        };
        format!(
            "{bench}: {} records × {records_per_batch} a batch, compression {compression}, {form}{routed}\n  \
             {acks}flush.mode {}, {} partition(s), {} connection(s) × {} in flight, {} thread(s), {rate}\n  \
             {:.0} records/s   {:.1} MiB/s   ({} records in {:.2} s after {:.2} s of warm-up)\n  \
             latency of {}: {}\n  \
             reference: loopback p50 {:.0} µs p99 {:.0} µs, ping to the broker p50 {:.0} µs p99 {:.0} µs\n",
            bytes(*record_bytes as u64),
            self.setting.flush_mode,
            self.setting.partitions,
            self.setting.connections,
            self.setting.in_flight,
            self.setting.threads,
            self.records_per_second,
            self.mib_per_second,
            number(self.records),
            self.seconds,
            self.warm_up_seconds,
            self.setting.latency_of,
            self.latency_us.text(),
            self.reference.loopback_us.p50,
            self.reference.loopback_us.p99,
            self.reference.broker_ping_us.p50,
            self.reference.broker_ping_us.p99,
        )
    }
}
