//! What the record says of each job: its last run, and its last success.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Removed;
use crate::database::{Database, QueryError};
use crate::failure::Failure;

/// One job. Its serialized form is part of the JSON contract of `status`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct JobState {
    pub(crate) job: String,
    /// Minutes or days of the last run.
    pub(crate) threshold: Option<i32>,
    /// Whether the newest run ends idle sessions too.
    #[serde(skip_serializing)]
    pub(crate) include_idle: bool,
    /// Whether it deletes nothing without an archive.
    pub(crate) archive_required: bool,
    /// What the newest run of anonymize removes.
    #[serde(skip_serializing)]
    pub(crate) removes: Option<Removed>,
    pub(crate) last_run: Option<RunState>,
    pub(crate) last_success: Option<RunState>,
}

/// One run.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct RunState {
    /// What started it: cli, pg_cron, api or sql.
    pub(crate) source: String,
    /// The role that ran it.
    pub(crate) role: String,
    pub(crate) started_at: DateTime<Utc>,
    /// Absent while it runs.
    pub(crate) finished_at: Option<DateTime<Utc>>,
    /// done, skipped, interrupted, incomplete, failed, lost, or running.
    pub(crate) outcome: String,
    pub(crate) rows: u64,
    /// Ended sessions whose implausible ended_at was replaced before.
    pub(crate) settled: u64,
    /// Where they were counted.
    pub(crate) left: Option<u64>,
    pub(crate) message: Option<String>,
}

/// A run with its job.
#[derive(Debug, Deserialize)]
pub(crate) struct RunOf {
    pub(crate) job: String,
    pub(crate) run: RunState,
}

/// The last runs of all jobs, newest first. Absent as those of [`jobs`].
///
/// # Errors
/// The server's or the connection's.
pub(crate) async fn last_runs(database: &Database) -> Result<Option<Vec<RunOf>>, Failure> {
    let read = async {
        if !has_record(database).await? {
            return Ok(None);
        }
        database.transact("", include_str!("record/runs.sql")).await.map(Some)
    };
    match read.await {
        Ok(runs) => Ok(runs),
        Err(error) => Err(database.explain(error, "can't read the record of runs").await),
    }
}

/// The jobs; absent where the database is not migrated, or this role can't read the record.
///
/// # Errors
/// The server's or the connection's.
pub(crate) async fn jobs(database: &Database) -> Result<Option<Vec<JobState>>, Failure> {
    let read = async {
        if !has_record(database).await? {
            return Ok(None);
        }
        database.transact("", include_str!("record/jobs.sql")).await.map(Some)
    };
    match read.await {
        Ok(jobs) => Ok(jobs),
        Err(error) => Err(database.explain(error, "can't read the record of runs").await),
    }
}

/// Whether an archive is required, and pg_cron runs cleanups, which have none.
///
/// # Errors
/// The server's or the connection's.
pub(crate) async fn has_cron_without_archive(database: &Database) -> Result<bool, QueryError> {
    let is_readable = include_str!("record/cron_readable.sql");
    Ok(database.transact("", is_readable).await?
        && database.transact("", include_str!("record/cron_cleanup.sql")).await?)
}

/// What [`has_cron_without_archive`] means, and what to do about it.
pub(crate) const CRON_WITHOUT_ARCHIVE: (&str, &str) = (
    "this database requires an archive, and pg_cron's job sessctl-cleanup has none: it deletes nothing",
    "have cron elsewhere run sessctl cleanup --archive DIR, and run: select cron.unschedule('sessctl-cleanup')",
);

/// Whether there is a record of runs that this role can read.
///
/// # Errors
/// The server's or the connection's.
pub(crate) async fn has_record(database: &Database) -> Result<bool, QueryError> {
    database.transact("", include_str!("record/readable.sql")).await
}
