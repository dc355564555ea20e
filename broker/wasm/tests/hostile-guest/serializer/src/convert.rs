//! What a serializer can answer that it must not, and what it may refuse.

use plugin_sdk::{BytesColumn, Outcome, RowError};

use crate::Hostile;

impl Hostile {
    pub(crate) fn convert(&mut self, rows: &BytesColumn) -> Outcome {
        let mut outcome = Outcome {
            rows: rows.clone(),
            errors: Vec::new(),
        };
        if rows.rows().next() != Some(Some(b"\xa2go")) {
            return outcome;
        }
        let answer = &mut outcome.rows;
        let error = |row, message: &str| RowError {
            row,
            message: message.to_owned(),
        };
        match self.0.obey() {
            "giant-answer" => answer.data.resize(4 << 20, 0),
            "large-answer" => answer.data.resize(100_000, 0),
            "short-answer" => drop(answer.lens.pop()),
            "long-answer" => answer.lens.push(-1),
            "lengths" => answer.lens[0] += 1,
            "negative-length" => answer.lens[1] = -2,
            "huge-lengths" => answer.lens.fill(i32::MAX),
            "null-becomes-something" => answer.lens[1] = 0,
            "something-becomes-null" => {
                answer.lens[0] = -1;
                answer.data.drain(..3);
            }
            "not-messagepack" => answer.data[0] = 0xc1,
            "two-values" => answer.data[0] = 0xa1,
            "refuse" => outcome = self.refuse(rows, "not\nthis one"),
            "long-refusal" => outcome = self.refuse(rows, &"é".repeat(1_000)),
            "giant-refusal" => outcome = self.refuse(rows, &"x".repeat(4 << 20)),
            "refused-and-there" => outcome.errors.push(error(0, "no")),
            "error-out-of-range" => outcome.errors.push(error(3, "no")),
            "error-twice" => {
                outcome = self.refuse(rows, "no");
                outcome.errors.push(error(0, "no"));
            }
            "errors-out-of-order" => {
                outcome.errors = vec![error(1, "a null"), error(0, "no")];
            }
            _ => {}
        }
        outcome
    }

    /// Refuses the first row.
    fn refuse(&self, rows: &BytesColumn, message: &str) -> Outcome {
        let mut first = true;
        rows.map_rows(|row, out| {
            if std::mem::take(&mut first) {
                return Err(message.to_owned());
            }
            out.extend_from_slice(row);
            Ok(())
        })
    }
}
