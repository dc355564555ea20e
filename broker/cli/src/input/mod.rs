//! What `broker produce` reads: files and standard input, cut into lines or taken whole, and how a
//! line becomes a record. Reading happens on a thread of its own, a chunk ahead of the sending.

mod field_path;
mod json_field;
mod line_reader;
mod reader_thread;
mod record_format;

pub(crate) use self::field_path::FieldPath;
pub(crate) use self::reader_thread::{Chunk, Feed, SourceLine, read_ahead};
pub(crate) use self::record_format::{
    Draft, LineFormat, MissingKey, NdjsonFormat, RecordFormat, ValueForm, unescape,
};
