//! `sessctl doctor`: what may go wrong that neither status nor verify says.

use std::io;

use anyhow::Result;
use clap::Args as ClapArgs;
use serde::Serialize;

use super::Context;
use crate::doctor::{self, Level, Line};
use crate::failure::exit;
use crate::output::{Page, Report, Rows, Style};

/// Check connection, rights, sessions and surroundings: one line each, with a hint
///
/// Exits with 1 if a line is a problem.
#[derive(ClapArgs, Debug)]
pub struct Args {}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// It could not look.
    pub async fn run(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        let database = context.connect("doctor").await?;
        let lines = doctor::examine(&database).await?;
        let target = database.target().to_string();
        database.close().await;
        Ok(Box::new(Diagnosis {
            ok: lines.iter().all(|line| line.finding.level != Level::Problem),
            target,
            checks: lines,
        }))
    }
}

#[derive(Serialize)]
struct Diagnosis {
    ok: bool,
    target: String,
    checks: Vec<Line>,
}

fn words(level: Level) -> (&'static str, Style) {
    match level {
        Level::Ok => ("ok", Style::Good),
        Level::Warning => ("warning", Style::Warning),
        Level::Problem => ("problem", Style::Bad),
    }
}

impl Report for Diagnosis {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        out.line(out.paint(Style::Bold, &self.target))?;
        for Line { check, finding } in &self.checks {
            let (word, style) = words(finding.level);
            let label = out.paint(style, &format!("{word:7}"));
            out.line(label + format!("  {check:17}  {}", finding.message))?;
            if let Some(hint) = &finding.hint {
                out.line(out.paint(Style::Dim, &format!("{:28}→ {hint}", "")))?;
            }
        }
        Ok(())
    }

    fn csv(&self) -> Option<Rows> {
        let rows = self.checks.iter().map(|Line { check, finding }| {
            vec![
                words(finding.level).0.into(),
                (*check).into(),
                finding.message.clone(),
                finding.hint.clone().unwrap_or_default(),
            ]
        });
        Some((vec!["level", "check", "message", "hint"], rows.collect()))
    }

    fn code(&self) -> u8 {
        if self.ok { exit::DONE } else { exit::NO }
    }
}
