//! Keys and values for the eye: text where they are text, hexadecimal where they are not. What
//! counts as text depends on where it goes: a terminal must not get control characters.

use serde::ser::{Serialize, SerializeMap, Serializer};

/// Where output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// A terminal, which obeys control characters.
    Terminal,
    /// A file or another program.
    Elsewhere,
}

/// Whether bytes can be shown as they are: UTF-8 without NUL, and on a terminal without any control
/// character but tab and line ends.
pub(crate) fn is_text(bytes: &[u8], destination: Destination) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    match destination {
        Destination::Elsewhere => !bytes.contains(&0),
        Destination::Terminal => !text
            .chars()
            .any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')),
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or('?');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// A key, value or header value in JSON: null, a string if it is UTF-8, else `{"hex": "…"}`.
pub(crate) struct JsonData<'a>(pub(crate) Option<&'a [u8]>);

impl Serialize for JsonData<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(bytes) = self.0 else {
            return serializer.serialize_none();
        };
        match std::str::from_utf8(bytes) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("hex", &hex(bytes))?;
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_never_gets_control_characters() {
        let escape = b"\x1b[2J";
        assert!(is_text(escape, Destination::Elsewhere));
        assert!(!is_text(escape, Destination::Terminal));
        assert!(is_text("naïve\tline\n".as_bytes(), Destination::Terminal));
    }

    #[test]
    fn bytes_that_are_not_utf8_and_nul_are_not_text_anywhere() {
        for bytes in [&b"\xff\xfe"[..], b"a\0b"] {
            assert!(!is_text(bytes, Destination::Elsewhere));
            assert!(!is_text(bytes, Destination::Terminal));
        }
    }

    #[test]
    fn json_tells_null_text_and_bytes_apart() {
        let shown = |data| serde_json::to_string(&JsonData(data)).unwrap();
        assert_eq!(shown(None), "null");
        assert_eq!(shown(Some(b"")), "\"\"");
        assert_eq!(shown(Some(b"null")), "\"null\"");
        assert_eq!(shown(Some(b"\x00\xff")), r#"{"hex":"00ff"}"#);
    }
}
