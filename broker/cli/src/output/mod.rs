//! `Output`: the one door to standard output and standard error. Results go to standard output, as
//! text or as JSON; everything else (warnings, notes, progress, errors) to standard error. Output
//! that nobody reads any more ends the command quietly. Colours only on a terminal.

mod attention;
mod data_text;
mod json_log;
mod log_writer;
mod progress;
mod quantity;
mod table;

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use serde::Serialize;

use crate::failure::Failure;

pub(crate) use self::attention::attention;
pub(crate) use self::data_text::{Destination, JsonData, hex, is_text};
pub(crate) use self::json_log::JsonLog;
pub(crate) use self::log_writer::LogWriter;
pub(crate) use self::progress::Progress;
pub(crate) use self::quantity::{bytes, duration, number, per_second, time};
pub(crate) use self::table::{Align, Table};

/// How much a command says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Where and how a command prints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) shape: Shape,
    /// No notes and warnings.
    pub(crate) quiet: bool,
    /// Progress bars are wanted; they are only drawn on a terminal.
    pub(crate) progress: bool,
}

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const CYAN: &str = "\x1b[36m";
const RESET: &str = "\x1b[0m";

impl Output {
    pub(crate) fn is_json(&self) -> bool {
        self.shape == Shape::Json
    }

    /// Prints a result: the value itself with `--json`, else what `text` makes of it.
    pub(crate) fn show<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        match self.shape {
            Shape::Json => self.json_line(value),
            Shape::Text => self.text(text(value)),
        }
    }

    /// One JSON document on one line of standard output.
    pub(crate) fn json_line<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        self.text(json(value)?)
    }

    /// Text on standard output; a line feed is added unless it ends with one.
    pub(crate) fn text(&self, text: impl Display) -> Result<(), Failure> {
        let text = text.to_string();
        let mut stream = self.stream();
        stream.write(text.as_bytes())?;
        if !text.is_empty() && !text.ends_with('\n') {
            stream.write(b"\n")?;
        }
        stream.flush()
    }

    /// Standard output for a long stream, buffered.
    pub(crate) fn stream(&self) -> Stream {
        Stream {
            inner: BufWriter::with_capacity(256 * 1024, io::stdout().lock()),
        }
    }

    /// Where the stream ends up.
    pub(crate) fn destination(&self) -> Destination {
        if io::stdout().is_terminal() {
            Destination::Terminal
        } else {
            Destination::Elsewhere
        }
    }

    /// Something the user should know although the command goes on.
    pub(crate) fn warn(&self, warning: impl Display) {
        if self.quiet {
            return;
        }
        match self.shape {
            Shape::Text => stderr_line(format_args!("{YELLOW}warning:{RESET} {warning}")),
            Shape::Json => {
                let object = serde_json::json!({ "warning": warning.to_string() });
                stderr_line(object);
            }
        }
    }

    /// The warnings of an answer. With `--json` they are in the result already.
    pub(crate) fn warn_all(&self, warnings: &[String]) {
        if self.shape == Shape::Text {
            warnings.iter().for_each(|warning| self.warn(warning));
        }
    }

    /// Something that is good to know, for people.
    pub(crate) fn note(&self, note: impl Display) {
        if !self.quiet && self.shape == Shape::Text {
            stderr_line(note);
        }
    }

    /// Why the command failed.
    pub(crate) fn failure(&self, failure: &Failure) {
        let Failure::Reported(report) = failure else {
            return;
        };
        if self.is_json() {
            stderr_line(serde_json::json!({ "error": report.to_json() }));
            return;
        }
        stderr_line(format_args!("{RED}error:{RESET} {}", report.message));
        if let Some(hint) = &report.hint {
            stderr_line(format_args!("{CYAN}hint:{RESET} {hint}"));
        }
    }
}

/// A value as one line of JSON.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value)
        .map_err(|error| Failure::failed(format!("the result cannot be shown as JSON: {error}")))
}

/// A line on standard error. When even that cannot be written there is nobody to tell.
fn stderr_line(line: impl Display) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Standard output as a stream.
pub(crate) struct Stream {
    inner: BufWriter<StdoutLock<'static>>,
}

impl Stream {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.inner.write_all(bytes).map_err(closed_or_failed)
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.inner.flush().map_err(closed_or_failed)
    }
}

fn closed_or_failed(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::from(error).after("cannot write to standard output"),
    }
}
