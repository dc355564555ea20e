//! `Table`: columns of text under headings, without lines, so that `grep` and `awk` work on it.

use std::fmt;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table as Comfy, presets};

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows under headings.
pub(crate) struct Table {
    table: Comfy,
    aligns: Vec<CellAlignment>,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new(columns: &[(&str, Align)]) -> Self {
        let aligns: Vec<CellAlignment> = columns
            .iter()
            .map(|(_, align)| match align {
                Align::Left => CellAlignment::Left,
                Align::Right => CellAlignment::Right,
            })
            .collect();
        let mut table = Comfy::new();
        table.load_style(presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Disabled);
        let headings = columns.iter().zip(&aligns);
        table.set_header(
            headings.map(|((heading, _), align)| Cell::new(heading).set_alignment(*align)),
        );
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        Self { table, aligns }
    }

    /// Adds a row; one cell for each column.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        let cells = cells.into_iter().zip(&self.aligns);
        let cells = cells.map(|(text, align)| Cell::new(text).set_alignment(*align));
        self.table.add_row(cells);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.table.lines() {
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}
