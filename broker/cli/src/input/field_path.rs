//! `FieldPath`: a field of a JSON object, `customer.address.city`. A dot in a name is written `\.`.

use std::fmt;
use std::str::FromStr;

/// Names from the outermost object inwards; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldPath(Vec<String>);

impl FieldPath {
    /// The names, outermost first.
    pub(crate) fn names(&self) -> &[String] {
        &self.0
    }
}

impl FromStr for FieldPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut names = vec![String::new()];
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let last = names.last_mut().expect("it starts with one name");
            match c {
                '\\' => last.extend(chars.next()),
                '.' => names.push(String::new()),
                c => last.push(c),
            }
        }
        if names.iter().any(String::is_empty) {
            return Err(format!(
                "{text:?} names no field: write a.b for field b of object a"
            ));
        }
        Ok(Self(names))
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped: Vec<String> = self.0.iter().map(|name| name.replace('.', "\\.")).collect();
        f.write_str(&escaped.join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_separate_names_unless_escaped() {
        let path: FieldPath = r"a.b\.c.d".parse().unwrap();
        assert_eq!(path.names(), ["a", "b.c", "d"]);
        assert_eq!(path.to_string(), r"a.b\.c.d");
    }

    #[test]
    fn empty_names_are_refused() {
        for bad in ["", ".", "a.", ".a", "a..b"] {
            assert!(bad.parse::<FieldPath>().is_err(), "{bad:?} was accepted");
        }
    }
}
