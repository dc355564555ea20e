//! The serializer kind: turns a topic's keys or values from MessagePack into stored bytes and back, and
//! refuses what does not fit. [`export_serializer!`](crate::export_serializer) makes a type the plugin.

use std::cell::RefCell;

use crate::generated::serializer_plugin::exports::broker::plugin::serializer as exported;
use crate::{BytesColumn, Config, Outcome, RowError};

/// A serializer plugin. One instance serves the keys or the values of one topic on one thread of a
/// broker and may be dropped and made again at any time, so an answer may depend only on the arguments
/// and the configuration.
///
/// A topic uses it with `value.serializer = NAME` (options: `value.serializer.option.X`) or with
/// `key.serializer`. [`BytesColumn::map_rows`] does what almost every serializer needs: null stays null,
/// a row that gives an error is refused with that text, the others are collected.
///
/// ```
/// use plugin_sdk::messagepack::{self, Reader, Value};
/// use plugin_sdk::{BytesColumn, Config, Outcome, Serializer};
///
/// /// Stores text in upper case, and nothing but text.
/// struct Shout;
///
/// impl Serializer for Shout {
///     fn new(config: &Config) -> Result<Self, String> {
///         config.allow_only(&[])?;
///         Ok(Shout)
///     }
///
///     fn serialize(&mut self, rows: &BytesColumn) -> Outcome {
///         rows.map_rows(|row, out| match Reader::new(row).read()? {
///             Value::Str(text) => Ok(out.extend(text.to_uppercase().bytes())),
///             other => Err(format!("{other:?} is not text")),
///         })
///     }
///
///     fn deserialize(&mut self, rows: &BytesColumn) -> Outcome {
///         rows.map_rows(|row, out| {
///             let text = std::str::from_utf8(row).map_err(|error| error.to_string())?;
///             if text != text.to_uppercase() {
///                 return Err("it is not in upper case".to_owned());
///             }
///             Ok(messagepack::write_str(out, text))
///         })
///     }
/// }
///
/// plugin_sdk::export_serializer!(Shout);
///
/// // The author's own test needs no broker: "hi", null and 7 as MessagePack.
/// let rows = BytesColumn::from_rows([Some(&b"\xa2hi"[..]), None, Some(b"\x07")]);
/// let outcome = Shout.serialize(&rows);
/// assert_eq!(outcome.rows.rows().collect::<Vec<_>>(), [Some(&b"HI"[..]), None, None]);
/// assert_eq!(outcome.errors[0].row, 2);
/// assert_eq!(outcome.errors[0].message, "Int(7) is not text");
/// ```
pub trait Serializer: Sized {
    /// Reads the configuration. Refuse options that you do not know: [`Config::allow_only`].
    ///
    /// # Errors
    /// The text reaches whoever configured the plugin or the topic.
    fn new(config: &Config) -> Result<Self, String>;

    /// MessagePack to stored bytes: each row that is not null is exactly one well-formed MessagePack
    /// value, at most [`DEPTH_MAX`](crate::messagepack::DEPTH_MAX) deep and without extension types.
    /// Called for records that are produced as values. Answers a row for each row: see [`Outcome`].
    ///
    /// A large batch comes in parts, one call each: at most 512 rows and 32 KiB (a larger row comes alone).
    /// So a rule can be about a row and not about a batch. The same holds for `deserialize`.
    fn serialize(&mut self, rows: &BytesColumn) -> Outcome;

    /// Stored bytes to MessagePack: each row is any bytes at all, and each answer has to be exactly one
    /// MessagePack value. Called when a consumer asks for values, and to check bytes that a producer has
    /// serialized itself; then only the refusals count. What `serialize` answers has to be accepted here.
    fn deserialize(&mut self, rows: &BytesColumn) -> Outcome;
}

impl BytesColumn {
    /// Turns each row that is not null into what `convert` adds to its second argument; null stays null.
    /// A row for which it answers an error is refused with that text (the broker shows 256 bytes of it),
    /// and what it had added is forgotten.
    pub fn map_rows(
        &self,
        mut convert: impl FnMut(&[u8], &mut Vec<u8>) -> Result<(), String>,
    ) -> Outcome {
        let mut outcome = OutcomeBuilder::with_capacity(self.len(), self.data.len());
        for row in self.rows() {
            match row {
                Some(row) => outcome.push_with(|out| convert(row, out)),
                None => outcome.push_null(),
            }
        }
        outcome.finish()
    }
}

/// Makes an [`Outcome`] row by row, for a serializer that also looks at nulls; the others are served by
/// [`BytesColumn::map_rows`].
///
/// ```
/// let mut outcome = plugin_sdk::OutcomeBuilder::default();
/// outcome.push_with(|out| Ok(out.extend_from_slice(b"stored")));
/// outcome.refuse("a null is not allowed here".to_owned());
/// let outcome = outcome.finish();
/// assert_eq!(outcome.rows.rows().collect::<Vec<_>>(), [Some(&b"stored"[..]), None]);
/// assert_eq!(outcome.errors[0].row, 1);
/// ```
#[derive(Clone, Debug, Default)]
pub struct OutcomeBuilder {
    rows: BytesColumn,
    errors: Vec<RowError>,
}

impl OutcomeBuilder {
    /// A builder with room for so many rows of so many bytes together.
    pub fn with_capacity(rows: usize, bytes: usize) -> Self {
        OutcomeBuilder {
            rows: BytesColumn {
                data: Vec::with_capacity(bytes),
                lens: Vec::with_capacity(rows),
            },
            errors: Vec::new(),
        }
    }

    /// Adds a row: the bytes that `write` adds to its argument, or a refusal with the text that it answers.
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), String>) {
        let from = self.rows.data.len();
        match write(&mut self.rows.data) {
            Ok(()) => {
                let len = self.rows.data.len().saturating_sub(from);
                self.rows.lens.push(crate::bytes_column::row_len(len));
            }
            Err(reason) => {
                self.rows.data.truncate(from);
                self.refuse(reason);
            }
        }
    }

    /// Adds null: what the row was.
    pub fn push_null(&mut self) {
        self.rows.lens.push(-1);
    }

    /// Adds a row that is refused.
    pub fn refuse(&mut self, reason: String) {
        let row = u32::try_from(self.rows.len()).expect("rows of a batch, whose count is a u32");
        self.errors.push(RowError {
            row,
            message: reason,
        });
        self.push_null();
    }

    /// The answer.
    pub fn finish(self) -> Outcome {
        Outcome {
            rows: self.rows,
            errors: self.errors,
        }
    }
}

/// Carries a [`Serializer`] through the generated bindings.
pub struct Export<S>(RefCell<S>);

impl<S: Serializer + 'static> exported::Guest for Export<S> {
    type Serializer = Export<S>;
}

impl<S: Serializer + 'static> exported::GuestSerializer for Export<S> {
    fn new(config: Config) -> Result<Self, String> {
        crate::log::report_panics();
        S::new(&config).map(|plugin| Export(RefCell::new(plugin)))
    }

    fn serialize(&self, rows: BytesColumn) -> Outcome {
        self.0.borrow_mut().serialize(&rows)
    }

    fn deserialize(&self, rows: BytesColumn) -> Outcome {
        self.0.borrow_mut().deserialize(&rows)
    }
}

/// Makes a type that implements [`Serializer`](crate::Serializer) the plugin of this crate, and writes
/// the crate's name and version into the module.
#[macro_export]
macro_rules! export_serializer {
    ($plugin:ty) => {
        $crate::__export_plugin!(
            $plugin,
            $crate::Serializer,
            __SerializerExport,
            serializer_plugin,
            __export_serializer
        );
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_row_leaves_nothing_behind() {
        let rows = BytesColumn::from_rows([Some("a"), Some("bad"), None, Some("c")]);
        let outcome = rows.map_rows(|row, out| {
            out.extend_from_slice(row);
            if row == b"bad" {
                return Err("no".to_owned());
            }
            Ok(())
        });
        assert_eq!(outcome.rows.data, b"ac");
        assert_eq!(outcome.rows.lens, [1, -1, -1, 1]);
        let errors: Vec<_> = outcome.errors.iter().map(|error| error.row).collect();
        assert_eq!(errors, [1]);
    }
}
