//! Standard output and standard error, used as the flags want it.

use std::io::{self, IsTerminal, Write};
use std::thread;

use anyhow::Result;
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use tokio::sync::oneshot;

use super::page::{Page, Style, paint};
use super::text::{Text, no_command};
use super::{Format, Report, csv, json, unsupported};
use crate::failure::{Failure, exit};

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

/// Whether TERM names a terminal that takes text alone, or none.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|name| name.is_empty() || name == "dumb")
}

/// Colour of help and of refused arguments. clap alone would colour a dumb terminal where CI is set.
pub fn help_color() -> clap::ColorChoice {
    if is_dumb() {
        clap::ColorChoice::Never
    } else {
        clap::ColorChoice::Auto
    }
}

/// Standard output and standard error, used as the flags want it.
#[derive(Debug)]
pub struct Terminal {
    format: Format,
    quiet: bool,
    verbose: bool,
    out_styled: bool,
    out_live: bool,
    err_styled: bool,
    err_live: bool,
}

impl Terminal {
    /// Looks at the two streams, TERM and NO_COLOR once.
    pub fn new(format: Format, color: Color, quiet: bool, verbose: bool) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = is_dumb();
        let styled = |is_terminal: bool| match color {
            Color::Auto => is_terminal && !is_dumb && !no_color,
            Color::Always => true,
            Color::Never => false,
        };
        let out_terminal = io::stdout().is_terminal();
        let err_terminal = io::stderr().is_terminal();
        Self {
            format,
            quiet,
            verbose,
            out_styled: styled(out_terminal),
            out_live: out_terminal && !is_dumb && !quiet,
            err_styled: styled(err_terminal),
            err_live: err_terminal && !is_dumb && !quiet && styled(err_terminal),
        }
    }

    /// The format asked for.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether more is to be said.
    pub fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Whether standard output takes colour.
    pub fn styled(&self) -> bool {
        self.out_styled
    }

    /// Whether a result can be drawn over the one before: a table, on a terminal with a cursor that moves.
    pub fn redraws(&self) -> bool {
        self.out_live && self.format == Format::Table
    }

    /// Writes a result over all that the terminal shows, in one piece, so that it does not flicker.
    ///
    /// # Errors
    /// The writer's.
    pub fn redraw(&self, report: &dyn Report) -> Result<()> {
        let mut screen = b"\x1b[H\x1b[2J".to_vec();
        self.write(report, &mut screen)?;
        let mut out = io::stdout().lock();
        out.write_all(&screen)?;
        Ok(out.flush()?)
    }

    /// A line on standard error for who watches; silent with --quiet.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.stderr(&paint(self.err_styled, Style::Dim, text));
        }
    }

    /// A warning on standard error; silent with --quiet.
    pub fn warn(&self, text: &str) {
        if !self.quiet {
            self.warn_always(text);
        }
    }

    /// A warning on standard error that --quiet does not hide.
    pub fn warn_always(&self, text: &str) {
        self.labelled(Style::Warning, "warning:", text);
    }

    /// A line about something that failed, on standard error.
    pub fn error_line(&self, text: &str) {
        self.labelled(Style::Bad, "error:", text);
    }

    /// What to do about it.
    pub fn hint_line(&self, text: &str) {
        self.labelled(Style::Good, "hint:", text);
    }

    /// Asks on standard error. Null where nobody is there to answer: standard input or error is no terminal. The answer is read in
    /// a thread, so that a signal need not wait for it.
    pub fn ask(&self, question: &str) -> Option<oneshot::Receiver<bool>> {
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return None;
        }
        let (sender, answer) = oneshot::channel();
        let question = paint(self.err_styled, Style::Warning, &format!("{question}. Go on? [y/N] "));
        let _ = write!(io::stderr().lock(), "{question}");
        thread::spawn(move || {
            let mut line = String::new();
            let is_read = io::stdin().read_line(&mut line).is_ok();
            let _ = sender.send(is_read && matches!(line.trim().to_lowercase().as_str(), "y" | "yes"));
        });
        Some(answer)
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
            Format::Json => writeln!(out, "{}", json::plain(&report.json()?))?,
            Format::Csv => {
                let rows = report.csv().ok_or_else(|| unsupported("csv"))?;
                csv::write(&rows, out)?;
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
        self.error_line(&error.to_string());
        let failure = error.downcast_ref::<Failure>();
        for line in failure.map(Failure::excerpt).unwrap_or_default() {
            self.stderr(&line.as_str().into());
        }
        // A failure of ours says in its first line what matters; of any other error the causes say it.
        if self.verbose || failure.is_none() {
            for cause in error.chain().skip(1) {
                self.stderr(&format!("  because: {cause}").into());
            }
        }
        if let Some(hint) = failure.and_then(Failure::get_hint) {
            self.hint_line(hint);
        }
    }

    fn labelled(&self, style: Style, label: &str, text: &str) {
        self.stderr(&(paint(self.err_styled, style, label) + " " + text));
    }

    fn stderr(&self, line: &Text) {
        // With standard error gone there is nowhere left to say so.
        let _ = writeln!(io::stderr(), "{}", no_command(line));
    }
}

/// Whether an error says that who reads the output has gone.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
