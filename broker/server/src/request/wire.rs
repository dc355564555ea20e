//! From what went wrong inside to what the client is told: one function per kind of error, so that a
//! code, its flags and its facts are decided in one place.

use broker_cluster::{AlterTopicError, CreatePartitionsError, CreateTopicError, InvalidConfig};
use broker_model::PartitionId;
use broker_protocol::{ErrorCode, ErrorData, WireError};
use broker_record::InvalidBatch;
use broker_wasm::{PluginError, PluginErrorKind};

use crate::controller::ControllerError;
use crate::partition::PartitionError;
use crate::plugins::RoutingError;

/// Errors of a partition. Whether a failed write is definite is told by the variant.
pub(super) fn partition_error(
    topic: &str,
    partition: PartitionId,
    error: PartitionError,
) -> WireError {
    let at = format!("{topic}-{partition}");
    let mut data = ErrorData {
        topic: Some(topic.to_owned()),
        partition: Some(partition),
        ..ErrorData::default()
    };
    let (code, message) = match error {
        PartitionError::Busy => (
            ErrorCode::Busy,
            format!("partition {at} has too many requests waiting"),
        ),
        PartitionError::Lost => (
            ErrorCode::ActorFailed,
            format!("partition {at} crashed while it handled the request and is started again"),
        ),
        PartitionError::Offline { reason } => (
            ErrorCode::PartitionOffline,
            format!("partition {at} is offline: {reason}"),
        ),
        PartitionError::Stopping => (
            ErrorCode::ShuttingDown,
            format!("partition {at} is being closed"),
        ),
        PartitionError::BatchTooLarge { size, max } => {
            data.actual = Some(size as u64);
            data.limit = Some(u64::from(max));
            let message = format!(
                "a batch of {size} bytes is larger than message.max.bytes = {max} of topic {topic}"
            );
            (ErrorCode::MessageTooLarge, message)
        }
        PartitionError::NotEnoughReplicas { in_sync, required } => {
            data.actual = Some(u64::from(in_sync));
            data.expected = Some(u64::from(required));
            let message =
                format!("{in_sync} replicas of {at} are in sync, acks = all needs {required}");
            (ErrorCode::NotEnoughReplicas, message)
        }
        PartitionError::OffsetOutOfRange {
            asked,
            earliest,
            latest,
        } => {
            data.offset = Some(asked);
            data.earliest = Some(earliest);
            data.latest = Some(latest);
            let message =
                format!("offset {asked} of {at} is out of range: it holds {earliest} to {latest}");
            (ErrorCode::OffsetOutOfRange, message)
        }
        PartitionError::Corrupt {
            file,
            position,
            offset,
            next_good,
            reason,
        } => {
            let file = file.display().to_string();
            let message = format!(
                "stored data of {at} is damaged: {file} at byte {position}, offset {offset}: {reason}"
            );
            data.file = Some(file);
            data.position = Some(position);
            data.offset = Some(offset);
            data.next_offset = next_good;
            (ErrorCode::CorruptLog, message)
        }
        PartitionError::WriteFailed { reason } => {
            let error = WireError::new(
                ErrorCode::StorageFailed,
                format!("writing to {at} failed, nothing of it is stored: {reason}"),
            );
            return certainly(error).with_data(data);
        }
        PartitionError::WriteUncertain { reason } => (
            ErrorCode::StorageFailed,
            format!("writing to {at} failed, it may or may not survive: {reason}"),
        ),
        PartitionError::DiskFull { reason } => (
            ErrorCode::DiskFull,
            format!("there is no space left for {at}: {reason}"),
        ),
        PartitionError::ReadFailed { reason } => {
            let error = WireError::new(
                ErrorCode::StorageFailed,
                format!("reading {at} failed: {reason}"),
            );
            return certainly(error).with_data(data);
        }
        PartitionError::TimedOut { after } => (
            ErrorCode::TimedOut,
            format!("{at} did not acknowledge within {} ms", after.as_millis()),
        ),
    };
    WireError::new(code, message).with_data(data)
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
        InvalidBatch::Decompression(_)
        | InvalidBatch::Empty
        | InvalidBatch::TooManyRecords { .. }
        | InvalidBatch::TimestampMismatch { .. }
        | InvalidBatch::TrailingBytes { .. }
        | InvalidBatch::Producer { .. } => ErrorCode::InvalidBatch,
    };
    WireError::new(code, message).with_data(data)
}

/// Records that could not be routed. Names the plugin, so that its owner is found.
pub(super) fn routing_error(error: &RoutingError) -> WireError {
    let data = match error {
        RoutingError::Plugin(error) => return partitioner_error(error),
        RoutingError::NotInstalled { plugin } => ErrorData {
            plugin: Some(plugin.clone()),
            ..ErrorData::default()
        },
        RoutingError::WrongKind { plugin, kind } => ErrorData {
            plugin: Some(plugin.clone()),
            plugin_kind: Some(kind.to_string()),
            ..ErrorData::default()
        },
    };
    WireError::new(ErrorCode::UnknownPlugin, error.to_string()).with_data(data)
}

fn partitioner_error(error: &PluginError) -> WireError {
    let code = match error.kind {
        PluginErrorKind::Timeout => ErrorCode::PluginTimeout,
        PluginErrorKind::Rejected => ErrorCode::PluginRejected,
        PluginErrorKind::InvalidAnswer => ErrorCode::PluginInvalidAnswer,
        PluginErrorKind::Trapped | PluginErrorKind::OutOfMemory => ErrorCode::PluginTrapped,
        PluginErrorKind::InvalidConfig => ErrorCode::InvalidConfig,
    };
    let data = ErrorData {
        plugin: Some(error.plugin.clone()),
        plugin_version: Some(error.version.clone()),
        plugin_kind: Some("partitioner".to_owned()),
        record: error.record,
        ..ErrorData::default()
    };
    let wire = WireError::new(code, error.to_string()).with_data(data);
    wire.with_retriable(error.retriable)
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
        ControllerError::Stopping => {
            WireError::new(ErrorCode::ShuttingDown, "the broker is stopping")
        }
        ControllerError::Offline { reason } => {
            let message = format!("metadata cannot be changed: {reason}");
            certainly(WireError::new(ErrorCode::StorageFailed, message))
        }
        ControllerError::Uncertain { reason } => WireError::new(
            ErrorCode::StorageFailed,
            format!("the change was written and may or may not survive: {reason}"),
        ),
        ControllerError::CreateTopic(error) => create_topic_error(error),
        ControllerError::AlterTopic(error) => alter_topic_error(error),
        ControllerError::CreatePartitions(error) => create_partitions_error(&error),
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
    };
    WireError::new(code, error.to_string())
}

fn alter_topic_error(error: AlterTopicError) -> WireError {
    let code = match error {
        AlterTopicError::InvalidConfig(invalid) => return invalid_config(&invalid),
        AlterTopicError::UnknownTopic { .. } => ErrorCode::UnknownTopicOrPartition,
        AlterTopicError::Reserved { .. } => ErrorCode::TopicReserved,
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
