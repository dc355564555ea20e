//! A serializer's case: rows one way, and back where the case asks for the round trip. Values are
//! compared as values, so that the order of a map's names does not matter; stored bytes are compared
//! byte by byte.

use broker_wasm::{BytesColumn, PluginError, RowError, Serializer};

use super::case::{Case, Subject, TOPIC, shown};
use super::fixture::SerializerCase;
use super::kinds::EXPECTS_NOTHING;
use crate::message_pack::{BinForm, Packed, json_text};

/// Rows, null where they are null or refused.
type Rows = Vec<Option<Vec<u8>>>;

/// What a serializer made of rows.
#[derive(Debug, PartialEq)]
pub(super) struct Converted {
    rows: Rows,
    refused: Vec<RowError>,
    /// What became of `rows` on the way back.
    back: Option<(Rows, Vec<RowError>)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Stored bytes.
    Stored,
    /// MessagePack values.
    Values,
}

impl Case for SerializerCase {
    type Answer = Converted;

    fn name(&self) -> &str {
        &self.name
    }

    fn expected_error(&self) -> Option<&str> {
        self.expect.error.as_deref()
    }

    fn mistake(&self) -> Option<String> {
        let rows = match (&self.serialize, &self.deserialize) {
            (Some(rows), None) => rows.len(),
            (None, Some(rows)) => rows.len(),
            _ => return Some("it has to have one of `serialize` and `deserialize`".to_owned()),
        };
        let expect = &self.expect;
        if expect.rows.is_none()
            && expect.error.is_none()
            && expect.refused.is_empty()
            && !self.round_trip
        {
            return Some(EXPECTS_NOTHING.to_owned());
        }
        if let Some(expected) = expect
            .rows
            .as_ref()
            .filter(|expected| expected.len() != rows)
        {
            let count = expected.len();
            return Some(format!("expect.rows has {count} entries for {rows} rows"));
        }
        if let Some(row) = expect.refused.keys().find(|row| **row as usize >= rows) {
            return Some(format!("expect.refused names row {row} of {rows} rows"));
        }
        let bad = |packed: &Packed| stored_bytes(packed).is_err();
        let expects_values = self.deserialize.is_some();
        if !expects_values && expect.rows.iter().flatten().any(bad) {
            return Some("stored bytes are null, text, {\"hex\": …} or {\"base64\": …}".to_owned());
        }
        None
    }

    fn ask(&self, subject: &Subject<'_>) -> Result<Converted, PluginError> {
        let options = self.options.pairs();
        let engine = &subject.offline.engine;
        let mut plugin = Serializer::new(engine, &subject.plugin, TOPIC, &options)?;
        let given = self.given();
        let (rows, refused) = convert(&mut plugin, self.asks_for(), &given)?;
        let back = match self.asks_for() {
            _ if !self.round_trip => None,
            Form::Stored => Some(convert(&mut plugin, Form::Values, &rows)?),
            Form::Values => Some(convert(&mut plugin, Form::Stored, &rows)?),
        };
        Ok(Converted {
            rows,
            refused,
            back,
        })
    }

    fn differences(&self, answer: &Converted) -> Vec<String> {
        let mut found = self.refusals_that_differ(&answer.refused);
        let form = self.asks_for();
        let expected = self.expect.rows.iter().flatten().enumerate();
        for (row, (expected, got)) in expected
            .zip(&answer.rows)
            .map(|((row, e), g)| (row, (e, g)))
        {
            let expected = match form {
                Form::Stored => stored_bytes(expected).unwrap_or_default(),
                Form::Values => value_row(expected),
            };
            if !is_equal(form, expected.as_deref(), got.as_deref()) {
                let (expected, got) = (text(form, expected.as_deref()), text(form, got.as_deref()));
                found.push(format!("row {row}: expected {expected}, got {got}"));
            }
        }
        if let Some((back, refused)) = &answer.back {
            found.extend(self.losses(answer, back, refused));
        }
        found
    }
}

impl SerializerCase {
    fn asks_for(&self) -> Form {
        match self.serialize {
            Some(_) => Form::Stored,
            None => Form::Values,
        }
    }

    fn given(&self) -> Rows {
        let values = self.serialize.iter().flatten().map(value_row);
        let stored = self.deserialize.iter().flatten().map(|data| data.0.clone());
        values.chain(stored).collect()
    }

    fn refusals_that_differ(&self, refused: &[RowError]) -> Vec<String> {
        let mut found = Vec::new();
        for RowError { row, message } in refused {
            match self.expect.refused.get(row) {
                Some(expected) if message.contains(expected.as_str()) => {}
                Some(expected) => found.push(format!(
                    "row {row}: expected a refusal that says {expected:?}, got: {message}"
                )),
                None => found.push(format!("row {row}: was refused: {message}")),
            }
        }
        let accepted = |row: &&u32| !refused.iter().any(|error| error.row == **row);
        for row in self.expect.refused.keys().filter(accepted) {
            found.push(format!("row {row}: expected a refusal, it was accepted"));
        }
        found
    }

    /// What did not survive the way there and back.
    fn losses(&self, there: &Converted, back: &Rows, refused: &[RowError]) -> Vec<String> {
        let form = match self.asks_for() {
            Form::Stored => Form::Values,
            Form::Values => Form::Stored,
        };
        let refused_back = refused.iter().map(|error| {
            let (row, message) = (error.row, &error.message);
            format!("row {row}: its own answer is refused on the way back: {message}")
        });
        let mut found: Vec<_> = refused_back.collect();
        for (row, (given, got)) in self.given().iter().zip(back).enumerate() {
            let is_refused =
                |errors: &[RowError]| errors.iter().any(|error| error.row as usize == row);
            if is_refused(&there.refused) || is_refused(refused) {
                continue;
            }
            if !is_equal(form, given.as_deref(), got.as_deref()) {
                let (given, got) = (text(form, given.as_deref()), text(form, got.as_deref()));
                found.push(format!("row {row}: {given} comes back as {got}"));
            }
        }
        found
    }
}

fn convert(
    plugin: &mut Serializer,
    into: Form,
    rows: &Rows,
) -> Result<(Rows, Vec<RowError>), PluginError> {
    let given: BytesColumn = rows.iter().map(Option::as_deref).collect();
    let mut out = BytesColumn::default();
    let refused = match into {
        Form::Stored => plugin.serialize(&given, &mut out)?,
        Form::Values => plugin.deserialize(&given, &mut out)?,
    };
    let rows = out.rows().map(|row| row.map(<[u8]>::to_owned));
    Ok((rows.collect(), refused))
}

/// Nil is a null row.
fn value_row(packed: &Packed) -> Option<Vec<u8>> {
    (packed.0 != [0xc0]).then(|| packed.0.clone())
}

/// The bytes that a fixture's text or marked bytes stand for.
fn stored_bytes(packed: &Packed) -> Result<Option<Vec<u8>>, ()> {
    if packed.0 == [0xc0] {
        return Ok(None);
    }
    if let Ok((text, [])) = rmp::decode::read_str_from_slice(&packed.0) {
        return Ok(Some(text.as_bytes().to_owned()));
    }
    let mut rest = packed.0.as_slice();
    match rmp::decode::read_bin_len(&mut rest) {
        Ok(_) => Ok(Some(rest.to_owned())),
        Err(_) => Err(()),
    }
}

fn is_equal(form: Form, one: Option<&[u8]>, other: Option<&[u8]>) -> bool {
    if one == other {
        return true;
    }
    let (Form::Values, Some(one), Some(other)) = (form, one, other) else {
        return false;
    };
    let value = |packed: &[u8]| {
        let json = json_text(packed, BinForm::Marked).ok()?;
        serde_json::from_str::<serde_json::Value>(&json).ok()
    };
    value(one).is_some_and(|one| value(other) == Some(one))
}

fn text(form: Form, row: Option<&[u8]>) -> String {
    match (form, row) {
        (Form::Values, Some(packed)) => {
            json_text(packed, BinForm::Marked).unwrap_or_else(|_| shown(Some(packed)))
        }
        _ => shown(row),
    }
}
