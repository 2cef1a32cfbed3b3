//! How results are written: tables for people, JSON and CSV for programs. Nothing else knows of colours or columns.

mod csv;
mod exposition;
mod file;
mod github;
mod json;
mod page;
mod terminal;
mod text;

use std::io;

use clap::ValueEnum;
use serde::Serialize;

pub use csv::Rows;
pub use exposition::{Family, Kind, Number, exposition, printable};
pub use file::replace;
pub use github::annotation;
pub use json::Json;
pub use page::{Page, Style, paint};
pub use terminal::{Color, Terminal, help_color, is_broken_pipe};
pub use text::{Text, count, inert, is_invisible, one_line, size, span, sparkline};

use crate::failure::{Failure, exit};

/// What a result is written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tables and sentences, for people.
    #[default]
    Table,
    /// One object, for programs.
    Json,
    /// Rows with a header, where the result has rows.
    Csv,
    /// Annotations of a GitHub workflow, for verify.
    Github,
}

/// A command's result, able to show itself in each format. Its JSON is what it serializes to: an object whose keys are a
/// contract.
pub trait Report: Json {
    /// For people.
    ///
    /// # Errors
    /// The writer's.
    fn table(&self, out: &mut Page<'_>) -> io::Result<()>;

    /// For spreadsheets, where the result has rows.
    fn csv(&self) -> Option<Rows> {
        None
    }

    /// For a GitHub workflow: a command a line, where the result has findings.
    fn github(&self) -> Option<Vec<String>> {
        None
    }

    /// The exit code that goes with it.
    fn code(&self) -> u8 {
        exit::DONE
    }

    /// Whether there is nothing to write, in whatever format.
    fn silent(&self) -> bool {
        false
    }
}

/// The refusal of a format that a result does not have.
pub fn unsupported(format: &str) -> Failure {
    Failure::usage(format!("this command's result can't be written as {format}"))
        .hint("use --format table or --format json")
}

/// The result of a command that has written all it has to say: an exit code alone.
#[derive(Serialize)]
pub struct Done {
    /// The exit code.
    #[serde(skip)]
    pub code: u8,
}

impl Report for Done {
    fn table(&self, _: &mut Page<'_>) -> io::Result<()> {
        Ok(())
    }

    fn code(&self) -> u8 {
        self.code
    }

    fn silent(&self) -> bool {
        true
    }
}
