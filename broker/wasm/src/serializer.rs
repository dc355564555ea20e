//! A serializer plugin bound to one topic on one thread: MessagePack values to stored bytes and back.
//!
//! Rows that the plugin refuses are listed; every other rule that an answer breaks fails the batch.
//! There is no fallback: what another plugin would make of the values is not what the topic stores.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{ResourceAny, TypedFunc};

use crate::abi::{self, Batch, BytesColumn as AbiColumn, Columns, Config};
use crate::bound::Bound;
use crate::columns::{BytesColumn, Rows};
use crate::engine::PluginEngine;
use crate::guest::{Constructed, Exports, Guest};
use crate::kind::PluginKind;
use crate::parts::{Part, PartSize, Parts};
use crate::plugin::Plugin;
use crate::plugin_error::PluginError;
use crate::plugin_log::clean;
use crate::sandbox::Sandbox;
#[doc(hidden)]
pub use crate::serializer_answer::RawAnswer;
use crate::serializer_answer::{GuestRowError, Meaning, Outcome};

/// A serializer plugin that serves one topic.
pub struct Serializer(Bound<SerializerGuest>);

/// Why one row was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowError {
    /// Which one, counted from 0.
    pub row: u32,
    /// The reason, in one line of at most 256 bytes.
    pub message: String,
}

impl Serializer {
    /// Binds a plugin to a topic. The topic's options go over those of the plugin.
    ///
    /// # Errors
    /// The plugin refuses its configuration, fails already here, or is suspended.
    pub fn new(
        engine: &Arc<PluginEngine>,
        plugin: &Arc<Plugin>,
        topic: &str,
        topic_options: &[(String, String)],
    ) -> Result<Self, PluginError> {
        let bound = Bound::new(engine, plugin, topic, topic_options, ());
        bound.started().map(Serializer)
    }

    /// The plugin.
    pub fn plugin(&self) -> &Arc<Plugin> {
        self.0.plugin()
    }

    /// The linear memory that its instance has taken, in bytes; it never gives any back.
    pub fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }

    /// Turns MessagePack values, one in each row, into the bytes to be stored. `out` is cleared and
    /// gets a row for each row; those of refused rows are null. Answers the refused rows in order. A
    /// large batch goes in parts.
    ///
    /// # Errors
    /// The plugin gave no usable answer; `out` is empty. The same serializer can be called again.
    pub fn serialize(
        &mut self,
        rows: &BytesColumn,
        out: &mut BytesColumn,
    ) -> Result<Vec<RowError>, PluginError> {
        self.convert(Direction::Serialize, rows, out)
    }

    /// Turns stored bytes into MessagePack values, each of which is well-formed, whole and not nested
    /// too deep. Otherwise like [`serialize`](Self::serialize).
    ///
    /// # Errors
    /// As with [`serialize`](Self::serialize).
    pub fn deserialize(
        &mut self,
        rows: &BytesColumn,
        out: &mut BytesColumn,
    ) -> Result<Vec<RowError>, PluginError> {
        self.convert(Direction::Deserialize, rows, out)
    }

    fn convert(
        &mut self,
        direction: Direction,
        rows: &BytesColumn,
        out: &mut BytesColumn,
    ) -> Result<Vec<RowError>, PluginError> {
        out.clear();
        let records = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let converted = self
            .0
            .counted(records, |bound| convert(bound, direction, rows, out));
        if converted.is_err() {
            out.clear();
        }
        converted
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Serialize,
    Deserialize,
}

fn convert(
    bound: &mut Bound<SerializerGuest>,
    direction: Direction,
    rows: &BytesColumn,
    out: &mut BytesColumn,
) -> Result<Vec<RowError>, PluginError> {
    let limits = bound.plugin().limits();
    let batch = Batch {
        count: u32::try_from(rows.len()).expect("a frame has fewer than 2^32 records"),
        base_offset: 0,
        offset_deltas: &[],
        timestamps_ms: None,
        keys: None,
        values: Some(rows.as_abi()),
        headers: None,
        value_lens: None,
    };
    let mut refused = Vec::new();
    let size = PartSize::of(PluginKind::Serializer, Columns::VALUES, limits);
    for part in Parts::new(batch, size) {
        let done = out.len();
        if let Some(problem) = &part.problem {
            refused.push(row_error(done, 0, problem));
            out.push(None);
            continue;
        }
        let left = limits.output_bytes.saturating_sub(out.data_bytes());
        let mut outcome =
            convert_part(bound, direction, &part, left).map_err(|error| error.behind(done))?;
        outcome.move_rows(out);
        let errors = outcome.errors.iter();
        refused.extend(errors.map(|error| row_error(done, error.row, &error.message)));
    }
    Ok(refused)
}

fn row_error(done: usize, row: u32, message: &str) -> RowError {
    let done = u32::try_from(done).unwrap_or(u32::MAX);
    RowError {
        row: done.saturating_add(row),
        message: clean(message),
    }
}

fn convert_part(
    bound: &mut Bound<SerializerGuest>,
    direction: Direction,
    part: &Part<'_>,
    output_bytes: usize,
) -> Result<Outcome, PluginError> {
    let column = part.batch.values.unwrap_or(AbiColumn {
        data: &[],
        lens: &[],
    });
    let per_row = size_of::<i32>() + size_of::<GuestRowError>() + ROW_MESSAGE_BYTES;
    let cost = part.cost(output_bytes.saturating_add(column.lens.len() * per_row));
    let outcome = bound.call(cost, |guest, store, resource| {
        let function = match direction {
            Direction::Serialize => &guest.serialize,
            Direction::Deserialize => &guest.deserialize,
        };
        let (outcome,) = function.call(store, (resource, column))?;
        Ok(outcome)
    })?;
    if outcome.rows.data.len() > output_bytes {
        let most = bound.plugin().limits().output_bytes;
        let text = format!("it made more than {most} bytes of one batch, its output limit");
        return Err(bound.nonsense(&text));
    }
    let meaning = match direction {
        Direction::Serialize => Meaning::Stored,
        Direction::Deserialize => Meaning::Values,
    };
    let given = Rows::of(column.data, column.lens);
    match outcome.check(given, meaning) {
        Ok(()) => Ok(outcome),
        Err(broken) => Err(match broken.row {
            Some(row) => bound.nonsense_at(row, &broken.problem),
            None => bound.nonsense(&broken.problem),
        }),
    }
}

/// What a guest may say about each row without taking it off its output.
const ROW_MESSAGE_BYTES: usize = 256;

type Convert = TypedFunc<(ResourceAny, AbiColumn<'static>), (Outcome,)>;

/// The functions of a serializer.
pub(crate) struct SerializerGuest {
    construct: TypedFunc<(Config<'static>,), abi::Constructed>,
    serialize: Convert,
    deserialize: Convert,
}

impl Guest for SerializerGuest {
    const KIND: PluginKind = PluginKind::Serializer;
    type Start = ();
    type Wants = ();

    fn find(exports: &mut Exports<'_>) -> wasmtime::Result<Self> {
        Ok(SerializerGuest {
            construct: exports.typed("[constructor]serializer")?,
            serialize: exports.typed("[method]serializer.serialize")?,
            deserialize: exports.typed("[method]serializer.deserialize")?,
        })
    }

    fn construct(
        &self,
        store: &mut Store<Sandbox>,
        config: Config<'_>,
        (): (),
    ) -> wasmtime::Result<Result<Constructed<()>, String>> {
        let (made,) = self.construct.call(store, (config,))?;
        let wants = ();
        Ok(made.map(|resource| Constructed { resource, wants }))
    }
}
