//! `sessctl schedule`: maintenance by the database itself, through pg_cron.

use std::io;

use anyhow::Result;
use clap::{Args as ClapArgs, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_postgres::types::Type;

use super::Context;
use crate::database::Database;
use crate::failure::Failure;
use crate::output::{Page, Report, Rows, Style, count, one_line};

/// The most sessions of one run. A run is one transaction under the server's statement_timeout (two minutes on the
/// platform); a backlog drains over several runs.
const SWEEP_LIMIT: i32 = 50_000;
const CLEANUP_LIMIT: i32 = 500_000;

/// Have the database do the maintenance itself, by pg_cron
#[derive(ClapArgs, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create the two jobs, or change them in place
    Install(Install),
    /// Show the jobs and their last runs
    List,
    /// Remove the jobs
    Remove,
}

#[derive(ClapArgs, Debug)]
struct Install {
    /// When to end inactive sessions, as cron has it
    #[arg(long, value_name = "SCHEDULE", default_value = "*/5 * * * *")]
    end_inactive: String,
    /// Minutes without a sign of life
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(i32).range(1..=5_256_000))]
    minutes: i32,
    /// When to delete old sessions, as cron has it (UTC on the platform)
    #[arg(long, value_name = "SCHEDULE", default_value = "17 3 * * *")]
    cleanup: String,
    /// Days since a session ended
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(i32).range(1..=36_500))]
    days: i32,
    /// Print the SQL, and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    /// Whether the result has rows.
    pub fn is_list(&self) -> bool {
        matches!(self.action, Action::List)
    }

    /// Runs the command.
    ///
    /// # Errors
    /// No pg_cron, a schedule that it does not understand, or the server's.
    pub async fn run(&self, context: &Context<'_>) -> Result<Box<dyn Report>> {
        if let Action::Install(install) = &self.action
            && install.dry_run
        {
            return Ok(Box::new(Plan(install.jobs())));
        }
        let database = match self.action {
            Action::List => context.connect("schedule").await?,
            Action::Install(_) | Action::Remove => context.connect_to_change("schedule").await?,
        };
        require_pg_cron(&database, matches!(self.action, Action::Install(_))).await?;
        let report: Box<dyn Report> = match &self.action {
            Action::Install(install) => Box::new(install.run(&database).await?),
            Action::List => Box::new(Listing {
                jobs: database.ask(include_str!("schedule_list.sql"), &[], FAILED).await?,
            }),
            Action::Remove => Box::new(Removed {
                names: database.ask(include_str!("schedule_remove.sql"), &[], FAILED).await?,
            }),
        };
        database.close().await;
        Ok(report)
    }
}

const FAILED: &str = "schedule failed";

#[derive(Deserialize)]
struct State {
    installed: bool,
    available: bool,
    usable: bool,
    database: String,
    migrated: bool,
}

/// pg_cron, and to install jobs also the functions that they call.
async fn require_pg_cron(database: &Database, to_install: bool) -> Result<(), Failure> {
    let state: State = database.ask(include_str!("schedule_state.sql"), &[], FAILED).await?;
    if !state.installed {
        let what = format!("pg_cron is not enabled in database {}", state.database);
        return Err(Failure::new(what).remedy(if state.available {
            "enable it in the dashboard (Integrations, Cron), or run: create extension pg_cron; it lives in database postgres only"
        } else {
            "this server does not have it: let cron elsewhere call sessctl, the README has the lines"
        }));
    }
    if !state.usable {
        return Err(Failure::new("this role may not use pg_cron").remedy("connect as postgres"));
    }
    if to_install && !state.migrated {
        return Err(Failure::new("the database is not migrated far enough").remedy("run sessctl migrate"));
    }
    Ok(())
}

/// A job: its name, when it runs, what it runs.
#[derive(Serialize)]
struct Job {
    name: &'static str,
    schedule: String,
    command: String,
}

impl Install {
    fn jobs(&self) -> [Job; 2] {
        // One row comes back for each session, so that pg_cron's log says how many there were.
        let command = |call: String| format!("select from generate_series(1, {call})");
        [
            Job {
                name: "sessctl-end-inactive",
                schedule: self.end_inactive.clone(),
                command: command(format!("sessctl.end_inactive({}, {SWEEP_LIMIT})", self.minutes)),
            },
            Job {
                name: "sessctl-cleanup",
                schedule: self.cleanup.clone(),
                command: command(format!("sessctl.cleanup({}, {CLEANUP_LIMIT})", self.days)),
            },
        ]
    }

    /// Both jobs or none.
    async fn run(&self, database: &Database) -> Result<Installed, Failure> {
        let failed = |error| crate::database::explain(&error, "can't schedule");
        database.begin().await.map_err(failed)?;
        let jobs = self.jobs();
        for job in &jobs {
            let parameters = [
                (&job.name as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT),
                (&job.schedule, Type::TEXT),
                (&job.command, Type::TEXT),
            ];
            let id: Result<i64, _> = database
                .json_within(include_str!("schedule_install.sql"), &parameters)
                .await;
            if let Err(error) = id {
                let _ = database.run("rollback").await;
                return Err(error
                    .explain(&format!("can't schedule {} at \"{}\"", job.name, job.schedule))
                    .remedy("a schedule is five fields, as in \"*/5 * * * *\"; nothing was changed"));
            }
        }
        database.run("commit").await.map_err(failed)?;
        Ok(Installed(jobs))
    }
}

struct Plan([Job; 2]);

impl Report for Plan {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        for job in &self.0 {
            let quoted = [job.name, &job.schedule, &job.command].map(|text| format!("'{}'", text.replace('\'', "''")));
            out.line(&format!("select cron.schedule({});", quoted.join(", ")))?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        json!({ "jobs": self.0, "dry_run": true })
    }
}

struct Installed([Job; 2]);

impl Report for Installed {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        for job in &self.0 {
            let line = format!("scheduled {} at \"{}\": {}", job.name, job.schedule, job.command);
            out.raw(&out.paint(Style::Good, &line))?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        json!({ "jobs": self.0, "dry_run": false })
    }
}

struct Removed {
    names: Vec<String>,
}

impl Report for Removed {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        match self.names.as_slice() {
            [] => out.line("nothing to remove: no job of sessctl's is scheduled"),
            names => out.line(&format!("removed {}", names.join(", "))),
        }
    }

    fn json(&self) -> Value {
        json!({ "removed": self.names })
    }
}

#[derive(Deserialize, Serialize)]
struct ListedJob {
    name: String,
    schedule: String,
    command: String,
    active: bool,
    runs: Vec<RunOfJob>,
}

#[derive(Deserialize, Serialize)]
struct RunOfJob {
    started: Option<String>,
    elapsed_ms: Option<i64>,
    status: String,
    rows: Option<u64>,
    message: Option<String>,
}

struct Listing {
    jobs: Vec<ListedJob>,
}

impl RunOfJob {
    fn outcome(&self) -> String {
        match (self.rows, &self.message) {
            (Some(rows), _) => format!("{} rows", count(rows)),
            (None, Some(message)) => message.trim().replace('\n', " "),
            (None, None) => String::new(),
        }
    }
}

impl Report for Listing {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        if self.jobs.is_empty() {
            return out.line("no job of sessctl's is scheduled: sessctl schedule install makes them");
        }
        for job in &self.jobs {
            let off = if job.active { "" } else { " (switched off)" };
            out.raw(&format!(
                "{}  {}{off}",
                out.paint(Style::Bold, &job.name),
                one_line(&job.schedule)
            ))?;
            if job.runs.is_empty() {
                out.line("  has not run yet")?;
            }
            for run in &job.runs {
                let style = if run.status == "failed" {
                    Style::Bad
                } else {
                    Style::Good
                };
                // Whole seconds; the time is in UTC.
                let started = run
                    .started
                    .as_deref()
                    .and_then(|time| time.get(..19))
                    .map_or(String::new(), |t| format!("{t}Z"));
                let elapsed = run.elapsed_ms.map_or(String::new(), |ms| format!("{ms} ms"));
                let status = out.paint(style, &format!("{:9}", run.status));
                out.raw(&format!(
                    "  {}  {status}  {elapsed:>8}  {}",
                    one_line(&started),
                    one_line(&run.outcome())
                ))?;
            }
        }
        Ok(())
    }

    fn json(&self) -> Value {
        json!({ "jobs": self.jobs })
    }

    fn csv(&self) -> Option<Rows> {
        let mut rows = Vec::new();
        for job in &self.jobs {
            let of_job = [&job.name, &job.schedule, &job.command, &job.active.to_string()].map(String::clone);
            // A job that has not run yet has a line too.
            let none = job.runs.is_empty().then(|| vec![String::new(); 5]);
            let runs = job.runs.iter().map(|run| {
                vec![
                    run.started.clone().unwrap_or_default(),
                    run.elapsed_ms.map_or(String::new(), |ms| ms.to_string()),
                    run.status.clone(),
                    run.rows.map_or(String::new(), |rows| rows.to_string()),
                    run.message.clone().unwrap_or_default(),
                ]
            });
            rows.extend(runs.chain(none).map(|run| [of_job.to_vec(), run].concat()));
        }
        let header = vec![
            "job",
            "schedule",
            "command",
            "active",
            "started",
            "elapsed_ms",
            "status",
            "rows",
            "message",
        ];
        Some((header, rows))
    }
}
