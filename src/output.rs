//! How results are written: tables for people, JSON and CSV for programs. Nothing else knows of colours or columns.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use anyhow::Result;
use clap::ValueEnum;
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};

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

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Rows with a header, each as long as the header.
pub type Rows = (Vec<&'static str>, Vec<Vec<String>>);

/// A command's result, able to show itself in each format.
pub trait Report {
    /// For people.
    ///
    /// # Errors
    /// The writer's.
    fn table(&self, out: &mut Page<'_>) -> io::Result<()>;

    /// For programs: one object, its keys a contract.
    fn json(&self) -> serde_json::Value;

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

/// Control characters made visible, so that a value from the database can't steer a terminal.
pub fn visible(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => clean.push('\n'),
            c if reorders(c) => {
                let _ = write!(clean, "\\u{{{:x}}}", u32::from(c));
            }
            c if c.is_control() => {
                let _ = write!(clean, "\\x{:02x}", u32::from(c));
            }
            c => clean.push(c),
        }
    }
    clean
}

/// [`visible`], and in one line: a value can't pass for a line of its own.
pub fn one_line(text: &str) -> String {
    visible(text).replace('\n', "\\x0a")
}

/// Marks that reorder what follows them: they hide as well as an escape sequence does.
fn reorders(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// JSON in which nothing steers a terminal: what the serializer leaves raw inside strings is escaped too.
fn plain_json(value: &serde_json::Value) -> String {
    let mut text = String::new();
    for character in value.to_string().chars() {
        if character.is_control() || reorders(character) {
            let _ = write!(text, "\\u{:04x}", u32::from(character));
        } else {
            text.push(character);
        }
    }
    text
}

/// A number as people read it: 1,234,567.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A field of CSV: quoted where it must be, and never a formula to the spreadsheet that opens it.
fn csv_field(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

/// Standard output and standard error, used as the flags want it.
#[derive(Debug)]
pub struct Terminal {
    format: Format,
    quiet: bool,
    verbose: bool,
    out_styled: bool,
    err_styled: bool,
    err_live: bool,
}

impl Terminal {
    /// Looks at the two streams and NO_COLOR once.
    pub fn new(format: Format, color: Color, quiet: bool, verbose: bool) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let styled = |is_terminal: bool| match color {
            Color::Auto => is_terminal && !no_color,
            Color::Always => true,
            Color::Never => false,
        };
        let err_terminal = io::stderr().is_terminal();
        Self {
            format,
            quiet,
            verbose,
            out_styled: styled(io::stdout().is_terminal()),
            err_styled: styled(err_terminal),
            err_live: err_terminal && !quiet && styled(err_terminal),
        }
    }

    /// The format asked for.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether standard output takes colour.
    pub fn styled(&self) -> bool {
        self.out_styled
    }

    /// A line on standard error for who watches; silent with --quiet.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.stderr(&paint(self.err_styled, Style::Dim, &one_line(text)));
        }
    }

    /// A warning on standard error; silent with --quiet.
    pub fn warn(&self, text: &str) {
        if self.quiet {
            return;
        }
        let label = paint(self.err_styled, Style::Warning, "warning:");
        self.stderr(&format!("{label} {}", visible(text)));
    }

    /// A counter with its rate on standard error, where somebody watches; invisible elsewhere.
    pub fn counter(&self, unit: &str) -> ProgressBar {
        if !self.err_live {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new_spinner();
        let template = format!("{{spinner}} {{human_pos}} {unit}, {{rate}}, {{elapsed}}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(
                style.with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                    let _ = write!(out, "{:.0}/s", state.per_sec());
                }),
            );
        }
        bar
    }

    /// Writes the result, or the error with what to do next, and gives back the exit code.
    pub fn finish(&self, result: Result<Box<dyn Report>>) -> u8 {
        let written = result.and_then(|report| {
            let code = report.code();
            if !(report.silent() || self.quiet && code == exit::DONE) {
                let mut out = io::stdout().lock();
                match self.write(report.as_ref(), &mut out) {
                    // Who reads has seen enough (`| head`): that is no failure.
                    Err(error) if is_broken_pipe(&error) => {}
                    other => other?,
                }
            }
            Ok(code)
        });
        written.unwrap_or_else(|error| {
            self.error(&error);
            error.downcast_ref::<Failure>().map_or(exit::FAILED, Failure::code)
        })
    }

    /// Writes a result in the format asked for.
    ///
    /// # Errors
    /// The writer's, or a format that the result does not have.
    pub fn write(&self, report: &dyn Report, out: &mut dyn Write) -> Result<()> {
        match self.format {
            Format::Table => report.table(&mut Page::new(out, self.out_styled))?,
            Format::Json => writeln!(out, "{}", plain_json(&report.json()))?,
            Format::Csv => {
                let (header, rows) = report.csv().ok_or_else(|| unsupported("csv"))?;
                writeln!(out, "{}", header.join(","))?;
                for row in rows {
                    let fields: Vec<String> = row.iter().map(|field| csv_field(field)).collect();
                    writeln!(out, "{}", fields.join(","))?;
                }
            }
            Format::Github => {
                for line in report.github().ok_or_else(|| unsupported("github"))? {
                    writeln!(out, "{line}")?;
                }
            }
        }
        out.flush()?;
        Ok(())
    }

    fn error(&self, error: &anyhow::Error) {
        let label = paint(self.err_styled, Style::Bad, "error:");
        self.stderr(&format!("{label} {}", visible(&error.to_string())));
        let failure = error.downcast_ref::<Failure>();
        // A failure of ours says in its first line what matters; of any other error the causes say it.
        if self.verbose || failure.is_none() {
            for cause in error.chain().skip(1) {
                self.stderr(&format!("  because: {}", visible(&cause.to_string())));
            }
        }
        if let Some(advice) = failure.and_then(Failure::advice) {
            let label = paint(self.err_styled, Style::Good, "hint:");
            self.stderr(&format!("{label} {}", visible(advice)));
        }
    }

    fn stderr(&self, line: &str) {
        // With standard error gone there is nowhere left to say so.
        let _ = writeln!(io::stderr(), "{line}");
    }
}

/// The refusal of a format that a result does not have.
pub fn unsupported(format: &str) -> Failure {
    Failure::usage(format!("this command's result can't be written as {format}"))
        .remedy("use --format table or --format json")
}

/// Whether an error says that who reads the output has gone.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
