//! From what went wrong inside to what the client is told: one function per kind of error, so that a
//! code, its flags and its facts are decided in one place.

use broker_cluster::{
    AlterTopicError, CreatePartitionsError, CreateTopicError, DeployPluginError, InvalidConfig,
    RemovePluginError,
};
use broker_model::limits::PLUGIN_BATCH_RECORDS_MAX;
use broker_model::{PartitionId, TopicId};
use broker_protocol::{ErrorCode, ErrorData, WireError};
use broker_record::InvalidBatch;
use broker_storage::LowSpace;
use broker_wasm::{PluginError, PluginErrorKind};

use crate::controller::ControllerError;
use crate::partition::PartitionError;
use crate::plugins::{DeployError, Fault, FaultKind, SlotError};

/// Errors of a partition. Whether a failed write is definite is told by the variant.
pub(super) fn partition_error(
    topic: &str,
    partition: PartitionId,
    error: PartitionError,
) -> WireError {
    let (code, definite) = partition_code(&error);
    let message = format!("partition {topic}-{partition}: {error}");
    let mut wire = WireError::new(code, message);
    wire.definite = definite;
    // There is no other replica that could take over, and this one waits for an operator.
    if matches!(error, PartitionError::Offline { .. }) {
        wire.retriable = false;
    }
    // It goes on by itself, unlike what else the code stands for.
    if matches!(error, PartitionError::NotPermitted { .. }) {
        wire.retriable = true;
    }
    wire.with_data(ErrorData {
        topic: Some(topic.to_owned()),
        partition: Some(partition),
        ..partition_facts(error)
    })
}

/// The code, and whether the request certainly had no effect.
fn partition_code(error: &PartitionError) -> (ErrorCode, bool) {
    match error {
        PartitionError::Busy => (ErrorCode::Busy, true),
        PartitionError::Lost => (ErrorCode::ActorFailed, false),
        PartitionError::Offline { .. } | PartitionError::NotYet { .. } => {
            (ErrorCode::PartitionOffline, true)
        }
        PartitionError::Stopping => (ErrorCode::ShuttingDown, true),
        PartitionError::BatchTooLarge { .. } => (ErrorCode::MessageTooLarge, true),
        PartitionError::NotEnoughReplicas { .. } => (ErrorCode::NotEnoughReplicas, true),
        PartitionError::OffsetOutOfRange { .. } => (ErrorCode::OffsetOutOfRange, true),
        PartitionError::Corrupt { .. } => (ErrorCode::CorruptLog, true),
        PartitionError::WriteFailed { .. } => (ErrorCode::StorageFailed, true),
        PartitionError::WriteUncertain { .. } => (ErrorCode::StorageFailed, false),
        PartitionError::DiskFull { .. }
        | PartitionError::FileLimit { .. }
        | PartitionError::LowSpace(_) => (ErrorCode::DiskFull, true),
        PartitionError::NoDescriptor { .. } => (ErrorCode::Busy, true),
        PartitionError::NotPermitted { .. } => (ErrorCode::StorageFailed, true),
        PartitionError::ReadFailed { .. } => (ErrorCode::StorageFailed, true),
        PartitionError::TimedOut { .. } | PartitionError::Unanswered { .. } => {
            (ErrorCode::TimedOut, false)
        }
    }
}

fn partition_facts(error: PartitionError) -> ErrorData {
    let mut data = ErrorData::default();
    match error {
        PartitionError::BatchTooLarge { size, max } => {
            data.actual = Some(size as u64);
            data.limit = Some(u64::from(max));
        }
        PartitionError::LowSpace(LowSpace {
            dir, free, wanted, ..
        }) => {
            data.file = Some(dir.display().to_string());
            data.actual = Some(free);
            data.limit = Some(wanted);
        }
        PartitionError::NotEnoughReplicas { in_sync, required } => {
            data.actual = Some(u64::from(in_sync));
            data.expected = Some(u64::from(required));
        }
        PartitionError::OffsetOutOfRange {
            asked,
            earliest,
            latest,
        } => {
            data.offset = Some(asked);
            data.earliest = Some(earliest);
            data.latest = Some(latest);
        }
        PartitionError::Corrupt {
            file,
            position,
            offset,
            next_good,
            ..
        } => {
            data.file = Some(file.display().to_string());
            data.position = Some(position);
            data.offset = Some(offset);
            data.next_offset = next_good;
        }
        _ => {}
    }
    data
}

/// The same error, saying that nothing was done.
fn certainly(mut error: WireError) -> WireError {
    error.definite = true;
    error
}

/// A batch that was refused.
pub(super) fn invalid_batch(error: &InvalidBatch) -> WireError {
    let message = error.to_string();
    let mut data = ErrorData::default();
    let code = match error {
        InvalidBatch::BadChecksum { expected, actual } => {
            data.expected = Some(u64::from(*expected));
            data.actual = Some(u64::from(*actual));
            ErrorCode::CorruptBatch
        }
        InvalidBatch::CountMismatch { claimed, actual } => {
            data.expected = Some(u64::from(*claimed));
            data.actual = Some(u64::from(*actual));
            ErrorCode::InvalidBatch
        }
        InvalidBatch::Malformed {
            record, position, ..
        } => {
            data.record = *record;
            data.position = Some(*position as u64);
            if record.is_some() {
                ErrorCode::InvalidRecord
            } else {
                ErrorCode::InvalidBatch
            }
        }
        InvalidBatch::OffsetDelta { record, .. } => {
            data.record = Some(*record);
            ErrorCode::InvalidRecord
        }
        InvalidBatch::UnsupportedCodec(_) => ErrorCode::UnsupportedCodec,
        InvalidBatch::TooLarge { bytes } => {
            data.actual = Some(*bytes as u64);
            ErrorCode::MessageTooLarge
        }
        InvalidBatch::TooManyForPlugins { records } => {
            data.actual = Some(u64::from(*records));
            data.limit = Some(u64::from(PLUGIN_BATCH_RECORDS_MAX));
            ErrorCode::InvalidBatch
        }
        InvalidBatch::Decompression(_)
        | InvalidBatch::Empty
        | InvalidBatch::TooManyRecords { .. }
        | InvalidBatch::TimestampMismatch { .. }
        | InvalidBatch::TrailingBytes { .. }
        | InvalidBatch::Producer { .. } => ErrorCode::InvalidBatch,
    };
    WireError::new(code, message).with_data(data)
}

/// A plugin that failed while a configuration was tried: another try would go the same way, unless it was its module
/// that was missing for now.
pub(super) fn trial_error(error: &SlotError) -> WireError {
    let wire = slot_error(error);
    match error {
        SlotError::NoModule { .. } => wire,
        _ => wire.with_retriable(false),
    }
}

/// A topic's plugin that could not do its work. Names the plugin, so that its owner is found.
pub(super) fn slot_error(error: &SlotError) -> WireError {
    let data = match error {
        SlotError::Plugin(error) => return plugin_error(error),
        SlotError::NotInstalled { plugin, meant } => ErrorData {
            plugin: Some(plugin.clone()),
            suggestion: meant.clone(),
            ..ErrorData::default()
        },
        SlotError::NoModule { plugin, passes, .. } => {
            let error = WireError::new(ErrorCode::UnknownPlugin, error.to_string());
            return error.with_retriable(*passes).with_data(ErrorData {
                plugin: Some(plugin.clone()),
                ..ErrorData::default()
            });
        }
        SlotError::Empty { .. } => ErrorData::default(),
        SlotError::KeyRefused(refused) => {
            let error = WireError::new(ErrorCode::RecordRefused, error.to_string());
            return error.with_data(ErrorData {
                record: Some(refused.index),
                plugin: refused.plugin.clone(),
                ..ErrorData::default()
            });
        }
        SlotError::WrongKind { plugin, kind, .. } => ErrorData {
            plugin: Some(plugin.clone()),
            plugin_kind: Some(kind.to_string()),
            ..ErrorData::default()
        },
    };
    WireError::new(ErrorCode::UnknownPlugin, error.to_string()).with_data(data)
}

/// The code that tells why a field could not be decoded.
pub(super) fn fault_code(fault: &Fault) -> ErrorCode {
    match &fault.kind {
        FaultKind::Refused => ErrorCode::PluginRejected,
        FaultKind::TooDeep => ErrorCode::NestingTooDeep,
        FaultKind::Failed(SlotError::Plugin(error)) => plugin_code(error.kind),
        FaultKind::Failed(_) => ErrorCode::UnknownPlugin,
    }
}

fn plugin_code(kind: PluginErrorKind) -> ErrorCode {
    match kind {
        PluginErrorKind::Timeout => ErrorCode::PluginTimeout,
        PluginErrorKind::Rejected => ErrorCode::PluginRejected,
        PluginErrorKind::InvalidAnswer => ErrorCode::PluginInvalidAnswer,
        PluginErrorKind::Trapped | PluginErrorKind::OutOfMemory => ErrorCode::PluginTrapped,
        PluginErrorKind::InvalidConfig => ErrorCode::InvalidConfig,
        PluginErrorKind::Suspended => ErrorCode::PluginSuspended,
        PluginErrorKind::OverBudget => ErrorCode::PluginOverBudget,
    }
}

/// A call of a plugin that gave no usable answer.
pub(super) fn plugin_error(error: &PluginError) -> WireError {
    let code = plugin_code(error.kind);
    let data = ErrorData {
        plugin: Some(error.plugin.clone()),
        plugin_version: Some(error.version.clone()),
        plugin_kind: Some(error.plugin_kind.to_string()),
        record: error.record,
        ..ErrorData::default()
    };
    let wire = WireError::new(code, error.to_string()).with_data(data);
    wire.with_retriable(error.retriable)
}

/// A module that cannot be deployed under a name.
pub(super) fn deploy_error(name: &str, error: &DeployError) -> WireError {
    let code = match error {
        DeployError::Slot(error) => return trial_error(error),
        DeployError::NameTaken { .. } | DeployError::NeededAsFallback { .. } => {
            ErrorCode::PluginInUse
        }
        DeployError::Fallback { .. } | DeployError::Limit(_) => ErrorCode::InvalidConfig,
        DeployError::Load(_) => ErrorCode::InvalidPlugin,
    };
    WireError::new(code, error.to_string()).with_data(ErrorData {
        plugin: Some(name.to_owned()),
        ..ErrorData::default()
    })
}

fn deploy_plugin_error(error: &DeployPluginError) -> WireError {
    WireError::new(ErrorCode::InvalidPlugin, error.to_string())
}

fn remove_plugin_error(error: &RemovePluginError) -> WireError {
    let (code, topics) = match error {
        RemovePluginError::InUse { topics, .. } => (ErrorCode::PluginInUse, topics.as_slice()),
        RemovePluginError::NotDeployed { .. } => (ErrorCode::UnknownPlugin, &[][..]),
    };
    WireError::new(code, error.to_string()).with_data(ErrorData {
        topics: topics.iter().map(ToString::to_string).collect(),
        ..ErrorData::default()
    })
}

/// A change of metadata that was not made, or perhaps not.
pub(super) fn controller_error(error: ControllerError) -> WireError {
    match error {
        ControllerError::Busy => WireError::new(
            ErrorCode::Busy,
            "the controller has too many requests waiting",
        ),
        ControllerError::Lost => WireError::new(
            ErrorCode::ActorFailed,
            "the controller crashed while it handled the request and is started again",
        ),
        ControllerError::Restarting => certainly(WireError::new(
            ErrorCode::ActorFailed,
            "the controller is being started again",
        )),
        ControllerError::Stopping => {
            WireError::new(ErrorCode::ShuttingDown, "the broker is stopping")
        }
        ControllerError::Offline { reason } => {
            let message = format!("metadata cannot be changed: {reason}");
            certainly(WireError::new(ErrorCode::StorageFailed, message))
        }
        ControllerError::NotYet { reason } => {
            let message = format!("metadata cannot be changed at the moment: {reason}");
            let mut wire = certainly(WireError::new(ErrorCode::StorageFailed, message));
            wire.retriable = true;
            wire
        }
        ControllerError::TooLarge { size, max } => WireError::new(
            ErrorCode::InvalidRequest,
            format!(
                "the change takes {size} bytes of metadata, with the options of every plugin that it binds to a topic; one change may take {max}: make the options smaller, or change fewer topics at once"
            ),
        ),
        ControllerError::NoRoom { reason } => WireError::new(ErrorCode::DiskFull, reason),
        ControllerError::Uncertain { reason } => WireError::new(
            ErrorCode::StorageFailed,
            format!("the change was written and may or may not survive: {reason}"),
        ),
        ControllerError::CreateTopic(error) => create_topic_error(error),
        ControllerError::AlterTopic(error) => alter_topic_error(error),
        ControllerError::CreatePartitions(error) => create_partitions_error(&error),
        ControllerError::DeployPlugin(error) => deploy_plugin_error(&error),
        ControllerError::RemovePlugin(error) => remove_plugin_error(&error),
    }
}

fn create_topic_error(error: CreateTopicError) -> WireError {
    let code = match error {
        CreateTopicError::InvalidConfig(invalid) => return invalid_config(&invalid),
        CreateTopicError::InvalidName(_) => ErrorCode::InvalidTopic,
        CreateTopicError::Reserved { .. } => ErrorCode::TopicReserved,
        CreateTopicError::Exists { .. } => ErrorCode::TopicAlreadyExists,
        CreateTopicError::Collides { .. } => ErrorCode::TopicNameCollision,
        CreateTopicError::InvalidPartitions { .. } => ErrorCode::InvalidPartitions,
        CreateTopicError::InvalidReplicationFactor { .. } => ErrorCode::InvalidReplicationFactor,
        CreateTopicError::InvalidAssignment(_) => ErrorCode::InvalidAssignment,
        CreateTopicError::InvalidBinding(_) => ErrorCode::InvalidRequest,
    };
    WireError::new(code, error.to_string())
}

/// The name is by now of another topic than the one that is asked for.
pub(super) fn other_topic(name: &str, id: TopicId, asked: TopicId) -> WireError {
    let message =
        format!("topic {name} has id {id}, not {asked}: it was deleted and created again");
    WireError::new(ErrorCode::TopicIdMismatch, message).with_data(ErrorData {
        topic: Some(name.to_owned()),
        topic_id: Some(id),
        ..ErrorData::default()
    })
}

fn alter_topic_error(error: AlterTopicError) -> WireError {
    let code = match error {
        AlterTopicError::OtherTopic { name, id, asked } => {
            return other_topic(name.as_str(), id, asked);
        }
        AlterTopicError::InvalidConfig(invalid) => return invalid_config(&invalid),
        AlterTopicError::UnknownTopic { .. } => ErrorCode::UnknownTopicOrPartition,
        AlterTopicError::Reserved { .. } => ErrorCode::TopicReserved,
        AlterTopicError::InvalidBinding(_) => ErrorCode::InvalidRequest,
    };
    WireError::new(code, error.to_string())
}

fn create_partitions_error(error: &CreatePartitionsError) -> WireError {
    let code = match error {
        CreatePartitionsError::UnknownTopic { .. } => ErrorCode::UnknownTopicOrPartition,
        CreatePartitionsError::Reserved { .. } => ErrorCode::TopicReserved,
        CreatePartitionsError::InvalidPartitions { .. } => ErrorCode::InvalidPartitions,
        CreatePartitionsError::NotEnoughBrokers { .. } => ErrorCode::InvalidReplicationFactor,
        CreatePartitionsError::InvalidAssignment(_) => ErrorCode::InvalidAssignment,
    };
    WireError::new(code, error.to_string())
}

fn invalid_config(error: &InvalidConfig) -> WireError {
    WireError::new(ErrorCode::InvalidConfig, error.to_string()).with_data(ErrorData {
        key: Some(error.key().to_owned()),
        suggestion: match error {
            InvalidConfig::UnknownKey { suggestion, .. } => suggestion.clone(),
            _ => None,
        },
        ..ErrorData::default()
    })
}
