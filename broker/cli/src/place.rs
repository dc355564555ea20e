//! `Place`: where in a partition to start reading, as it is written after `--from`.

use std::str::FromStr;

use broker_client::model::Offset;

use crate::time_spec::{TIME_FORMS, TimeSpec};

/// A place in every partition that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The first record there is.
    Beginning,
    /// Behind the last record there is.
    End,
    /// This offset.
    Offset(Offset),
    /// So many records before the end.
    Last(u64),
    /// The first record with this timestamp or a later one.
    Time(TimeSpec),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "beginning" | "earliest" | "start" => return Ok(Self::Beginning),
            "end" | "latest" => return Ok(Self::End),
            _ => {}
        }
        if let Ok(offset) = text.parse::<u64>() {
            return Ok(Self::Offset(Offset::new(offset)));
        }
        if let Some(count) = text
            .strip_prefix('-')
            .and_then(|digits| digits.parse().ok())
        {
            return Ok(Self::Last(count));
        }
        text.parse().map(Self::Time).map_err(|_| {
            format!(
                "{text:?} is no place in a log: write beginning, end, an offset such as 500, \
                 -10 for the last ten, or a time ({TIME_FORMS})"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_words_offsets_counts_and_times() {
        assert_eq!("beginning".parse(), Ok(Place::Beginning));
        assert_eq!("latest".parse(), Ok(Place::End));
        assert_eq!("500".parse(), Ok(Place::Offset(Offset::new(500))));
        assert_eq!("-10".parse(), Ok(Place::Last(10)));
        assert!(matches!("5min-ago".parse(), Ok(Place::Time(_))));
        assert!(matches!("2026-11-20T10:00:00Z".parse(), Ok(Place::Time(_))));
    }

    #[test]
    fn other_places_are_refused_with_what_is_possible() {
        let error = "middle".parse::<Place>().unwrap_err();
        for part in ["\"middle\"", "beginning", "-10", "5min-ago"] {
            assert!(error.contains(part), "{part:?} is missing in {error:?}");
        }
    }
}
