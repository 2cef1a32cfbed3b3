//! `sessctl doctor`: what may go wrong that neither status nor verify says.

use std::io;

use anyhow::Result;
use clap::{Args as ClapArgs, ValueEnum};
use humantime::Duration as HumanDuration;
use serde::Serialize;

use super::Context;
use crate::doctor::{self, Asked, Level, Line};
use crate::failure::exit;
use crate::maintenance::{CLEANUP, END_INACTIVE};
use crate::output::{Page, Report, Rows, Style};
use crate::schema::Team;

/// Check connection, rights, sessions and jobs, with a hint for each problem
///
/// Exits with 1 if a line is a problem, or with --fail-on warning if one is a warning. Thresholds and schedules are those of
/// pg_cron's jobs, else of the last run. pg_cron's jobs send no ping: this command and metrics watch them too.
#[derive(ClapArgs, Debug)]
#[command(after_help = "Examples:\n  sessctl doctor\n  sessctl doctor --expect-every 10m --fail-on warning")]
pub struct Args {
    /// Threshold of end-inactive in minutes, instead of the job's own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(END_INACTIVE.range.clone()))]
    minutes: Option<i32>,
    /// Threshold of cleanup in days, instead of the job's own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(CLEANUP.range.clone()))]
    days: Option<i32>,
    /// Interval of end-inactive under another scheduler than pg_cron, such as 10m
    #[arg(long, value_name = "TIME")]
    expect_every: Option<HumanDuration>,
    /// Lowest level that makes the exit code 1
    #[arg(long, value_enum, default_value_t, value_name = "LEVEL")]
    fail_on: FailOn,
}

/// Ten years, the longest time that --expect-every is taken for, in seconds.
const LONGEST: u64 = 10 * 366 * 24 * 60 * 60;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Warnings and problems
    Warning,
    /// Problems
    #[default]
    Problem,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// It could not look.
    pub async fn run(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        let settings = context.settings()?;
        let team = Team {
            allow: settings.allow,
            declared: settings.declared,
            ..Team::default()
        };
        let database = context.connect("doctor").await?;
        let asked = Asked {
            minutes: self.minutes,
            days: self.days,
            expect_every: self
                .expect_every
                .map(|time| time.as_secs().clamp(1, LONGEST).cast_signed()),
        };
        let lines = doctor::examine(&database, asked, &team).await?;
        let tolerated = match self.fail_on {
            FailOn::Warning => Level::Ok,
            FailOn::Problem => Level::Warning,
        };
        let target = database.target().to_string();
        database.close().await;
        Ok(Box::new(Diagnosis {
            ok: lines.iter().all(|line| line.finding.level <= tolerated),
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
