//! Which topics a log directory's metadata knows, without a broker: the same commands that a start replays.

use std::io;
use std::path::Path;

use broker_client::model::TopicId;
use broker_cluster::{Change, ClusterMetadata, Command};
use broker_storage::inspect::{
    DirNotes, FindingKind, Found, SegmentReader, Topics, Verifier, segments,
};
use broker_storage::io::Io;

/// The directory of the metadata log.
const METADATA: &str = "__cluster_metadata-0";

/// Whether a log directory has the metadata log.
pub(super) fn has_metadata(io: &dyn Io, log_dir: &Path) -> bool {
    segments(io, &log_dir.join(METADATA)).is_ok_and(|segments| !segments.is_empty())
}

/// Replays the metadata log of a log directory.
///
/// # Errors
/// When it is damaged: what is left of it may be out of date.
pub(super) fn known_topics(io: &dyn Io, log_dir: &Path) -> io::Result<Topics> {
    let dir = log_dir.join(METADATA);
    let notes = DirNotes::read(io, log_dir, &mut |_| {})?;
    let mut is_damaged = false;
    let verifier = Verifier::new(io).with_notes(&notes);
    verifier.partition(&dir, &mut |finding| {
        is_damaged |= finding.kind == FindingKind::Damage;
    })?;
    if is_damaged {
        return Err(io::Error::other("it is damaged"));
    }
    let (mut metadata, mut topics) = (ClusterMetadata::new(), Topics::default());
    for segment in segments(io, &dir)? {
        let mut reader = SegmentReader::open(io, &segment, None)?;
        // Without damage, what is no batch is a torn write at the end.
        while let Some(Found::Batch { position, header }) = reader.next_found()? {
            let batch = reader.batch(position, &header)?;
            for record in &batch.records().map_err(io::Error::other)? {
                let record = record.map_err(io::Error::other)?;
                let command = Command::decode(record.value.unwrap_or_default());
                let command = command.map_err(io::Error::other)?;
                // One that no longer fits is rejected by every replay alike.
                let changes = metadata.apply(record.offset.get(), command);
                topics
                    .deleted
                    .extend(changes.iter().flatten().filter_map(deleted));
            }
        }
    }
    let ids = metadata
        .topics()
        .map(|topic| (topic.name.clone(), topic.id));
    topics.ids = ids.collect();
    Ok(topics)
}

fn deleted(change: &Change) -> Option<TopicId> {
    match change {
        Change::TopicDeleted { topic } => Some(topic.id),
        _ => None,
    }
}
