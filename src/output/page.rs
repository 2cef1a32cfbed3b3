//! What people read: lines and tables, with colour where it is wanted.

use std::io::{self, Write};

use comfy_table::{Table, presets};

use super::text::{Text, count, no_command};

/// Maximum number of rows of a table, and of characters of a cell. What is left out is in the other formats.
const MAX_ROWS: usize = 1000;
const MAX_CELL: usize = 120;

/// Where a table is written, and how it may look.
pub struct Page<'a> {
    out: &'a mut dyn Write,
    styled: bool,
}

impl<'a> Page<'a> {
    /// A page on a writer, with or without colour and drawings.
    pub fn new(out: &'a mut dyn Write, styled: bool) -> Self {
        Self { out, styled }
    }

    /// Whether colour and drawings are wanted.
    pub fn styled(&self) -> bool {
        self.styled
    }

    /// Writes one line.
    ///
    /// # Errors
    /// The writer's.
    pub fn line(&mut self, text: impl Into<Text>) -> io::Result<()> {
        writeln!(self.out, "{}", no_command(&text.into()))
    }

    /// Writes the lines of a text of our own, such as a migration.
    ///
    /// # Errors
    /// The writer's.
    pub fn lines(&mut self, text: &str) -> io::Result<()> {
        text.lines().try_for_each(|line| self.line(line))
    }

    /// Writes a table; of long cells the start, and of many rows the first.
    ///
    /// # Errors
    /// The writer's.
    pub fn grid(&mut self, header: &[&str], rows: Vec<Vec<Text>>) -> io::Result<()> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(header.iter().map(|title| self.paint(Style::Dim, title).to_string()));
        // Every line is as wide as the widest cell.
        let shown = rows.iter().take(MAX_ROWS);
        table.add_rows(shown.map(|row| row.iter().map(|cell| cell.shortened(MAX_CELL).to_string())));
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        for line in table.lines() {
            self.line(Text::styled(line.trim_end().to_owned()))?;
        }
        match rows.len().saturating_sub(MAX_ROWS) {
            0 => Ok(()),
            more => self.line(format!("… and {} more", count(more as u64))),
        }
    }

    /// `text` in a style, where colour is wanted.
    pub fn paint(&self, style: Style, text: &str) -> Text {
        paint(self.styled, style, text)
    }
}

/// The few ways a word can look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Of first importance.
    Bold,
    /// Aside.
    Dim,
    /// All is well.
    Good,
    /// Worth a look.
    Warning,
    /// Wrong.
    Bad,
}

/// `text` in a style, where `styled`.
pub fn paint(styled: bool, style: Style, text: &str) -> Text {
    let text = Text::from(text);
    let code = match style {
        Style::Bold => "1",
        Style::Dim => "2",
        Style::Good => "32",
        Style::Warning => "33",
        Style::Bad => "31",
    };
    if styled {
        Text::styled(format!("\x1b[{code}m{text}\x1b[0m"))
    } else {
        text
    }
}
