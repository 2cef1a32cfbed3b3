//! `sessctl schedule list`: the jobs and their last runs.

use std::io;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;

use super::FAILED;
use crate::database::Database;
use crate::failure::Failure;
use crate::maintenance::{JOBS, cron_jobs, has_record};
use crate::output::{Page, Report, Rows, Style, Text, count};

#[derive(Deserialize, Serialize)]
struct ListedJob {
    name: String,
    schedule: String,
    command: String,
    active: bool,
    database: String,
    username: String,
    #[serde(skip_serializing)]
    is_here: bool,
    runs: Vec<RunOfJob>,
}

#[derive(Deserialize, Serialize)]
struct RunOfJob {
    started: Option<String>,
    #[serde(skip_serializing)]
    ended: Option<DateTime<Utc>>,
    elapsed_ms: Option<i64>,
    status: String,
    rows: Option<u64>,
    message: Option<String>,
    /// Whether it stopped at its limit, by the record of runs.
    #[serde(skip_deserializing)]
    met_limit: bool,
}

/// A run that met its limit, as the record has it.
#[derive(Deserialize)]
struct CutOff {
    job: String,
    started_at: DateTime<Utc>,
}

#[derive(Serialize)]
pub(super) struct Listing {
    jobs: Vec<ListedJob>,
}

pub(super) async fn run(database: &Database) -> Result<Listing, Failure> {
    let mut jobs: Vec<ListedJob> = database
        .ask(include_str!("list.sql"), &[(&cron_jobs(), Type::TEXT_ARRAY)], FAILED)
        .await?;
    let recorded = match has_record(database).await {
        Ok(recorded) => recorded,
        Err(error) => return Err(database.explain(error, FAILED).await),
    };
    if recorded {
        let cut_off: Vec<CutOff> = database.ask(include_str!("cut_off.sql"), &[], FAILED).await?;
        for job in jobs.iter_mut().filter(|job| job.is_here) {
            let name = JOBS
                .iter()
                .find(|known| known.cron_job == job.name)
                .map(|known| known.name);
            for run in &mut job.runs {
                run.met_limit = cut_off
                    .iter()
                    .any(|record| Some(record.job.as_str()) == name && run.spans(record.started_at));
            }
        }
    }
    Ok(Listing { jobs })
}

impl RunOfJob {
    /// Whether this was within the run.
    fn spans(&self, time: DateTime<Utc>) -> bool {
        let started = self.started.as_deref().and_then(|started| started.parse().ok());
        started.is_some_and(|started: DateTime<Utc>| started <= time) && self.ended.is_none_or(|ended| time <= ended)
    }

    fn outcome(&self) -> String {
        match (self.rows, &self.message) {
            (Some(rows), _) if self.met_limit => format!("{} rows, and met its limit", count(rows)),
            (None, Some(message)) if self.met_limit => {
                format!("{}, and met its limit", message.trim().replace('\n', " "))
            }
            (Some(rows), _) => format!("{} rows", count(rows)),
            (None, Some(message)) => message.trim().to_owned(),
            (None, None) => String::new(),
        }
    }
}

impl Report for Listing {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        if self.jobs.is_empty() {
            return out.line("no job of sessctl's is scheduled: sessctl schedule install creates them");
        }
        for job in &self.jobs {
            let off = if job.active { "" } else { " (switched off)" };
            let place = format!("in database {}, as {}", job.database, job.username);
            out.line(out.paint(Style::Bold, &job.name) + format!("  {}  {place}{off}", job.schedule))?;
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
                let outcome = run.outcome();
                out.line(Text::from(format!("  {started:20}  ")) + status + format!("  {elapsed:>8}  {outcome}"))?;
            }
        }
        Ok(())
    }

    fn csv(&self) -> Option<Rows> {
        let mut rows = Vec::new();
        for job in &self.jobs {
            let of_job = [
                &job.name,
                &job.schedule,
                &job.command,
                &job.active.to_string(),
                &job.database,
                &job.username,
            ];
            let of_job = of_job.map(String::clone);
            // A job that has not run yet has a line too.
            let none = job.runs.is_empty().then(|| vec![String::new(); 6]);
            let runs = job.runs.iter().map(|run| {
                vec![
                    run.started.clone().unwrap_or_default(),
                    run.elapsed_ms.map_or(String::new(), |ms| ms.to_string()),
                    run.status.clone(),
                    run.rows.map_or(String::new(), |rows| rows.to_string()),
                    run.message.clone().unwrap_or_default(),
                    run.met_limit.to_string(),
                ]
            });
            rows.extend(runs.chain(none).map(|run| [of_job.to_vec(), run].concat()));
        }
        let header = vec![
            "job",
            "schedule",
            "command",
            "active",
            "database",
            "username",
            "started",
            "elapsed_ms",
            "status",
            "rows",
            "message",
            "met_limit",
        ];
        Some((header, rows))
    }
}
