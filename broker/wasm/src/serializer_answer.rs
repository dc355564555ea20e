//! What a serializer answers, and the rules that every answer is held to before a byte of it is used: as
//! many rows as were given, lengths that add up, and values that the protocol can carry.

use wasmtime::component::{ComponentType, Lift};

use crate::columns::{BytesColumn, Rows};
use crate::message_pack;

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct OwnedColumn {
    pub(crate) data: Vec<u8>,
    pub(crate) lens: Vec<i32>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct GuestRowError {
    pub(crate) row: u32,
    pub(crate) message: String,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Outcome {
    pub(crate) rows: OwnedColumn,
    pub(crate) errors: Vec<GuestRowError>,
}

/// An answer to `deserialize` as a guest may give it, for the fuzz targets.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct RawAnswer {
    /// The bytes of all rows.
    pub data: Vec<u8>,
    /// The length of each row; -1 is null.
    pub lens: Vec<i32>,
    /// The rows that it refuses.
    pub refused: Vec<u32>,
}

impl RawAnswer {
    /// What the broker makes of it.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check(self, given: &BytesColumn) -> Result<BytesColumn, String> {
        let refused = self.refused.into_iter().map(|row| GuestRowError {
            row,
            message: String::new(),
        });
        let mut outcome = Outcome {
            rows: OwnedColumn {
                data: self.data,
                lens: self.lens,
            },
            errors: refused.collect(),
        };
        let checked = outcome.check(given.rows(), Meaning::Values);
        checked.map_err(|broken| broken.problem)?;
        let mut column = BytesColumn::default();
        outcome.move_rows(&mut column);
        Ok(column)
    }
}

/// What the rows of an answer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Bytes to be stored: anything.
    Stored,
    /// MessagePack values, which go into answers as they are.
    Values,
}

/// A rule that an answer breaks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) row: Option<usize>,
    pub(crate) problem: String,
}

impl Broken {
    fn whole(problem: String) -> Result<(), Self> {
        Err(Broken { row: None, problem })
    }

    fn at(row: usize, problem: impl Into<String>) -> Result<(), Self> {
        let problem = problem.into();
        Err(Broken {
            row: Some(row),
            problem,
        })
    }
}

impl Outcome {
    /// Checks the answer to `given`: a row for each row, lengths that add up, null for null, every
    /// refused row null and listed once and in order, and nothing lost without a reason.
    pub(crate) fn check(&self, given: Rows<'_>, meaning: Meaning) -> Result<(), Broken> {
        self.check_lengths(given.len())?;
        self.check_errors()?;
        let mut errors = self
            .errors
            .iter()
            .map(|error| error.row as usize)
            .peekable();
        let answered = Rows::of(&self.rows.data, &self.rows.lens);
        for (row, (given, answered)) in given.zip(answered).enumerate() {
            let refused = errors.next_if_eq(&row).is_some();
            match (given, answered) {
                (_, Some(_)) if refused => {
                    return Broken::at(row, "the row is refused and not null");
                }
                (None, Some(_)) => return Broken::at(row, "the row was null and became something"),
                (Some(_), None) if !refused => {
                    return Broken::at(row, "the row became null and is not refused");
                }
                (_, Some(value)) if meaning == Meaning::Values => {
                    if let Some(problem) = message_pack::problem(value) {
                        return Broken::at(row, format!("the row {problem}"));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_lengths(&self, given: usize) -> Result<(), Broken> {
        let rows = self.rows.lens.len();
        if rows != given {
            return Broken::whole(format!("{rows} rows for {given} rows"));
        }
        let mut sum = 0_u64;
        for (row, len) in self.rows.lens.iter().enumerate() {
            match u64::try_from(*len) {
                Ok(len) => sum += len,
                Err(_) if *len == -1 => {}
                Err(_) => return Broken::at(row, format!("the row has a length of {len}")),
            }
        }
        let data = self.rows.data.len();
        if sum != data as u64 {
            return Broken::whole(format!("{data} bytes for rows of {sum} bytes in all"));
        }
        Ok(())
    }

    fn check_errors(&self) -> Result<(), Broken> {
        let rows = self.rows.lens.len();
        let mut last = None;
        for error in &self.errors {
            let row = error.row;
            if row as usize >= rows {
                return Broken::whole(format!("an error for row {row} of {rows}"));
            }
            if last == Some(row) {
                return Broken::whole(format!("two errors for row {row}"));
            }
            if last.is_some_and(|last| last > row) {
                return Broken::whole(format!("its errors are out of order at row {row}"));
            }
            last = Some(row);
        }
        Ok(())
    }

    /// Moves the rows behind those of `out`.
    pub(crate) fn move_rows(&mut self, out: &mut BytesColumn) {
        let data = std::mem::take(&mut self.rows.data);
        out.append(data, std::mem::take(&mut self.rows.lens));
    }
}
