//! `dry_run_status`: how far a dry run is, and its report once it is done. Can cancel it as well.

mod report;

use serde::{Deserialize, Serialize};

pub use report::{
    CompactionPartition, CompactionReport, DryRunReport, HotKey, PartitionerReport, RefusalReason,
    RetentionPartition, RetentionReport, SampleKey, SerializerReport,
};

use crate::call::plain_call;
use crate::wire_error::WireError;

/// Arguments of `dry_run_status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DryRunStatusRequest {
    /// The run, as `dry_run_plugin` named it.
    pub run: String,
    /// Whether to end it. Default false.
    #[serde(default)]
    pub cancel: bool,
}

/// Result of `dry_run_status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DryRunStatusResponse {
    /// How it stands.
    pub state: DryRunState,
    /// How much is done.
    pub done: u64,
    /// Of how much.
    pub total: u64,
    /// What is counted: `records`, `bytes` or `segments`.
    pub unit: String,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<WireError>,
    /// What came out; with `done` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<DryRunReport>,
}

/// How a dry run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DryRunState {
    /// It is under way.
    #[default]
    Running,
    /// There is a report.
    Done,
    /// There is an error.
    Failed,
    /// Somebody ended it.
    Cancelled,
}

impl DryRunState {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

plain_call!(DryRunStatus, DryRunStatusRequest => DryRunStatusResponse);
