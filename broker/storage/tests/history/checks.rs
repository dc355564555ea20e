//! What must be found: every survivor, from every offset and time, and nothing that is left over.

use broker_model::Offset;
use broker_storage::io::Io;
use broker_storage::{Log, ReadLimit};

use super::{Checked, Runner, check};
use crate::cleaning::{Keyed, records_from};
use crate::support::{self, at, offset};

impl Runner {
    pub(super) fn check_content(&mut self) -> Checked {
        let log = self.log.as_ref().unwrap();
        check!(
            log.start().get() == self.model.start,
            "the start is {}",
            log.start()
        );
        check!(
            log.end().get() == self.model.end(),
            "the end is {}",
            log.end()
        );
        let found = records_from(log, log.start());
        let wanted = self.model.survivors();
        let differs = found
            .iter()
            .zip(&wanted)
            .find(|(found, wanted)| found != wanted);
        check!(differs.is_none(), "found and wanted: {differs:?}");
        check!(
            found.len() == wanted.len(),
            "{} records, not {}",
            found.len(),
            wanted.len()
        );
        for pair in log.segments().windows(2) {
            check!(
                pair[0].next == pair[1].base,
                "a gap before {}",
                pair[1].base
            );
        }
        Ok(())
    }

    /// A read at every offset gives the next survivor; so does a search by its time.
    pub(super) fn check_every_offset(&mut self) -> Checked {
        let log = self.log.as_ref().unwrap();
        let survivors = self.model.survivors();
        for from in self.model.start..self.model.end() {
            let wanted = survivors.iter().find(|record| record.offset >= from);
            let found = next_record(log, offset(from));
            check!(
                found.as_ref() == wanted,
                "at offset {from}: {found:?}, not {wanted:?}"
            );
        }
        for timestamp in (5_000..self.stamp + 20).step_by(7) {
            let wanted = survivors
                .iter()
                .find(|record| record.timestamp >= timestamp);
            let wanted = wanted.map(|record| (offset(record.offset), at(record.timestamp)));
            let found = log.offset_for_timestamp(at(timestamp), log.end());
            let found = found.map_err(|error| error.to_string())?;
            check!(
                found == wanted,
                "at time {timestamp}: {found:?}, not {wanted:?}"
            );
        }
        Ok(())
    }

    /// Nothing is left over, and nothing is found wrong by who looks from outside.
    pub(super) fn check_files(&self) -> Checked {
        let io = &*self.io as &dyn Io;
        let left = io
            .list(&support::partition_dir())
            .map_err(|error| error.to_string())?;
        for entry in left {
            let leftover =
                entry.name.ends_with(".cleaned") || entry.name.starts_with("cleaning-swap");
            check!(!leftover, "{} is left over", entry.name);
        }
        let mut findings = Vec::new();
        let cleaned_to = self.model.cleaned_to;
        broker_storage::inspect::verify_partition(io, &support::partition_dir(), &mut |finding| {
            // Indexes are made durable with a cleaning; those of other segments may be torn, and are
            // made anew when they are needed.
            let name = finding.file.file_stem().and_then(|name| name.to_str());
            let base: Option<u64> = name.and_then(|name| name.parse().ok());
            let is_data = finding
                .file
                .extension()
                .is_some_and(|extension| extension == "log");
            if is_data || base.is_none_or(|base| base < cleaned_to) {
                findings.push(finding.to_string());
            }
        })
        .map_err(|error| error.to_string())?;
        check!(findings.is_empty(), "findings: {findings:?}");
        Ok(())
    }
}

fn next_record(log: &Log, from: Offset) -> Option<Keyed> {
    let mut next = from;
    while next < log.end() {
        let slice = log.read(next, log.end(), ReadLimit::OneBatchOr(1)).unwrap();
        for batch in broker_record::Batches::new(slice.read().unwrap()) {
            let found =
                crate::cleaning::keyed(&batch.unwrap()).find(|record| record.offset >= from.get());
            if found.is_some() {
                return found;
            }
        }
        next = slice.next_offset();
    }
    None
}
