//! What the metrics are made of. Each query leaves out what a role can't read.

use serde::de::DeserializeOwned;
use tokio_postgres::error::SqlState;

use super::rows::{Job, Sessions, Table};
use crate::database::{Database, QueryError, Value, bind};
use crate::doctor::overdue_by_index;
use crate::failure::Failure;
use crate::maintenance::{ANONYMIZE, CLEANUP, END_INACTIVE};
use crate::schema::{Found, Sizes, Team, Verdict};

/// What ends a query of a role without rights, or of an earlier schema.
const UNREADABLE: [SqlState; 4] = [
    SqlState::INSUFFICIENT_PRIVILEGE,
    SqlState::INVALID_SCHEMA_NAME,
    SqlState::UNDEFINED_TABLE,
    SqlState::UNDEFINED_COLUMN,
];

/// Nothing here waits longer for a lock.
const SETTINGS: &str = "set transaction read only; set local jit = off; set local lock_timeout = '5s'";

/// When a session is due for a job that has not run yet: minutes, and days.
pub(super) struct Days {
    pub(super) minutes: i32,
    pub(super) anonymize: i32,
    pub(super) cleanup: i32,
}

pub(super) struct Measured {
    pub(super) jobs: Vec<Job>,
    pub(super) sessions: Option<Sessions>,
    /// For how many seconds the oldest session has been due, by job; 0 where none is.
    pub(super) overdue: Vec<(&'static str, u64)>,
    pub(super) sizes: Option<Sizes>,
    pub(super) table: Option<Table>,
    pub(super) is_up_to_date: Option<bool>,
    /// What could not be read, a sentence each.
    pub(super) missing: Vec<String>,
}

impl Measured {
    /// # Errors
    /// The record of the jobs can't be read, or a query failed for another reason than this role's rights.
    pub(super) async fn read(database: &Database, days: &Days, team: &Team) -> Result<Self, Failure> {
        let jobs = jobs(database).await?;
        let mut measured = Self {
            jobs,
            sessions: None,
            overdue: Vec::new(),
            sizes: None,
            table: None,
            is_up_to_date: None,
            missing: Vec::new(),
        };
        measured.count(database, days.minutes).await?;
        for (job, days) in [(&CLEANUP, days.cleanup), (&ANONYMIZE, days.anonymize)] {
            let Some(state) = measured.jobs.iter().find(|state| state.job == job.name) else {
                continue;
            };
            let days = state.threshold.unwrap_or(days);
            match readable(database, overdue_by_index(database, job, days).await).await? {
                Some(Some(overdue)) => measured.overdue.push((job.name, whole(overdue))),
                Some(None) => measured.lacks(&format!(
                    "how long sessions have been due for {}: no index says so fast",
                    job.name
                )),
                None => measured.lacks(&format!(
                    "how long sessions have been due for {}: this role can't read them",
                    job.name
                )),
            }
        }
        measured.table = ask(database, include_str!("table.sql")).await?.flatten();
        if measured.table.is_none() {
            measured.lacks("the size of the table: public.user_sessions is no table");
        }
        match Sizes::read(database).await {
            Ok(sizes) => measured.sizes = sizes,
            Err(failure) if database.is_closed() => return Err(failure),
            Err(failure) => measured.lacks(&format!("the sizes: {failure}")),
        }
        match Found::read(database).await {
            Ok(found) => measured.is_up_to_date = Some(Verdict::of(&found, team).ok),
            Err(failure) if database.is_closed() => return Err(failure),
            Err(failure) => measured.lacks(&format!("whether the schema is up to date: {failure}")),
        }
        Ok(measured)
    }

    async fn count(&mut self, database: &Database, minutes: i32) -> Result<(), Failure> {
        let sql = bind(include_str!("sessions.sql"), &[("minutes", Value::Int(minutes.into()))]);
        match ask::<Option<Sessions>>(database, &sql).await? {
            None => self.lacks("the counts of sessions: this role can't read sessctl.session_last_seen"),
            Some(None) => self.lacks("the counts of sessions: sessctl.session_last_seen reads another table"),
            Some(Some(sessions)) if sessions.filtered => self.lacks(
                "the counts of sessions: row level security hides sessions from this role; use postgres, or a role with BYPASSRLS",
            ),
            Some(Some(sessions)) => {
                self.overdue.push((END_INACTIVE.name, sessions.overdue.unwrap_or(0)));
                self.sessions = Some(sessions);
            }
        }
        Ok(())
    }

    fn lacks(&mut self, what: &str) {
        self.missing.push(format!("the metrics lack {what}"));
    }
}

/// Without them there is nothing to write: a file without the time of the last success would hide that it was long ago.
async fn jobs(database: &Database) -> Result<Vec<Job>, Failure> {
    match database.transact(SETTINGS, include_str!("jobs.sql")).await {
        Ok(jobs) => Ok(jobs),
        Err(error) => {
            let is_denied = error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE);
            let failure = database.explain(error, "metrics failed").await;
            Err(match is_denied {
                true => {
                    failure.hint("this needs: grant usage on schema sessctl to …; grant select on sessctl.job to …")
                }
                false => failure,
            })
        }
    }
}

async fn ask<T: DeserializeOwned>(database: &Database, sql: &str) -> Result<Option<T>, Failure> {
    readable(database, database.transact(SETTINGS, sql).await).await
}

/// None where this role can't read it.
async fn readable<T>(database: &Database, answer: Result<T, QueryError>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.code().is_some_and(|code| UNREADABLE.contains(code)) => Ok(None),
        Err(error) => Err(database.explain(error, "metrics failed").await),
    }
}

fn whole(overdue: Option<i64>) -> u64 {
    overdue.map_or(0, |seconds| seconds.max(0).cast_unsigned())
}
