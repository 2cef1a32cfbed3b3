//! `sessctl schedule list`: the jobs and their last runs.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;

use super::FAILED;
use crate::database::Database;
use crate::failure::Failure;
use crate::maintenance::{JOBS, cron_jobs, has_record};
use crate::output::count;

#[derive(Deserialize, Serialize)]
pub(super) struct ListedJob {
    pub(super) name: String,
    pub(super) schedule: String,
    pub(super) command: String,
    pub(super) active: bool,
    pub(super) database: String,
    pub(super) username: String,
    #[serde(skip_serializing)]
    pub(super) is_here: bool,
    pub(super) runs: Vec<RunOfJob>,
}

#[derive(Deserialize, Serialize)]
pub(super) struct RunOfJob {
    pub(super) started: Option<String>,
    #[serde(skip_serializing)]
    pub(super) ended: Option<DateTime<Utc>>,
    pub(super) elapsed_ms: Option<i64>,
    pub(super) status: String,
    pub(super) rows: Option<u64>,
    pub(super) message: Option<String>,
    /// Whether it stopped at its limit, by the record of runs.
    #[serde(skip_deserializing)]
    pub(super) met_limit: bool,
}

/// A run, as the record has it.
#[derive(Deserialize)]
struct Recorded {
    job: String,
    started_at: DateTime<Utc>,
    rows: u64,
    met_limit: bool,
}

#[derive(Serialize)]
pub(super) struct Listing {
    pub(super) jobs: Vec<ListedJob>,
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
        let recorded: Vec<Recorded> = database.ask(include_str!("recorded.sql"), &[], FAILED).await?;
        for job in jobs.iter_mut().filter(|job| job.is_here) {
            let Some(known) = JOBS.iter().find(|known| known.cron_job == job.name) else {
                continue;
            };
            for run in &mut job.runs {
                let is_of = |record: &&Recorded| record.job == known.name && run.spans(record.started_at);
                if let Some(record) = recorded.iter().find(is_of) {
                    run.rows = Some(record.rows);
                    run.met_limit = record.met_limit;
                }
            }
        }
    }
    Ok(Listing { jobs })
}

impl RunOfJob {
    /// Whether this was within the run.
    pub(super) fn spans(&self, time: DateTime<Utc>) -> bool {
        let started = self.started.as_deref().and_then(|started| started.parse().ok());
        started.is_some_and(|started: DateTime<Utc>| started <= time) && self.ended.is_none_or(|ended| time <= ended)
    }

    pub(super) fn outcome(&self) -> String {
        match (self.rows, &self.message) {
            (_, Some(message)) if self.status == "failed" => message.trim().to_owned(),
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
