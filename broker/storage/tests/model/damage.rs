//! A look at what damage would do: on a copy of the disk one byte of a batch is another; the rest of
//! the log has to be served, and the batch refused.

use std::sync::Arc;

use broker_record::BatchHeader;
use broker_storage::io::Io;
use broker_storage::{ReadError, ReadLimit};

use super::{Checked, Runner, check, config};
use crate::support;

impl Runner {
    pub(super) fn look_at_damage(&mut self, at: u8, byte: u16) -> Checked {
        let wanted = self.part(at);
        let copy = self.io.after_kill();
        let mut damaged = None;
        for entry in copy.list(&support::partition_dir()).unwrap() {
            if !entry.name.ends_with(".log") {
                continue;
            }
            let file = support::partition_dir().join(&entry.name);
            let mut bytes = support::file_bytes(&copy, &file);
            let mut position = 0;
            while let Some(Ok(header)) = bytes
                .get(position..position + BatchHeader::LEN)
                .map(BatchHeader::decode)
            {
                let offsets = header.base_offset.get()..header.next_offset().get();
                if offsets.contains(&wanted) {
                    bytes[position + usize::from(byte) % header.batch_len()] ^= 0x40;
                    damaged = Some(offsets);
                    support::set_file_bytes(&copy, &file, &bytes);
                    break;
                }
                position += header.batch_len();
            }
        }
        let Some(damaged) = damaged.filter(|damaged| damaged.end <= self.model.end()) else {
            return Ok(());
        };
        let clock = Arc::clone(&self.clock) as _;
        let dir = support::open_dir_at(&copy, self.bugs, clock).map_err(|e| e.to_string())?;
        let config = config(self.flush);
        let opened = dir.open_or_create_log(&support::partition(), support::TOPIC_ID, config);
        let (log, _) = opened.map_err(|error| error.to_string())?;
        let end = self.model.end();
        check!(
            log.end().get() >= end,
            "damage at {damaged:?} cut the log to {}",
            log.end()
        );
        let mut next = log.start();
        while next.get() < end {
            let slice = log.read(next, log.end(), ReadLimit::OneBatchOr(1));
            match slice.and_then(|slice| slice.verified()) {
                Ok(slice) => {
                    let (first, behind) = (slice.first_offset().get(), slice.next_offset());
                    check!(!damaged.contains(&first), "damage at {damaged:?} is served");
                    let bytes = slice.read().map_err(|error| error.to_string())?;
                    self.check_bytes(bytes, first, behind.get())?;
                    next = behind;
                }
                Err(ReadError::Corrupt(found)) => {
                    let good = found.next_good.map_or(end, |good| good.get());
                    check!(
                        damaged.contains(&next.get())
                            && good.min(end) <= damaged.end.max(self.next_held(damaged.end)),
                        "{found}: the damage is at {damaged:?}"
                    );
                    next = support::offset(good);
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    /// The first offset from one on that a record was not lost of.
    fn next_held(&self, from: u64) -> u64 {
        let held = (from..self.model.end()).find(|at| self.model.records[*at as usize].is_some());
        held.unwrap_or(self.model.end())
    }
}
