//! PROTOCOL.md as data: tables by heading, fields by method, vectors by title. Knows how the page is
//! laid out, not what it has to say.

use std::fmt::Write;

/// Where the page is.
pub(crate) const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/PROTOCOL.md");

/// The text of the page.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) text: String,
}

/// A row of a table, cell by cell, without backticks.
pub(crate) type Row = Vec<String>;

/// A vector as it is printed: hexadecimal lines, then JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Printed {
    pub(crate) title: String,
    pub(crate) hex: String,
    pub(crate) json: String,
}

impl Page {
    /// Reads the page.
    pub(crate) fn read() -> Self {
        let text = std::fs::read_to_string(PATH).expect("PROTOCOL.md lies beside Cargo.toml");
        Self { text }
    }

    /// The lines from a heading, which is given with its `#`s, to the next of its rank or above.
    pub(crate) fn section(&self, heading: &str) -> Result<&str, String> {
        let rank = heading.bytes().take_while(|byte| *byte == b'#').count();
        let start = format!("\n{heading}\n");
        let at = self
            .text
            .find(&start)
            .ok_or(format!("no heading {heading:?}"))?;
        let rest = self.text.get(at + start.len()..).unwrap_or_default();
        let ends = |line: &&str| {
            let level = line.bytes().take_while(|byte| *byte == b'#').count();
            (1..=rank).contains(&level) && line.as_bytes().get(level) == Some(&b' ')
        };
        let end = rest.lines().find(ends);
        let len = end.map_or(rest.len(), |line| {
            line.as_ptr() as usize - rest.as_ptr() as usize
        });
        Ok(rest.get(..len).unwrap_or_default())
    }

    /// The rows of the first table after a heading.
    pub(crate) fn table(&self, heading: &str) -> Result<Vec<Row>, String> {
        let rows = table_in(self.section(heading)?);
        if rows.is_empty() {
            return Err(format!("no table below {heading:?}"));
        }
        Ok(rows)
    }

    /// The rows of the table after `label` in the section of a method; none if there is no label.
    pub(crate) fn method_table(&self, method: &str, label: &str) -> Result<Vec<Row>, String> {
        let section = self.section(&format!("### `{method}`"))?;
        let Some((_, after)) = section.split_once(label) else {
            return Ok(Vec::new());
        };
        let (until_next_label, _) = after.split_once("\n**").unwrap_or((after, ""));
        Ok(table_in(until_next_label))
    }

    /// Everything printed after markers `<!-- kind: title -->`.
    pub(crate) fn printed(&self, kind: &str) -> Result<Vec<Printed>, String> {
        let marker = format!("<!-- {kind}: ");
        let mut found = Vec::new();
        for part in self.text.split(marker.as_str()).skip(1) {
            let (title, rest) = part.split_once(" -->\n").ok_or("an unfinished marker")?;
            let block = |language: &str| {
                let (_, after) = rest.split_once(&format!("```{language}\n"))?;
                after.split_once("\n```").map(|(block, _)| block.to_owned())
            };
            let hex = block("hex").ok_or(format!("{title}: no ```hex"))?;
            let json = block("json").ok_or(format!("{title}: no ```json"))?;
            found.push(Printed {
                title: title.to_owned(),
                hex,
                json,
            });
        }
        Ok(found)
    }

    /// The page with what follows a marker replaced.
    pub(crate) fn with_printed(&self, kind: &str, printed: &Printed) -> Self {
        let marker = format!("<!-- {kind}: {} -->\n", printed.title);
        let Some((before, rest)) = self.text.split_once(&marker) else {
            panic!("PROTOCOL.md has no line {marker:?}");
        };
        // The two blocks that are there already go.
        let mut after = rest;
        for fence in ["```hex\n", "```json\n"] {
            if let Some(block) = after.strip_prefix(fence) {
                after = block.split_once("\n```\n").expect("a block ends").1;
            }
        }
        let mut text = format!("{before}{marker}");
        writeln!(
            text,
            "```hex\n{}\n```\n```json\n{}\n```",
            printed.hex, printed.json
        )
        .unwrap();
        text.push_str(after);
        Self { text }
    }
}

/// The rows of the first table of a text, without its head.
fn table_in(text: &str) -> Vec<Row> {
    let lines = text.lines().skip_while(|line| !line.starts_with('|'));
    let table = lines.take_while(|line| line.starts_with('|'));
    table.skip(2).map(row).collect()
}

fn row(line: &str) -> Row {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
    inner
        .split('|')
        .map(|cell| cell.trim().replace('`', ""))
        .collect()
}
