//! A table.

use std::fmt::{self, Write as _};

use super::Markup;
use super::palette::{SERIES, hex};

/// A table with a header; the first cell of a row is the row's.
#[derive(Default)]
pub struct Table {
    header: Vec<Markup>,
    rows: Vec<Vec<Markup>>,
    /// Of each row, from 0 to 1.
    bars: Vec<f64>,
    has_words: bool,
}

impl Table {
    /// A table without rows.
    pub fn new(header: Vec<Markup>) -> Self {
        Self {
            header,
            ..Self::default()
        }
    }

    /// Its cells are words, not numbers.
    pub fn of_words(self) -> Self {
        Self {
            has_words: true,
            ..self
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<Markup>) {
        self.rows.push(cells);
    }

    /// Adds a row with a bar at its end, from 0 to 1.
    pub fn row_with_bar(&mut self, cells: Vec<Markup>, bar: f64) {
        self.rows.push(cells);
        self.bars.push(bar);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = if self.has_words { " class=\"words\"" } else { "" };
        write!(f, "<div class=\"wide\"><table{class}>\n<thead><tr>")?;
        for title in &self.header {
            write!(f, "<th scope=\"col\">{title}</th>")?;
        }
        f.write_str("</tr></thead>\n<tbody>\n")?;
        for (number, row) in self.rows.iter().enumerate() {
            f.write_str("<tr>")?;
            for (column, cell) in row.iter().enumerate() {
                match column {
                    0 => write!(f, "<th scope=\"row\">{cell}</th>")?,
                    _ => write!(f, "<td>{cell}</td>")?,
                }
            }
            if let Some(bar) = self.bars.get(number) {
                let mut svg = String::new();
                write!(
                    svg,
                    "<svg viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
                     <rect width=\"{:.2}\" height=\"8\" fill=\"{}\"/></svg>",
                    bar * 100.0,
                    hex(SERIES[0].0)
                )?;
                write!(f, "<td class=\"bar\">{svg}</td>")?;
            }
            f.write_str("</tr>\n")?;
        }
        f.write_str("</tbody></table></div>\n")
    }
}
