//! The README's fenced commands, by heading, so that tests run what the page says and not a copy of
//! it. A heading counts by its exact text; a block counts if its fence says `sh`.

use std::fs;

use crate::repository;

/// The text of README.md.
#[derive(Debug)]
pub struct Readme {
    text: String,
}

/// A heading without exactly one command under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingCommand {
    heading: String,
    found: Vec<String>,
}

impl std::fmt::Display for MissingCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { heading, found } = self;
        write!(
            f,
            "README.md needs exactly one command in sh fences under \"{heading}\", found {found:?}"
        )
    }
}

impl std::error::Error for MissingCommand {}

impl Readme {
    /// Reads the page.
    ///
    /// # Panics
    /// When it is not there.
    pub fn load() -> Self {
        let text = fs::read_to_string(repository().join("README.md"));
        Self::from_text(&text.expect("README.md can be read"))
    }

    /// Takes a text for the page.
    pub fn from_text(text: &str) -> Self {
        Self {
            text: text.to_owned(),
        }
    }

    /// The one command under a heading.
    ///
    /// # Errors
    /// When there is none or more than one.
    pub fn command(&self, heading: &str) -> Result<String, MissingCommand> {
        let found = self.commands(heading);
        match found.as_slice() {
            [only] => Ok(only.clone()),
            _ => Err(MissingCommand {
                heading: heading.to_owned(),
                found,
            }),
        }
    }

    /// Every command under a heading, up to the next heading of any level.
    pub fn commands(&self, heading: &str) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        let (mut in_section, mut fence) = (false, None);
        let mut continues = false;
        for line in self.text.lines() {
            let line = line.trim_end();
            if let Some(info) = line.strip_prefix("```") {
                fence = match fence {
                    None => Some(info.trim().to_owned()),
                    Some(_) => None,
                };
                continue;
            }
            if fence.is_none() && line.starts_with('#') {
                in_section = line.trim_start_matches('#').trim() == heading;
                continue;
            }
            let is_command = in_section && fence.as_deref() == Some("sh");
            if !is_command || line.is_empty() || line.starts_with('#') {
                continue;
            }
            let part = line.strip_suffix('\\').unwrap_or(line).trim();
            match found.last_mut() {
                Some(last) if continues => *last = format!("{last} {part}"),
                _ => found.push(part.to_owned()),
            }
            continues = line.ends_with('\\');
        }
        found
    }
}

/// Splits a command into words the way a shell does, as far as the README needs it: blanks, single
/// and double quotes.
pub fn shell_words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote) = (None::<String>, None);
    for c in command.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# Product\n```sh\nnot this\n```\n## Run\nText.\n```sh\n# a comment\ncargo run \\\n  -- serve 'a b'\n```\n```toml\nno = 1\n```\n### More\n```sh\none\ntwo\n```\n";

    #[test]
    fn a_command_is_found_under_its_heading_and_continued_lines_are_joined() {
        let readme = Readme::from_text(PAGE);
        let run = readme.command("Run").unwrap();
        assert_eq!(run, "cargo run -- serve 'a b'");
        assert_eq!(shell_words(&run), ["cargo", "run", "--", "serve", "a b"]);
    }

    #[test]
    fn no_command_and_two_commands_are_both_refused() {
        let readme = Readme::from_text(PAGE);
        assert!(readme.command("Test").is_err());
        let error = readme.command("More").unwrap_err().to_string();
        assert!(error.contains("one") && error.contains("two"), "{error}");
    }
}
