//! JSON text to MessagePack in one pass, as RFC 8259 has it and nothing more. Heads of arrays and maps are
//! put in when their length is known. Reasons say where, counted in bytes.

use std::borrow::Cow;

use crate::messagepack::{
    DEPTH_MAX, write_array_len, write_bool, write_f64, write_int, write_map_len, write_nil,
    write_str, write_uint,
};

/// Adds the MessagePack of one JSON text to `out`.
///
/// # Errors
/// The text is not JSON, or says what a MessagePack value of the broker cannot: where and why. `out` may
/// have got a part of it.
pub fn to_messagepack(text: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let text = std::str::from_utf8(text)
        .map_err(|error| format!("not UTF-8 at byte {}", error.valid_up_to()))?;
    let mut parser = Parser {
        text,
        at: 0,
        names: Vec::new(),
    };
    parser.space();
    parser.value(out, 0)?;
    parser.space();
    match parser.peek() {
        None => Ok(()),
        Some(_) => Err(parser.wrong("something follows the value")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    /// Lists that were used for the names of an object, kept for the next one.
    names: Vec<Vec<Name>>,
}

/// A name of an object: where it was written to, and where it stands in the text.
#[derive(Clone, Copy)]
struct Name {
    start: usize,
    end: usize,
    at: usize,
}

/// Where in the text a name stands that came before.
fn twice(names: &mut [Name], out: &[u8]) -> Option<usize> {
    let text = |name: &Name| &out[name.start..name.end];
    if names.len() <= 8 {
        let came_before = |(index, name): &(usize, &Name)| {
            names[..*index]
                .iter()
                .any(|before| text(before) == text(name))
        };
        return names
            .iter()
            .enumerate()
            .find(came_before)
            .map(|(_, name)| name.at);
    }
    names.sort_unstable_by(|one, other| text(one).cmp(text(other)).then(one.at.cmp(&other.at)));
    let pairs = names
        .windows(2)
        .filter(|pair| text(&pair[0]) == text(&pair[1]));
    pairs.map(|pair| pair[1].at).min()
}

impl<'a> Parser<'a> {
    fn value(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), String> {
        match self.peek() {
            Some(b'{' | b'[') if depth >= DEPTH_MAX => {
                Err(self.wrong(&format!("nested deeper than {DEPTH_MAX} levels")))
            }
            Some(b'{') => self.object(out, depth + 1),
            Some(b'[') => self.array(out, depth + 1),
            Some(b'"') => {
                let text = self.string()?;
                write_str(out, &text);
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => self.number(out),
            Some(b't') => self.word("true").map(|()| write_bool(out, true)),
            Some(b'f') => self.word("false").map(|()| write_bool(out, false)),
            Some(b'n') => self.word("null").map(|()| write_nil(out)),
            Some(_) => Err(self.wrong("a value was expected")),
            None => Err(self.wrong("the text ends too early")),
        }
    }

    fn object(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), String> {
        let mut names = self.names.pop().unwrap_or_default();
        let from = begin(out);
        self.at += 1;
        self.space();
        if !self.eat(b'}') {
            loop {
                let at = self.at;
                if self.peek() != Some(b'"') {
                    return Err(self.wrong("a name in quotes was expected"));
                }
                let start = out.len();
                write_str(out, &self.string()?);
                let end = out.len();
                names.push(Name { start, end, at });
                self.space();
                self.expect(b':')?;
                self.space();
                self.value(out, depth)?;
                self.space();
                if self.eat(b'}') {
                    break;
                }
                self.expect(b',')?;
                self.space();
            }
        }
        let len = names.len();
        if let Some(at) = twice(&mut names, out) {
            self.at = at;
            return Err(self.wrong("a name that the object has already"));
        }
        finish(out, from, |head| write_map_len(head, len));
        names.clear();
        self.names.push(names);
        Ok(())
    }

    fn array(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), String> {
        let (from, mut len) = (begin(out), 0);
        self.at += 1;
        self.space();
        if !self.eat(b']') {
            loop {
                self.value(out, depth)?;
                len += 1;
                self.space();
                if self.eat(b']') {
                    break;
                }
                self.expect(b',')?;
                self.space();
            }
        }
        finish(out, from, |head| write_array_len(head, len));
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'a, str>, String> {
        self.at += 1;
        let mut text = Cow::Borrowed("");
        loop {
            let rest: &'a str = &self.text[self.at..];
            let plain = rest
                .bytes()
                .take_while(|byte| *byte >= 0x20 && *byte != b'"' && *byte != b'\\')
                .count();
            match text.is_empty() {
                true => text = Cow::Borrowed(&rest[..plain]),
                false => text.to_mut().push_str(&rest[..plain]),
            }
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => text.to_mut().push(self.escape()?),
                Some(_) => return Err(self.wrong("a control character has to be escaped")),
                None => return Err(self.wrong("a string does not end")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let escaped = self.text.as_bytes().get(self.at + 1).copied();
        let plain = match escaped {
            Some(quoted @ (b'"' | b'\\' | b'/')) => char::from(quoted),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.wrong("an unknown escape")),
        };
        self.at += 2;
        Ok(plain)
    }

    fn unicode(&mut self) -> Result<char, String> {
        let first = self.hex(self.at)?;
        let mut taken = 6;
        let code = match first {
            0xd800..=0xdbff => {
                let second = self.hex(self.at + 6)?;
                if !(0xdc00..=0xdfff).contains(&second) {
                    return Err(self.wrong("half of a surrogate pair"));
                }
                taken = 12;
                0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            code => code,
        };
        let found = char::from_u32(code).ok_or_else(|| self.wrong("half of a surrogate pair"))?;
        self.at += taken;
        Ok(found)
    }

    /// The four digits of the `\u` at this place.
    fn hex(&self, at: usize) -> Result<u32, String> {
        let digits = self.text.as_bytes().get(at..at + 6);
        let digits = digits.and_then(|escape| escape.strip_prefix(b"\\u"));
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        digits
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| self.wrong("\\u wants four hexadecimal digits, of a pair twice"))
    }

    fn number(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        let from = self.at;
        self.eat(b'-');
        let leading_zero = self.peek() == Some(b'0');
        let whole = self.digits()?;
        if leading_zero && whole > 1 {
            self.at = from;
            return Err(self.wrong("a number with a leading zero"));
        }
        let mut is_whole = true;
        if self.eat(b'.') {
            is_whole = false;
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            is_whole = false;
            let _ = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        let text = &self.text[from..self.at];
        if !is_whole || text == "-0" {
            let number: f64 = text
                .parse()
                .map_err(|_| self.wrong("a number was expected"))?;
            if !number.is_finite() {
                self.at = from;
                return Err(self.wrong("a number beyond the range of 64 bits"));
            }
            write_f64(out, number);
        } else if let Ok(number) = text.parse::<i64>() {
            write_int(out, number);
        } else if let Ok(number) = text.parse::<u64>() {
            write_uint(out, number);
        } else {
            self.at = from;
            return Err(self.wrong("an integer beyond the range of 64 bits"));
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<usize, String> {
        let rest = self.text[self.at..].bytes();
        let digits = rest.take_while(u8::is_ascii_digit).count();
        self.at += digits;
        match digits {
            0 => Err(self.wrong("a digit was expected")),
            digits => Ok(digits),
        }
    }

    fn word(&mut self, word: &str) -> Result<(), String> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.wrong("a value was expected"));
        }
        self.at += word.len();
        Ok(())
    }

    fn space(&mut self) {
        let rest = self.text[self.at..].bytes();
        self.at += rest
            .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
            .count();
    }

    fn expect(&mut self, byte: u8) -> Result<(), String> {
        if self.eat(byte) {
            return Ok(());
        }
        Err(self.wrong(&format!("{:?} was expected", char::from(byte))))
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn wrong(&self, what: &str) -> String {
        format!("not JSON at byte {}: {what}", self.at)
    }
}

/// Leaves room for the head of a small array or map, whose length is not known yet.
fn begin(out: &mut Vec<u8>) -> usize {
    out.push(0);
    out.len() - 1
}

/// Puts the head into its place; a long one moves what was written since.
fn finish(out: &mut Vec<u8>, from: usize, write: impl FnOnce(&mut Vec<u8>)) {
    let end = out.len();
    write(out);
    if out.len() == end + 1 {
        out.swap_remove(from);
        return;
    }
    let head = out.split_off(end);
    out.splice(from..=from, head);
}

#[cfg(test)]
mod tests {
    use super::to_messagepack;
    use crate::json::{Binary, from_messagepack};

    fn refused(text: &[u8]) -> String {
        to_messagepack(text, &mut Vec::new()).unwrap_err()
    }

    #[test]
    fn what_is_said_comes_back_as_it_was() {
        let long: Vec<String> = (0..70_000).map(|number| number.to_string()).collect();
        let long = format!("[{}]", long.join(","));
        let wide: Vec<String> = (0..20).map(|number| format!("\"{number}\":null")).collect();
        let wide = format!("{{{}}}", wide.join(","));
        for text in [
            "null",
            "true",
            "-1",
            "18446744073709551615",
            "-9223372036854775808",
            "1.5",
            "-0.0",
            "1e300",
            "\"\"",
            "\"ä\\n\\\"\\\\\\u0001\"",
            "[]",
            "{}",
            "{\"a\":[1,{\"b\":false}],\"c\":\"\"}",
            &long,
            &wide,
        ] {
            let (mut value, mut back) = (Vec::new(), Vec::new());
            to_messagepack(text.as_bytes(), &mut value).unwrap();
            crate::messagepack::check(&value).unwrap();
            from_messagepack(&value, Binary::Refuse, &mut back).unwrap();
            assert_eq!(String::from_utf8(back).unwrap(), text);
        }
    }

    #[test]
    fn a_name_that_comes_twice_is_found_among_many() {
        let names = |last: &str| {
            let names: Vec<_> = (0..100)
                .map(|name| format!("\"{name}\":{{\"7\":1}}"))
                .collect();
            format!("{{{},{last}:0}}", names.join(","))
        };
        assert!(to_messagepack(names("\"100\"").as_bytes(), &mut Vec::new()).is_ok());
        let text = names("\"7\"");
        let at = text.rfind("\"7\":0").unwrap();
        let reason = format!("not JSON at byte {at}: a name that the object has already");
        assert_eq!(refused(text.as_bytes()), reason);
    }

    #[test]
    fn escapes_are_resolved() {
        let mut value = Vec::new();
        to_messagepack(br#" "\ud83d\ude00\/\u00e4" "#, &mut value).unwrap();
        assert_eq!(value, [&b"\xa7"[..], "😀/ä".as_bytes()].concat());
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        for (text, reason) in [
            (&b""[..], "at byte 0: the text ends too early"),
            (b"nul", "at byte 0: a value was expected"),
            (b"1 2", "at byte 2: something follows the value"),
            (b"[1,]", "at byte 3: a value was expected"),
            (b"[1 2]", "at byte 3: ',' was expected"),
            (b"{\"a\" 1}", "at byte 5: ':' was expected"),
            (b"{a:1}", "at byte 1: a name in quotes was expected"),
            (
                b"{\"a\":1,\"a\":2}",
                "at byte 7: a name that the object has already",
            ),
            (
                b"{\"a\":1,\"\\u0061\":2}",
                "at byte 7: a name that the object has already",
            ),
            (b"01", "at byte 0: a number with a leading zero"),
            (b"-", "at byte 1: a digit was expected"),
            (b"1.", "at byte 2: a digit was expected"),
            (b"1e999", "at byte 0: a number beyond the range of 64 bits"),
            (
                b"18446744073709551616",
                "at byte 0: an integer beyond the range of 64 bits",
            ),
            (b"\"a", "at byte 2: a string does not end"),
            (
                b"\"\n\"",
                "at byte 1: a control character has to be escaped",
            ),
            (b"\"\\x\"", "at byte 1: an unknown escape"),
            (
                b"\"\\ud800\"",
                "at byte 1: \\u wants four hexadecimal digits",
            ),
            (b"\"\\udc00\"", "at byte 1: half of a surrogate pair"),
            (
                b"\"\\u+123\"",
                "at byte 1: \\u wants four hexadecimal digits",
            ),
            (b"NaN", "at byte 0: a value was expected"),
            (b"\xff", "not UTF-8 at byte 0"),
        ] {
            let found = refused(text);
            assert!(found.contains(reason), "{text:?}: {found}");
        }
        assert!(refused("[".repeat(33).as_bytes()).contains("nested deeper than 32 levels"));
        assert!(
            to_messagepack(
                ["[".repeat(32), "]".repeat(32)].concat().as_bytes(),
                &mut Vec::new()
            )
            .is_ok()
        );
    }
}
