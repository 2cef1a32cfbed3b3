//! What people read: lines and tables, with colour where it is wanted.

use std::io::{self, Write};

use comfy_table::{Table, presets};

use super::text::visible;

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

    /// Writes one line; control characters are made visible.
    ///
    /// # Errors
    /// The writer's.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", visible(text))
    }

    /// Writes lines as they stand, escape sequences included: for what was cleaned and styled before.
    ///
    /// # Errors
    /// The writer's.
    pub fn raw(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// Writes a table of cells that were cleaned and styled before.
    ///
    /// # Errors
    /// The writer's.
    pub fn grid(&mut self, header: &[&str], rows: Vec<Vec<String>>) -> io::Result<()> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(header.iter().map(|title| self.paint(Style::Dim, title)));
        table.add_rows(rows);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        for line in table.lines() {
            writeln!(self.out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// `text` in a style, where colour is wanted; control characters are made visible.
    pub fn paint(&self, style: Style, text: &str) -> String {
        paint(self.styled, style, &visible(text))
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
pub fn paint(styled: bool, style: Style, text: &str) -> String {
    let code = match style {
        Style::Bold => "1",
        Style::Dim => "2",
        Style::Good => "32",
        Style::Warning => "33",
        Style::Bad => "31",
    };
    if styled {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}
