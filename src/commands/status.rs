//! `sessctl status`: which migrations a database has, and when each job last ran.

use std::io;

use anyhow::Result;
use clap::Args as ClapArgs;
use serde::Serialize;
use serde_json::json;

use super::Context;
use crate::maintenance::{self, JobState, RunState};
use crate::migrations::{self, History};
use crate::output::{Page, Report, Rows, Style, Text, count};
use crate::schema::{ADOPT, UNRECORDED};

/// Show each migration, and the last run of each job
#[derive(ClapArgs, Debug)]
pub struct Args {}

impl Args {
    pub async fn run(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        let database = context.connect("status").await?;
        let history = History::read(&database).await?;
        let jobs = maintenance::jobs(&database).await?;
        database.close().await;
        Ok(Box::new(Status::of(&history, jobs)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Applied,
    Pending,
    /// Another text was applied under this version.
    Changed,
    /// Applied by a newer sessctl.
    Unknown,
}

#[derive(Serialize)]
struct Line {
    version: i32,
    name: String,
    state: State,
    applied_on: Option<String>,
}

#[derive(Serialize)]
struct Status {
    version: i32,
    /// A newer sessctl has been here.
    newer: bool,
    /// The schema is there, and its history is not. The record of runs comes with the schema.
    unrecorded: bool,
    migrations: Vec<Line>,
    /// Absent where the record can't be read.
    jobs: Option<Vec<JobState>>,
}

impl Status {
    fn of(history: &History, jobs: Option<Vec<JobState>>) -> Self {
        let applied = history.applied();
        let mut lines: Vec<Line> = migrations::all()
            .iter()
            .map(|migration| {
                let row = applied.iter().find(|a| a.version == migration.version());
                let state = match row {
                    None => State::Pending,
                    Some(row) if row.matches(migration) => State::Applied,
                    Some(_) => State::Changed,
                };
                Line {
                    version: migration.version(),
                    name: migration.name().to_owned(),
                    state,
                    applied_on: row.map(|row| row.applied_on.clone()),
                }
            })
            .collect();
        let newest = lines.last().map_or(0, |line| line.version);
        lines.extend(applied.iter().filter(|a| a.version > newest).map(|a| Line {
            version: a.version,
            name: a.name.clone(),
            state: State::Unknown,
            applied_on: Some(a.applied_on.clone()),
        }));
        Self {
            version: history.version(),
            unrecorded: applied.is_empty() && jobs.is_some(),
            newer: lines.iter().any(|line| line.state == State::Unknown),
            migrations: lines,
            jobs,
        }
    }
}

fn words(state: State) -> (&'static str, Style) {
    match state {
        State::Applied => ("applied", Style::Good),
        State::Pending => ("pending", Style::Warning),
        State::Changed => ("changed since it was applied", Style::Bad),
        State::Unknown => ("applied by a newer sessctl", Style::Bad),
    }
}

/// The cells of a job's row.
fn job_cells(out: &Page<'_>, job: &JobState) -> Vec<Text> {
    let started = |run: &RunState| Text::from(run.started_at.format("%F %T").to_string());
    let by = |run: &RunState| Text::from(format!("{} ({})", run.source, run.role));
    let mut cells = vec![Text::from(job.job.as_str())];
    match &job.last_run {
        Some(run) => {
            let style = match run.outcome.as_str() {
                "done" => Style::Good,
                "failed" | "lost" => Style::Bad,
                _ => Style::Warning,
            };
            cells.extend([
                started(run),
                by(run),
                out.paint(style, &run.outcome),
                count(run.rows).into(),
            ]);
        }
        None => cells.extend(["never", "", "", ""].map(Text::from)),
    }
    match &job.last_success {
        Some(run) => cells.extend([started(run), by(run), count(run.rows).into()]),
        None => cells.push("never".into()),
    }
    cells
}

impl Report for Status {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        if self.unrecorded {
            return out.line(format!("{UNRECORDED}: {ADOPT}"));
        }
        let rows = self.migrations.iter().map(|line| {
            let (word, style) = words(line.state);
            let when = line.applied_on.as_deref().unwrap_or_default();
            vec![
                format!("V{}", line.version).into(),
                line.name.as_str().into(),
                out.paint(style, word),
                when.split('.').next().unwrap_or_default().into(),
            ]
        });
        out.grid(&["version", "name", "state", "applied on (UTC)"], rows.collect())?;
        let pending = self
            .migrations
            .iter()
            .filter(|line| line.state == State::Pending)
            .count();
        let line = match (self.newer, pending) {
            (true, _) => "a newer sessctl has been here: install it".into(),
            (false, 0) => format!("the schema is at version {}", self.version),
            (false, n) => format!(
                "the schema is at version {}, {n} pending: run sessctl migrate",
                self.version
            ),
        };
        out.line(line)?;
        match &self.jobs {
            Some(jobs) => {
                out.line("")?;
                let rows = jobs.iter().map(|job| job_cells(out, job)).collect();
                let last = ["job", "last run (UTC)", "by", "outcome", "sessions"];
                out.grid(&[&last[..], &["last success (UTC)", "by", "sessions"]].concat(), rows)
            }
            None if self.version > 0 => out.line("the record of runs can't be read by this role"),
            None => Ok(()),
        }
    }

    fn csv(&self) -> Option<Rows> {
        let rows = self.migrations.iter().map(|line| {
            vec![
                line.version.to_string(),
                line.name.clone(),
                json!(line.state).as_str().unwrap_or_default().into(),
                line.applied_on.clone().unwrap_or_default(),
            ]
        });
        Some((vec!["version", "name", "state", "applied_on"], rows.collect()))
    }
}
