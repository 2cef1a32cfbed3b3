//! `sessctl status`: the state of the schema, of maintenance and of the table on one screen.

mod jobs;
mod report;

use anyhow::Result;
use clap::Args as ClapArgs;
use serde::Serialize;

use super::Context;
use crate::doctor::{Due, Scheduled, Workload, workload};
use crate::maintenance::{CRON_WITHOUT_ARCHIVE, JobState, has_cron_without_archive};
use crate::migrations::{self, History};
use crate::output::Report;
use crate::schema::Sizes;

/// Show the schema's version, the last and next run of each job, due sessions and sizes
///
/// Due sessions are counted exactly up to 1,000, or in a table of up to 32 MiB; a larger number is an estimate, marked with ~.
/// The next run is that of pg_cron in this database. --verbose lists every migration. It changes nothing.
#[derive(ClapArgs, Debug)]
#[command(after_help = "Examples:\n  sessctl status\n  sessctl status --format json")]
pub struct Args {}

impl Args {
    pub async fn run(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        let database = context.connect("status").await?;
        let history = History::read(&database).await?;
        let mut workload = workload(&database).await?;
        let sizes = match Sizes::read(&database).await {
            Err(failure) if database.is_closed() => return Err(failure.into()),
            Err(failure) => {
                workload.failures.push(failure.to_string());
                None
            }
            Ok(sizes) => sizes,
        };
        // With a record that can't be read, it is not known.
        let is_in_vain = workload.jobs.is_some() && has_cron_without_archive(&database).await.unwrap_or_default();
        database.close().await;
        for failure in &workload.failures {
            context.terminal.warn(failure);
        }
        if is_in_vain {
            let (what, hint) = CRON_WITHOUT_ARCHIVE;
            context.terminal.warn(what);
            context.terminal.hint_line(hint);
        }
        let mut status = Status::of(&history, workload, sizes);
        status.lists_all = context.terminal.is_verbose();
        Ok(Box::new(status))
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
    /// Whether every migration is applied, as it is in this program, and no other one.
    up_to_date: bool,
    /// A newer sessctl has been here.
    newer: bool,
    /// The schema is there, and its history is not. The record of runs comes with the schema.
    unrecorded: bool,
    migrations: Vec<Line>,
    /// Absent where the record can't be read.
    jobs: Option<Vec<JobState>>,
    /// Absent where sessions can't be counted.
    due: Option<Vec<Due>>,
    /// Absent where pg_cron's jobs can't be seen.
    schedules: Option<Vec<Scheduled>>,
    /// Absent where the table is missing, or held by another session.
    sizes: Option<Sizes>,
    #[serde(skip)]
    lists_all: bool,
}

impl Status {
    fn of(history: &History, workload: Workload, sizes: Option<Sizes>) -> Self {
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
            up_to_date: lines.iter().all(|line| line.state == State::Applied),
            unrecorded: applied.is_empty() && workload.jobs.is_some(),
            newer: lines.iter().any(|line| line.state == State::Unknown),
            migrations: lines,
            jobs: workload.jobs,
            due: workload.due,
            schedules: workload.schedules,
            sizes,
            lists_all: false,
        }
    }
}
