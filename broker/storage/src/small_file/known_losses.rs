//! `known-losses` of a partition: acknowledged records that went with the machine's power, as
//! `flush.mode = async` allows. Written before the log goes on without them, so that every later start tells
//! them again, and none takes them for damage; forgotten once all records up to there are deleted.
//!
//! One line a loss: `{first offset lost} {offset after the last} {log end then} {flush.ms}`, which is 0 where the
//! topic was not asynchronous any more.

use std::time::Duration;

use broker_model::Offset;

use super::{SmallFile, word};
use crate::recovery::PowerLoss;

/// Losses that can be named, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KnownLosses(pub(crate) Vec<PowerLoss>);

impl KnownLosses {
    pub(crate) const FILE: &str = "known-losses";
    /// More are not told apart: the oldest are forgotten.
    const MAX: usize = 100;

    /// Adds one, unless it is known.
    pub(crate) fn add(&mut self, loss: PowerLoss) {
        if !self.0.contains(&loss) {
            self.0.push(loss);
        }
        let too_many = self.0.len().saturating_sub(Self::MAX);
        self.0.drain(..too_many);
    }

    /// Forgets those whose offsets are below a log start; whether there were any.
    pub(crate) fn forget_below(&mut self, start: Offset) -> bool {
        let before = self.0.len();
        self.0.retain(|loss| loss.is_told_from(start));
        self.0.len() < before
    }
}

impl SmallFile for KnownLosses {
    fn write_lines(&self, text: &mut String) {
        for loss in &self.0 {
            if let Some(lost) = &loss.known_lost {
                let window = loss.window.unwrap_or_default().as_millis();
                text.push_str(&format!(
                    "{} {} {} {window}\n",
                    lost.start, lost.end, loss.end
                ));
            }
        }
    }

    fn from_lines(lines: &[&str]) -> Result<Self, String> {
        let mut found = Vec::new();
        for line in lines {
            let mut words = line.split(' ');
            let first = Offset::new(word(&mut words, "first offset")?);
            let next = Offset::new(word(&mut words, "next offset")?);
            found.push(PowerLoss {
                end: Offset::new(word(&mut words, "log end")?),
                known_lost: Some(first..next),
                window: Some(Duration::from_millis(word(&mut words, "flush.ms")?))
                    .filter(|window| !window.is_zero()),
            });
        }
        Ok(Self(found))
    }
}
