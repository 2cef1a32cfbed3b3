//! `sessctl schedule list`: the jobs and their last runs.

use std::io;

use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;

use super::FAILED;
use crate::database::Database;
use crate::failure::Failure;
use crate::maintenance::cron_jobs;
use crate::output::{Page, Report, Rows, Style, count, one_line};

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

#[derive(Serialize)]
pub(super) struct Listing {
    jobs: Vec<ListedJob>,
}

pub(super) async fn run(database: &Database) -> Result<Listing, Failure> {
    let jobs = database
        .ask(include_str!("list.sql"), &[(&cron_jobs(), Type::TEXT_ARRAY)], FAILED)
        .await?;
    Ok(Listing { jobs })
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
