//! `LineReader`: lines as bytes, without their line feed and otherwise unchanged: a carriage return
//! stays, and the last line counts even without a line feed. A line has a largest length, so that a
//! file without line feeds is an error and not an allocation of its size.

use std::io::{self, BufRead};

use broker_client::model::limits::BATCH_DECOMPRESSED_BYTES_MAX;

/// Longest line, in bytes: no record can be longer.
pub(super) const LINE_BYTES_MAX: usize = BATCH_DECOMPRESSED_BYTES_MAX;

/// Reads lines.
pub(super) struct LineReader<R> {
    input: R,
    number: u64,
    consumed: u64,
    line_bytes_max: usize,
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, in the caller's buffer.
    Whole,
    /// A line that is too long; it was passed over.
    TooLong,
    /// There are no more.
    End,
}

impl<R: BufRead> LineReader<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            number: 0,
            consumed: 0,
            line_bytes_max: LINE_BYTES_MAX,
        }
    }

    /// Reads the next line into `line`, which is emptied first.
    pub(super) fn read(&mut self, line: &mut Vec<u8>) -> io::Result<Line> {
        line.clear();
        let mut length = 0usize;
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                return Ok(if length == 0 {
                    Line::End
                } else {
                    self.ended(length)
                });
            }
            let feed = available.iter().position(|byte| *byte == b'\n');
            let part = available
                .get(..feed.unwrap_or(available.len()))
                .unwrap_or_default();
            length = length.saturating_add(part.len());
            if length <= self.line_bytes_max {
                line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(feed.is_some());
            self.input.consume(used);
            self.consumed += used as u64;
            if feed.is_some() {
                return Ok(self.ended(length));
            }
        }
    }

    fn ended(&mut self, length: usize) -> Line {
        self.number += 1;
        if length > self.line_bytes_max {
            Line::TooLong
        } else {
            Line::Whole
        }
    }

    /// Number of the line that was read last, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Bytes of all lines so far, line feeds included.
    pub(super) fn consumed(&self) -> u64 {
        self.consumed
    }

    pub(super) fn input(&self) -> &R {
        &self.input
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn lines(input: &[u8], buffer: usize, max: usize) -> Vec<Result<Vec<u8>, u64>> {
        let mut reader = LineReader::new(BufReader::with_capacity(buffer, input));
        reader.line_bytes_max = max;
        let (mut line, mut all) = (Vec::new(), Vec::new());
        loop {
            match reader.read(&mut line).unwrap() {
                Line::Whole => all.push(Ok(line.clone())),
                Line::TooLong => all.push(Err(reader.number())),
                Line::End => break,
            }
        }
        assert_eq!(reader.consumed(), input.len() as u64);
        all
    }

    #[test]
    fn lines_joined_by_line_feeds_are_the_file() {
        for input in [
            &b""[..],
            b"\n",
            b"a",
            b"a\nb\r\n\n",
            b"\xff\x00\nlast without",
        ] {
            for buffer in [1, 2, 3, 100] {
                let mut joined = Vec::new();
                for line in lines(input, buffer, 100) {
                    joined.extend(line.unwrap());
                    joined.push(b'\n');
                }
                if !input.ends_with(b"\n") {
                    joined.pop();
                }
                assert_eq!(joined, input, "with a buffer of {buffer}");
            }
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_the_next_one_is_read() {
        for buffer in [1, 4, 100] {
            assert_eq!(
                lines(b"12345\n123456\n1\n", buffer, 5),
                [Ok(b"12345".to_vec()), Err(2), Ok(b"1".to_vec())]
            );
        }
    }
}
