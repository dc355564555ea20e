//! Samples of the methods that deploy, watch and try plugins. Between them they set every field there
//! is, so that the page's tables of fields can be held against them.

use std::collections::BTreeMap;

use broker_model::{Offset, PartitionId, Timestamp};
use broker_protocol::api::deploy_plugin::DeployPluginRequest;
use broker_protocol::api::dry_run_plugin::{DryRunPluginRequest, DryRunPluginResponse};
use broker_protocol::api::dry_run_status::{
    CompactionPartition, CompactionReport, DryRunReport, DryRunState, DryRunStatusRequest,
    DryRunStatusResponse, HotKey, PartitionerReport, RefusalReason, RetentionPartition,
    RetentionReport, SampleKey, SerializerReport,
};
use broker_protocol::api::plugin_history::{
    PluginHistoryRequest, PluginHistoryResponse, PluginRevision,
};
use broker_protocol::api::plugin_logs::{PluginLogLine, PluginLogsRequest, PluginLogsResponse};
use broker_protocol::api::plugin_module::{PluginModuleRequest, PluginModuleResponse};
use broker_protocol::api::remove_plugin::{RemovePluginRequest, RemovePluginResponse};
use broker_protocol::api::resume_plugin::{ResumePluginRequest, ResumePluginResponse};
use broker_protocol::api::rollback_plugin::RollbackPluginRequest;
use broker_protocol::{DeployedRevision, ErrorCode, LimitOverrides, WireError};
use bytes::Bytes;

use crate::samples::{NOW, TOPIC};
use crate::samples_admin::DIGEST;
use crate::vectors::Vector;

/// What every module begins with.
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// Every vector of these methods.
pub(crate) fn all() -> Vec<Vector> {
    let mut vectors = deployment();
    vectors.extend(history());
    vectors.extend(watching());
    vectors.extend(dry_run());
    vectors.extend(reports());
    vectors
}

/// Samples that only show further fields; the page does not print them.
pub(crate) fn hidden() -> Vec<Vector> {
    let deploy = DeployPluginRequest {
        name: "tenant".to_owned(),
        module: Bytes::from_static(MODULE),
        fallback: Some("key-hash".to_owned()),
        limits: every_limit(),
        ..DeployPluginRequest::default()
    };
    let installed = DryRunPluginRequest {
        topic: TOPIC.to_owned(),
        plugin: Some("json".to_owned()),
        ..DryRunPluginRequest::default()
    };
    let failed = DryRunStatusResponse {
        state: DryRunState::Failed,
        error: Some(WireError::new(ErrorCode::PluginTrapped, "unreachable")),
        ..DryRunStatusResponse::default()
    };
    vec![
        Vector::request(1, "hidden", &deploy),
        Vector::request(2, "hidden", &installed),
        Vector::response::<DryRunStatusRequest>(3, "hidden", &failed),
    ]
}

fn every_limit() -> LimitOverrides {
    LimitOverrides {
        deadline_ms: Some(10),
        memory_bytes: Some(32 << 20),
        output_bytes: Some(1 << 20),
        budget_ms: Some(60_000),
    }
}

fn option() -> BTreeMap<String, String> {
    [("strict".to_owned(), "true".to_owned())].into()
}

fn deployed(revision: u32) -> DeployedRevision {
    DeployedRevision {
        name: "invoice".to_owned(),
        kind: "serializer".to_owned(),
        version: "1.1.0".to_owned(),
        digest: DIGEST.to_owned(),
        revision,
        size_bytes: 71_204,
        unchanged: false,
        topics: vec![TOPIC.to_owned()],
        warnings: Vec::new(),
    }
}

fn deployment() -> Vec<Vector> {
    let deploy = DeployPluginRequest {
        name: "invoice".to_owned(),
        module: Bytes::from_static(MODULE),
        kind: Some("serializer".to_owned()),
        options: option(),
        limits: LimitOverrides {
            deadline_ms: Some(10),
            ..LimitOverrides::default()
        },
        fallback: None,
        validate_only: false,
    };
    let rollback = RollbackPluginRequest {
        name: "invoice".to_owned(),
        revision: Some(1),
    };
    let remove = RemovePluginRequest {
        name: "invoice".to_owned(),
    };
    let resume = ResumePluginRequest {
        name: "invoice".to_owned(),
    };
    let resumed = ResumePluginResponse {
        was_suspended: true,
    };
    vec![
        Vector::request(50, "", &deploy),
        Vector::response::<DeployPluginRequest>(50, "", &deployed(2)),
        Vector::request(51, "", &rollback),
        Vector::response::<RollbackPluginRequest>(51, "", &deployed(3)),
        Vector::request(52, "", &remove),
        Vector::response::<RemovePluginRequest>(52, "", &RemovePluginResponse {}),
        Vector::request(53, "", &resume),
        Vector::response::<ResumePluginRequest>(53, "", &resumed),
    ]
}

fn history() -> Vec<Vector> {
    let first = PluginRevision {
        revision: 1,
        kind: "partitioner".to_owned(),
        version: "1.0.0".to_owned(),
        digest: DIGEST.to_owned(),
        size_bytes: 70_100,
        options: option(),
        limits: every_limit(),
        fallback: Some("key-hash".to_owned()),
        at_ms: NOW,
        from: "deploy".to_owned(),
        rollback_to: None,
    };
    let again = PluginRevision {
        revision: 2,
        limits: LimitOverrides::default(),
        fallback: None,
        from: "rollback".to_owned(),
        rollback_to: Some(1),
        ..first.clone()
    };
    let ask = PluginHistoryRequest {
        name: "tenant".to_owned(),
    };
    let answer = PluginHistoryResponse {
        revisions: vec![first, again],
        removed_at_ms: Some(NOW),
    };
    let module = PluginModuleRequest {
        digest: DIGEST.to_owned(),
    };
    let found = PluginModuleResponse {
        module: Bytes::from_static(MODULE),
    };
    vec![
        Vector::request(54, "", &ask),
        Vector::response::<PluginHistoryRequest>(54, "", &answer),
        Vector::request(55, "", &module),
        Vector::response::<PluginModuleRequest>(55, "", &found),
    ]
}

fn watching() -> Vec<Vector> {
    let ask = PluginLogsRequest {
        after: 40,
        ..PluginLogsRequest::new("invoice")
    };
    let line = PluginLogLine {
        sequence: 43,
        at_ms: NOW,
        level: "warn".to_owned(),
        topic: TOPIC.to_owned(),
        message: "an invoice without a total".to_owned(),
    };
    let answer = PluginLogsResponse {
        lines: vec![line],
        next: 43,
        dropped: Some(2),
    };
    vec![
        Vector::request(56, "", &ask),
        Vector::response::<PluginLogsRequest>(56, "", &answer),
    ]
}

fn dry_run() -> Vec<Vector> {
    let start = DryRunPluginRequest {
        topic: TOPIC.to_owned(),
        module: Some(Bytes::from_static(MODULE)),
        plugin: None,
        slot: Some("value.serializer".to_owned()),
        options: option(),
        last: Some(10_000),
        sample: Some(5),
    };
    let started = DryRunPluginResponse {
        run: "7".to_owned(),
        kind: "serializer".to_owned(),
        slot: "value.serializer".to_owned(),
    };
    let ask = DryRunStatusRequest {
        run: "7".to_owned(),
        cancel: false,
    };
    let running = DryRunStatusResponse {
        state: DryRunState::Running,
        done: 4_096,
        total: 10_000,
        unit: "records".to_owned(),
        error: None,
        report: None,
    };
    vec![
        Vector::request(57, "", &start),
        Vector::response::<DryRunPluginRequest>(57, "", &started),
        Vector::request(58, "", &ask),
        Vector::response::<DryRunStatusRequest>(58, "still running", &running),
    ]
}

fn done(unit: &str, total: u64, report: DryRunReport) -> DryRunStatusResponse {
    DryRunStatusResponse {
        state: DryRunState::Done,
        done: total,
        total,
        unit: unit.to_owned(),
        error: None,
        report: Some(report),
    }
}

fn key() -> Option<Bytes> {
    Some(Bytes::from_static(b"user-17"))
}

fn reports() -> Vec<Vector> {
    let partitioner = DryRunReport {
        partitioner: Some(PartitionerReport {
            records: 1_002,
            moved: 410,
            before: vec![300, 402, 300],
            after: vec![334, 334, 334],
            hottest: vec![HotKey {
                key: key(),
                records: 102,
                before: PartitionId::new(1),
                after: PartitionId::new(2),
            }],
        }),
        ..DryRunReport::default()
    };
    let serializer = DryRunReport {
        serializer: Some(SerializerReport {
            records: 1_002,
            refused: 1,
            reasons: vec![RefusalReason {
                reason: "there is no total".to_owned(),
                records: 1,
                partition: PartitionId::new(2),
                offset: Offset::new(1_001),
                key: None,
            }],
        }),
        ..DryRunReport::default()
    };
    let retention = DryRunReport {
        retention: Some(retention()),
        ..DryRunReport::default()
    };
    let compaction = DryRunReport {
        compaction: Some(compaction()),
        ..DryRunReport::default()
    };
    let response = |id, variant, unit, total, report| {
        let response = done(unit, total, report);
        Vector::response::<DryRunStatusRequest>(id, variant, &response)
    };
    vec![
        response(59, "of a partitioner", "records", 1_002, partitioner),
        response(60, "of a serializer", "records", 1_002, serializer),
        response(61, "of a retention policy", "segments", 4, retention),
        response(62, "of a compaction policy", "bytes", 262_144, compaction),
    ]
}

fn earlier() -> Timestamp {
    Timestamp::from_millis(NOW.as_millis() - 86_400_000)
}

fn retention() -> RetentionReport {
    RetentionReport {
        segments: 2,
        records: 900,
        bytes: 120_000,
        partitions: vec![RetentionPartition {
            partition: PartitionId::new(2),
            segments: 2,
            records: 900,
            bytes: 120_000,
            new_start: Offset::new(900),
            oldest_ms: Some(earlier()),
            newest_ms: Some(NOW),
        }],
    }
}

fn compaction() -> CompactionReport {
    CompactionReport {
        records: 1_002,
        removed_records: 900,
        bytes_before: 131_072,
        bytes_after: 12_288,
        tombstones_removed: 3,
        oldest_ms: Some(earlier()),
        newest_ms: Some(NOW),
        segments_before: 4,
        segments_after: 1,
        sample: vec![SampleKey {
            partition: PartitionId::new(2),
            offset: Offset::new(17),
            key: key(),
        }],
        partitions: vec![CompactionPartition {
            partition: PartitionId::new(2),
            records: 1_002,
            removed_records: 900,
            bytes_before: 131_072,
            bytes_after: 12_288,
            tombstones_removed: 3,
            segments_before: 4,
            segments_after: 1,
            cleaned_to: Offset::new(1_002),
        }],
    }
}
