//! `sessctl status`: which migrations a database has, and when each job last ran.

mod report;

use anyhow::Result;
use clap::Args as ClapArgs;
use serde::Serialize;

use super::Context;
use crate::maintenance::{self, CRON_WITHOUT_ARCHIVE, JobState};
use crate::migrations::{self, History};
use crate::output::Report;

/// Show the schema's version and the last run of each job
#[derive(ClapArgs, Debug)]
#[command(after_help = "Examples:\n  sessctl status\n  sessctl status --format json")]
pub struct Args {}

impl Args {
    pub async fn run(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        let database = context.connect("status").await?;
        let history = History::read(&database).await?;
        let jobs = maintenance::jobs(&database).await?;
        // With a record that can't be read, it is not known.
        let is_in_vain = jobs.is_some()
            && maintenance::has_cron_without_archive(&database)
                .await
                .unwrap_or_default();
        database.close().await;
        if is_in_vain {
            let (what, hint) = CRON_WITHOUT_ARCHIVE;
            context.terminal.warn(what);
            context.terminal.hint_line(hint);
        }
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
