//! What `inspect` calls damage of a disk, before anybody opens it. Of one that a stop has left nothing is, as long
//! as recovery misses nothing.

use std::path::Path;
use std::sync::Arc;

use broker_storage::inspect::{DirNotes, Finding, FindingKind, Verifier, partitions};
use broker_storage::io::Io;
use broker_storage::io::recording::RecordingIo;

use super::DIR;

/// The first damage that is found; `is_excused` says of which file none counts.
pub(crate) fn damage(
    io: &Arc<RecordingIo>,
    is_excused: &dyn Fn(&Path) -> bool,
) -> std::io::Result<Option<Finding>> {
    let (io, dir): (&dyn Io, _) = (&**io, Path::new(DIR));
    if !DirNotes::are_in(io, dir) {
        return Ok(None);
    }
    let mut found = Vec::new();
    let mut report = |finding| found.push(finding);
    let notes = DirNotes::read(io, dir, &mut report)?;
    notes.check_directories(io, &mut report)?;
    let verifier = Verifier::new(io).with_notes(&notes);
    for partition in partitions(io, dir)? {
        verifier.partition(&partition.path, &mut report)?;
    }
    let mut found = found.into_iter();
    // Which directories belong together is the broker's to note, and not storage's.
    let is_noted_here = |finding: &Finding| !finding.file.ends_with("log-directories");
    Ok(found.find(|finding| {
        finding.kind == FindingKind::Damage && is_noted_here(finding) && !is_excused(&finding.file)
    }))
}
