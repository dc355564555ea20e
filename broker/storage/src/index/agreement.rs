//! `Agreement`: whether an index file says what its data file has. The boundaries of the data pass by
//! in order, so memory is that of the index alone.

use std::path::{Path, PathBuf};

use broker_model::Offset;

use super::entry::{IndexEntry, IndexHeader, IndexPoint};
use crate::io::Io;

/// Something in an index file that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disagreement {
    pub(crate) file: PathBuf,
    pub(crate) position: u64,
    pub(crate) what: String,
    /// Whether it is what a write leaves that was stopped, and not bytes that are wrong.
    pub(crate) is_incomplete: bool,
}

/// How an index file is compared with its data.
pub(crate) struct Agreement<E> {
    file: PathBuf,
    base: Offset,
    /// `None` when the file is missing or has no usable header.
    bytes: Option<Vec<u8>>,
    is_missing: bool,
    /// Number of the entry that comes next.
    number: u32,
    /// The entry that comes next and is sound.
    next: Option<E>,
    /// The boundary of the last entry that fitted.
    last: Option<IndexPoint>,
    /// Whether some of the data is damaged.
    is_unsure: bool,
    problems: Vec<Disagreement>,
    /// Entries with problems that are not told one by one.
    further: u64,
}

/// So many entries are told one by one.
const ENTRIES_TOLD_MAX: usize = 100;

impl<E: IndexEntry> Agreement<E> {
    /// Reads the index beside a data file.
    pub(crate) fn open(io: &dyn Io, data_path: &Path, base: Offset) -> Self {
        let file = data_path.with_extension(E::EXTENSION);
        let mut agreement = Self {
            base,
            bytes: None,
            is_missing: false,
            number: 0,
            next: None,
            last: None,
            is_unsure: false,
            problems: Vec::new(),
            further: 0,
            file,
        };
        match io.read_small(&agreement.file) {
            Ok(None) => agreement.is_missing = true,
            Err(error) => agreement.problem(0, error.to_string()),
            Ok(Some(bytes)) => {
                let header = IndexHeader::decode(E::MAGIC, &bytes);
                if header.is_some_and(|header| header.id.base == base) {
                    agreement.bytes = Some(bytes);
                    agreement.advance();
                } else if bytes.len() < IndexHeader::LEN {
                    agreement.incomplete(0, "the index ends inside its header".to_owned());
                } else {
                    agreement.problem(0, "bad index header".to_owned());
                }
            }
        }
        agreement
    }

    /// The data has this boundary.
    pub(crate) fn pass(&mut self, point: &IndexPoint) {
        self.skip_while(|entry| entry.offset() < point.offset);
        if self.next.is_some_and(|entry| entry == E::of(point)) {
            self.last = Some(*point);
            self.advance();
        }
        self.skip_while(|entry| entry.offset() == point.offset);
    }

    /// Some of the data is damaged, so that nothing can be said of entries that fit no batch.
    pub(crate) fn pass_damage(&mut self) {
        self.is_unsure = true;
    }

    /// The data ends here. A complete index has to end here as well.
    pub(crate) fn finish(mut self, end: Option<&IndexPoint>) -> Vec<Disagreement> {
        self.skip_while(|_| true);
        if self.further > 0 {
            let what = format!(
                "{} more index entries are damaged or fit no batch",
                self.further
            );
            self.problem(E::position(self.number), what);
        }
        if self.is_missing {
            // There is none until there is something to index.
            if end.is_some_and(|end| end.position > 0) {
                self.incomplete(0, "the index is missing".to_owned());
            }
            return self.problems;
        }
        let Some(len) = self.bytes.as_ref().map(|bytes| bytes.len() as u64) else {
            return self.problems;
        };
        let count = E::count(len);
        if E::position(count) != len {
            let what = "the index ends inside an entry".to_owned();
            self.incomplete(E::position(count), what);
        }
        let is_short = |end: &&IndexPoint| end.position > 0 && self.last.as_ref() != Some(*end);
        if let Some(end) = end.filter(is_short).filter(|_| !self.is_unsure) {
            let what = format!(
                "the index does not reach the segment's end, offset {}",
                end.offset
            );
            self.incomplete(len, what);
        }
        self.problems
    }

    /// Passes over entries that fit no boundary of the data.
    fn skip_while(&mut self, goes: impl Fn(&E) -> bool) {
        while let Some(entry) = self.next.filter(&goes) {
            if !self.is_unsure {
                let number = self.number - 1;
                let what = format!("index entry {number} fits no batch: {entry:?}");
                self.entry_problem(number, what);
            }
            self.advance();
        }
    }

    fn advance(&mut self) {
        self.next = None;
        while let Some(bytes) = self.bytes.as_deref() {
            let number = self.number;
            if number >= E::count(bytes.len() as u64) {
                return;
            }
            self.number += 1;
            let at = usize::try_from(E::position(number)).unwrap_or(usize::MAX);
            let entry = bytes
                .get(at..)
                .and_then(|rest| E::decode(self.base, number, rest));
            match entry {
                Some(entry) => {
                    self.next = Some(entry);
                    return;
                }
                None => {
                    let what = format!("index entry {number} is damaged");
                    self.entry_problem(number, what);
                }
            }
        }
    }

    fn entry_problem(&mut self, number: u32, what: String) {
        match self.problems.len() < ENTRIES_TOLD_MAX {
            true => self.problem(E::position(number), what),
            false => self.further += 1,
        }
    }

    fn problem(&mut self, position: u64, what: String) {
        self.add(position, what, false);
    }

    fn incomplete(&mut self, position: u64, what: String) {
        self.add(position, what, true);
    }

    fn add(&mut self, position: u64, what: String, is_incomplete: bool) {
        self.problems.push(Disagreement {
            file: self.file.clone(),
            position,
            what,
            is_incomplete,
        });
    }
}
