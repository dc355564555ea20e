//! Where in a value the field lies, and options of two words.

use plugin_sdk::Config;
use plugin_sdk::messagepack::{Reader, Value};

/// What lies at the end of the path.
pub(crate) fn find<'a>(value: &'a [u8], path: &[String]) -> Option<Value<'a>> {
    let mut reader = Reader::new(value);
    for name in path {
        let mut pairs = reader.map_len().ok()?;
        loop {
            pairs = pairs.checked_sub(1)?;
            let found = reader.clone().read().ok()? == Value::Str(name);
            reader.skip().ok()?;
            if found {
                break;
            }
            reader.skip().ok()?;
        }
    }
    reader.read().ok()
}

/// Whether an option is the first of two words, as it is unless set.
pub(crate) fn choice(
    config: &Config,
    name: &str,
    [first, second]: [&str; 2],
) -> Result<bool, String> {
    match config.option(name).unwrap_or(first) {
        text if text == first => Ok(true),
        text if text == second => Ok(false),
        other => Err(format!(
            "option {name} = {other:?}: not {first} or {second}"
        )),
    }
}
