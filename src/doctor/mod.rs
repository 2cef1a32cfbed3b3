//! What may go wrong that neither status nor verify says. One file per check: its judgement and its test, its SQL beside
//! it. [`examine`] has their list.

mod client_clocks;
mod clock;
mod connection;
mod dead_rows;
mod grants;
mod implausible_times;
mod inactive;
mod old_transactions;
mod past_retention;
mod realtime;
mod resumed;
mod role;
mod schedule;
mod schema;
mod server;
mod table;
mod tls;

use std::pin::Pin;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::database::Database;
use crate::failure::Failure;
use crate::output::count;

/// A check's line: its name in the list, and what it found.
#[derive(Serialize)]
pub(crate) struct Line {
    pub(crate) check: &'static str,
    #[serde(flatten)]
    pub(crate) finding: Finding,
}

/// What a check found.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Ok,
    Warning,
    Problem,
}

/// What a check returns: no finding where there is nothing to judge, a failure where it could not look.
type Answer = Result<Option<Finding>, Failure>;

/// A check under its name.
type Listed<'a> = (&'static str, Pin<Box<dyn Future<Output = Answer> + 'a>>);

fn listed<'a>(name: &'static str, check: impl Future<Output = Answer> + 'a) -> Listed<'a> {
    (name, Box::pin(check))
}

/// Runs all checks, in the order of their lines. A check that fails is a warning in its own line.
///
/// # Errors
/// The first query failed, or the connection ended.
pub(crate) async fn examine(database: &Database) -> Result<Vec<Line>, Failure> {
    let scene = &Scene::read(database).await?;
    let checks = [
        listed("connection", connection::check(scene)),
        listed("tls", tls::check(scene)),
        listed("server", server::check(scene)),
        listed("clock", clock::check(scene)),
        listed("role", role::check(scene)),
        listed("grants", grants::check(scene)),
        listed("table", table::check(scene)),
        listed("inactive", inactive::check(scene)),
        listed("past-retention", past_retention::check(scene)),
        listed("implausible-times", implausible_times::check(scene)),
        listed("client-clocks", client_clocks::check(scene)),
        listed("resumed", resumed::check(scene)),
        listed("dead-rows", dead_rows::check(scene)),
        listed("old-transactions", old_transactions::check(scene)),
        listed("realtime", realtime::check(scene)),
        listed("schedule", schedule::check(scene)),
        listed("schema", schema::check(scene)),
    ];
    let mut lines = Vec::new();
    for (check, running) in checks {
        let finding = match running.await {
            Err(failure) if database.is_closed() => return Err(failure),
            Err(failure) => Some(failed(&failure)),
            Ok(finding) => finding,
        };
        lines.extend(finding.map(|finding| Line { check, finding }));
    }
    Ok(lines)
}

/// What the checks have to look at: the connection, and which objects are there to be queried.
struct Scene<'a> {
    database: &'a Database,
    objects: Objects,
}

#[derive(Deserialize)]
struct Objects {
    table: Option<Table>,
    /// Whether the views of schema sessctl exist, which say when a session was last seen, and which ones ended.
    has_views: bool,
    pg_cron: Option<PgCron>,
}

/// The table public.user_sessions.
#[derive(Deserialize)]
struct Table {
    is_readable: bool,
    /// Whether it has the columns that the counts read: a table that was made manually may lack one.
    has_columns: bool,
}

#[derive(Deserialize)]
struct PgCron {
    version: String,
    has_readable_jobs: bool,
}

impl<'a> Scene<'a> {
    async fn read(database: &'a Database) -> Result<Self, Failure> {
        let objects = read_only(database, include_str!("scene.sql"), "doctor failed").await?;
        Ok(Self { database, objects })
    }

    /// The JSON value that a query returns.
    async fn ask<T: DeserializeOwned>(&self, sql: &str) -> Result<T, Failure> {
        read_only(self.database, sql, "can't check").await
    }

    /// Counts sessions. No finding where they can't be read, which the check [`table`] reports.
    async fn count(&self, sql: &str, judge: fn(u64) -> Finding) -> Answer {
        match &self.objects.table {
            Some(table) if table.is_readable && table.has_columns => Ok(Some(judge(self.ask(sql).await?))),
            _ => Ok(None),
        }
    }

    /// [`Self::count`] of rows of the schema's views: without them the rules are not there to count by.
    async fn count_in_views(&self, sql: &str, judge: fn(u64) -> Finding) -> Answer {
        match &self.objects.table {
            Some(_) if !self.objects.has_views => Ok(Some(not_migrated())),
            _ => self.count(sql, judge).await,
        }
    }
}

/// Runs a query in a read-only transaction of its own, in one round trip. It does not wait long for a lock: the next
/// check may meet the same one.
async fn read_only<T: DeserializeOwned>(database: &Database, sql: &str, what: &str) -> Result<T, Failure> {
    let opening = "set transaction read only; set local lock_timeout = '1s'";
    let (answer, ended) = tokio::join!(database.json_after(opening, sql, &[]), database.run("rollback"));
    match (answer, ended) {
        (Ok(answer), Ok(())) => Ok(answer),
        (Err(error), _) => Err(database.explain(error, what).await),
        (_, Err(error)) => Err(error.explain(what)),
    }
}

fn failed(failure: &Failure) -> Finding {
    Finding {
        level: Level::Warning,
        message: failure.to_string(),
        hint: failure.get_hint().map(ToOwned::to_owned),
    }
}

fn ok(message: impl Into<String>) -> Finding {
    Finding {
        level: Level::Ok,
        message: message.into(),
        hint: None,
    }
}

fn warning(message: impl Into<String>, hint: impl Into<String>) -> Finding {
    Finding {
        level: Level::Warning,
        message: message.into(),
        hint: Some(hint.into()),
    }
}

fn problem(message: impl Into<String>, hint: impl Into<String>) -> Finding {
    Finding {
        level: Level::Problem,
        message: message.into(),
        hint: Some(hint.into()),
    }
}

fn not_migrated() -> Finding {
    warning("not counted: the database is not migrated", "run sessctl migrate")
}

/// The finding of a check that counts sessions which should not be there. `which` is in the plural: "sessions that …".
fn counted(number: u64, which: &str, hint: &str) -> Finding {
    match number {
        0 => ok("none"),
        1 => warning(format!("1 {}", which.replacen("sessions", "session", 1)), hint),
        _ => warning(format!("{} {which}", count(number)), hint),
    }
}
