//! Reading ahead: a thread that reads the inputs one after the other, turns lines into records and
//! hands them over in chunks. A chunk ends when no further whole line is in the reader's buffer, so
//! that what is typed or piped in slowly is sent at once.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::line_reader::{LINE_BYTES_MAX, Line, LineReader};
use super::record_format::{Draft, RecordFormat};

/// Bytes read at once; also about the size of a chunk.
const BUFFER_BYTES: usize = 256 * 1024;
/// Chunks that wait to be sent.
const CHUNKS_AHEAD: usize = 4;

/// A line of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceLine {
    /// The file, or `standard input`.
    pub(crate) input: Arc<str>,
    /// The line, from 1; 0 for the input as a whole.
    pub(crate) line: u64,
}

impl fmt::Display for SourceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.input),
            line => write!(f, "{}:{line}", self.input),
        }
    }
}

/// Records of consecutive lines.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// The records, each with its line.
    pub(crate) records: Vec<(u64, Draft)>,
    /// Lines that were passed over.
    pub(crate) blank_lines: u64,
    /// Bytes of input up to the end of the chunk, over all inputs.
    pub(crate) bytes_read: u64,
}

/// What comes from the reader.
#[derive(Debug)]
pub(crate) enum Feed {
    /// Records.
    Records { input: Arc<str>, chunk: Chunk },
    /// A line that is no record.
    BadLine { line: SourceLine, reason: String },
    /// An input that cannot be read; no more comes after it.
    Unreadable { line: SourceLine, error: io::Error },
}

/// Starts the thread. No paths means standard input, and so does the path `-`.
pub(crate) fn read_ahead(
    paths: Vec<PathBuf>,
    format: RecordFormat,
) -> io::Result<mpsc::Receiver<Feed>> {
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    let reading = move || {
        let mut reading = Reading {
            format,
            sender,
            bytes_read: 0,
        };
        let paths = if paths.is_empty() {
            vec![PathBuf::from("-")]
        } else {
            paths
        };
        for path in paths {
            if reading.input(path).is_none() {
                return;
            }
        }
    };
    // Not joined: a read from a terminal cannot be interrupted, and the process may end meanwhile.
    std::thread::Builder::new()
        .name("input".to_owned())
        .spawn(reading)?;
    Ok(receiver)
}

struct Reading {
    format: RecordFormat,
    sender: mpsc::Sender<Feed>,
    bytes_read: u64,
}

impl Reading {
    /// Reads one input to its end; `None` when there is no point in going on.
    fn input(&mut self, path: PathBuf) -> Option<()> {
        let is_stdin = path.as_os_str() == "-";
        let name: Arc<str> = match is_stdin {
            true => "standard input".into(),
            false => path.display().to_string().into(),
        };
        let opened: io::Result<Box<dyn Read>> = match is_stdin {
            true => Ok(Box::new(io::stdin().lock())),
            false => File::open(&path).map(|file| Box::new(file) as Box<dyn Read>),
        };
        let read = match (opened, &self.format) {
            (Ok(input), RecordFormat::Raw(_)) => self.whole(input, &name),
            (Ok(input), _) => self.lines(input, &name),
            (Err(error), _) => Err((0, error)),
        };
        match read {
            Ok(wanted) => wanted,
            Err((line, error)) => {
                self.send(Feed::Unreadable {
                    line: SourceLine { input: name, line },
                    error,
                });
                None
            }
        }
    }

    /// `Ok(None)` when nobody listens any more; an error comes with the line it was met at.
    fn lines(&mut self, input: impl Read, name: &Arc<str>) -> Result<Option<()>, (u64, io::Error)> {
        let before = self.bytes_read;
        let mut reader = LineReader::new(BufReader::with_capacity(BUFFER_BYTES, input));
        let (mut line, mut chunk) = (Vec::new(), Chunk::default());
        loop {
            let read = reader
                .read(&mut line)
                .map_err(|error| (reader.number() + 1, error))?;
            self.bytes_read = before + reader.consumed();
            let parsed = match read {
                Line::End => break,
                Line::Whole => self.format.record(&line),
                Line::TooLong => Err(format!(
                    "longer than {LINE_BYTES_MAX} bytes, which no record can be"
                )),
            };
            match parsed {
                Ok(Some(draft)) => chunk.records.push((reader.number(), draft)),
                Ok(None) => chunk.blank_lines += 1,
                Err(reason) => {
                    let line = SourceLine {
                        input: name.clone(),
                        line: reader.number(),
                    };
                    if !self.records(name, &mut chunk) || !self.send(Feed::BadLine { line, reason })
                    {
                        return Ok(None);
                    }
                }
            }
            let no_whole_line_buffered = !reader.input().buffer().contains(&b'\n');
            if no_whole_line_buffered && !self.records(name, &mut chunk) {
                return Ok(None);
            }
        }
        Ok(self.records(name, &mut chunk).then_some(()))
    }

    fn whole(&mut self, input: impl Read, name: &Arc<str>) -> Result<Option<()>, (u64, io::Error)> {
        let mut bytes = Vec::new();
        let mut limited = BufReader::new(input).take(LINE_BYTES_MAX as u64 + 1);
        limited
            .read_to_end(&mut bytes)
            .map_err(|error| (0, error))?;
        self.bytes_read += bytes.len() as u64;
        let line = SourceLine {
            input: name.clone(),
            line: 0,
        };
        let parsed = match bytes.len() > LINE_BYTES_MAX {
            true => Err(format!(
                "longer than {LINE_BYTES_MAX} bytes, which no record can be"
            )),
            false => self.format.record(&bytes),
        };
        let going_on = match parsed {
            Ok(draft) => {
                let records = draft.into_iter().map(|draft| (0, draft)).collect();
                let mut chunk = Chunk {
                    records,
                    ..Chunk::default()
                };
                self.records(name, &mut chunk)
            }
            Err(reason) => self.send(Feed::BadLine { line, reason }),
        };
        Ok(going_on.then_some(()))
    }

    /// Hands a chunk over, unless there is nothing in it.
    fn records(&mut self, name: &Arc<str>, chunk: &mut Chunk) -> bool {
        if chunk.records.is_empty() && chunk.blank_lines == 0 {
            return true;
        }
        let mut chunk = std::mem::take(chunk);
        chunk.bytes_read = self.bytes_read;
        self.send(Feed::Records {
            input: name.clone(),
            chunk,
        })
    }

    fn send(&self, feed: Feed) -> bool {
        self.sender.blocking_send(feed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::input::{LineFormat, MissingKey, NdjsonFormat};

    fn all(paths: Vec<PathBuf>, format: RecordFormat) -> Vec<Feed> {
        let mut receiver = read_ahead(paths, format).unwrap();
        std::iter::from_fn(|| receiver.blocking_recv()).collect()
    }

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn count(feeds: &[Feed]) -> usize {
        let records = feeds.iter().map(|feed| match feed {
            Feed::Records { chunk, .. } => chunk.records.len(),
            _ => 0,
        });
        records.sum()
    }

    #[test]
    fn files_come_one_after_the_other_with_their_line_numbers() {
        let (a, b) = (file(b"1\n2\n"), file(b"3"));
        let paths = vec![a.path().to_owned(), b.path().to_owned()];
        let feeds = all(paths, RecordFormat::Lines(LineFormat::default()));
        let mut lines = Vec::new();
        for feed in &feeds {
            let Feed::Records { chunk, .. } = feed else {
                panic!("{feed:?}")
            };
            lines.extend(chunk.records.iter().map(|(line, draft)| {
                (
                    *line,
                    String::from_utf8(draft.value.clone().unwrap().to_vec()).unwrap(),
                )
            }));
        }
        let expected = [(1, "1"), (2, "2"), (1, "3")].map(|(line, text)| (line, text.to_owned()));
        assert_eq!(lines, expected);
        let Some(Feed::Records { chunk, .. }) = feeds.last() else {
            panic!()
        };
        assert_eq!(chunk.bytes_read, 5);
    }

    #[test]
    fn a_bad_line_is_named_and_reading_goes_on() {
        let input = file(b"{}\n{\n\n{}\n");
        let format = NdjsonFormat {
            form: Default::default(),
            key: None,
            missing_key: MissingKey::Error,
            value: None,
            timestamp: None,
            headers: None,
        };
        let feeds = all(
            vec![input.path().to_owned()],
            RecordFormat::Ndjson(Box::new(format)),
        );
        let bad: Vec<_> = feeds
            .iter()
            .filter_map(|feed| match feed {
                Feed::BadLine { line, .. } => Some(line.to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(bad, [format!("{}:2", input.path().display())]);
        assert_eq!(count(&feeds), 2);
    }

    #[test]
    fn a_file_that_is_not_there_ends_the_reading() {
        let there = file(b"1\n");
        let paths = vec![PathBuf::from("/nowhere/at/all"), there.path().to_owned()];
        let feeds = all(paths, RecordFormat::Lines(LineFormat::default()));
        assert!(
            matches!(feeds.as_slice(), [Feed::Unreadable { .. }]),
            "{feeds:?}"
        );
    }

    #[test]
    fn raw_takes_each_file_whole() {
        let (a, b) = (file(b"1\n2\n\xff"), file(b""));
        let feeds = all(
            vec![a.path().to_owned(), b.path().to_owned()],
            RecordFormat::Raw(Default::default()),
        );
        assert_eq!(count(&feeds), 2);
        let Some(Feed::Records { chunk, .. }) = feeds.first() else {
            panic!()
        };
        assert_eq!(
            chunk.records[0].1.value.as_deref(),
            Some(&b"1\n2\n\xff"[..])
        );
    }
}
