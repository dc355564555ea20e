//! How many growths of the topic a key was born after, as its record says it.

use plugin_sdk::Config;

/// What says it.
pub(crate) enum Generation {
    /// Nothing: every key is as old as the topic.
    Creation,
    /// Where keys lie among these numbers.
    Numbers(Vec<u128>),
    /// Where keys lie among these byte strings.
    Bytes(Vec<Vec<u8>>),
    /// The header of this name.
    Header(String),
}

impl Generation {
    pub(crate) fn new(config: &Config) -> Result<Self, String> {
        let order = config.option("order");
        let generation = match (config.option("boundaries"), config.option("header")) {
            (Some(_), Some(_)) => {
                return Err("only one of the options boundaries and header".to_owned());
            }
            (Some(boundaries), None) => return Generation::of_boundaries(boundaries, order),
            (None, Some(header)) => Generation::Header(header.to_owned()),
            (None, None) => Generation::Creation,
        };
        match order {
            Some(_) => Err("option order goes with the option boundaries".to_owned()),
            None => Ok(generation),
        }
    }

    fn of_boundaries(boundaries: &str, order: Option<&str>) -> Result<Self, String> {
        let wrong = |what: &str| format!("option boundaries = {boundaries:?}: {what}");
        let texts = boundaries.split(',').map(str::trim);
        let ascend = || wrong("they have to ascend");
        match order.unwrap_or("number") {
            "number" => {
                let numbers = texts.map(|text| number(text.as_bytes()));
                let numbers: Option<Vec<_>> = numbers.collect();
                let numbers =
                    numbers.ok_or_else(|| wrong("not numbers with commas between them"))?;
                let is_ascending = numbers.is_sorted_by(|one, next| one < next);
                is_ascending
                    .then_some(Generation::Numbers(numbers))
                    .ok_or_else(ascend)
            }
            "bytes" => {
                let texts: Vec<_> = texts.map(|text| text.as_bytes().to_vec()).collect();
                let is_ascending = texts.is_sorted_by(|one, next| one < next);
                is_ascending
                    .then_some(Generation::Bytes(texts))
                    .ok_or_else(ascend)
            }
            other => Err(format!("option order = {other:?}: not number or bytes")),
        }
    }

    /// The header that is looked at.
    pub(crate) fn header(&self) -> Option<&str> {
        match self {
            Generation::Header(name) => Some(name),
            _ => None,
        }
    }

    /// How many growths a record's key was born after.
    pub(crate) fn of(&self, key: &[u8], header: Option<&[u8]>) -> Result<usize, String> {
        Ok(match self {
            Generation::Creation => 0,
            Generation::Numbers(boundaries) => number(key).map_or(0, |key| {
                boundaries.partition_point(|boundary| *boundary <= key)
            }),
            Generation::Bytes(boundaries) => {
                boundaries.partition_point(|boundary| boundary.as_slice() <= key)
            }
            Generation::Header(name) => match header {
                None => 0,
                Some(value) => {
                    let value =
                        number(value).ok_or_else(|| format!("header {name}: not a number"))?;
                    usize::try_from(value).unwrap_or(usize::MAX)
                }
            },
        })
    }
}

fn number(text: &[u8]) -> Option<u128> {
    let digits = text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text)
        .ok()
        .filter(|_| digits)?
        .parse()
        .ok()
}
