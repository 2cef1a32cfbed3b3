//! A migration that builds one index, concurrently and so outside any transaction; and the drop of one.
//!
//! No lock of ours can span such a build, so the catalog says how things stand: an index that is valid is done, one that
//! somebody builds is waited for, and one that a dead build left invalid is dropped and built again.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use refinery::Migration;
use serde::Deserialize;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::runner::STATEMENT_TIMEOUT;
use super::{Applying, LOCK_ATTEMPTS, LockLimits, Note, POLL, Refusal, error, lock, lock_pauses};
use crate::database::Database;
use crate::failure::Failure;
use crate::retry::retry;

/// The pause before the first look at what a build waits for, and between two.
const WATCH_PAUSE: Duration = Duration::from_secs(1);

const STATE_SQL: &str = include_str!("index_state.sql");

#[derive(Deserialize)]
struct State {
    exists: bool,
    valid: bool,
    builder: Option<i32>,
    oldest: Option<Oldest>,
}

#[derive(Deserialize)]
struct Oldest {
    pid: i32,
    seconds: i64,
    state: Option<String>,
}

/// Builds the index that `migration` is about. False: another process recorded it first.
///
/// # Errors
/// The server's, with what to do.
pub(super) async fn build(applying: Applying<'_>, migration: &Migration) -> Result<bool, Failure> {
    let database = applying.database;
    let run = async || match applying.step(migration).await {
        Ok(applied) => Ok(applied),
        Err(error) if is_race(&error) => Err(Refusal::Contended),
        Err(error) => Err(error::explain(database, migration, &error).await.into()),
    };
    build_by(applying, migration, run).await
}

/// Builds the index of a migration that is recorded.
///
/// # Errors
/// The server's, with what to do.
pub(super) async fn build_again(applying: Applying<'_>, migration: &Migration) -> Result<(), Failure> {
    let database = applying.database;
    let sql = statement(migration);
    let run = async || match database.run_within(STATEMENT_TIMEOUT, &sql).await {
        Ok(()) => Ok(true),
        Err(error) if error.code().is_some_and(|code| RACES.contains(code)) => Err(Refusal::Contended),
        Err(error) => Err(database.explain(error, &format!("{migration} failed")).await.into()),
    };
    build_by(applying, migration, run).await.map(|_| ())
}

async fn build_by(
    applying: Applying<'_>,
    migration: &Migration,
    run: impl AsyncFn() -> Result<bool, Refusal>,
) -> Result<bool, Failure> {
    let Applying {
        database, limits, note, ..
    } = applying;
    let index = index_name(migration)?;
    let label = format!("V{} {}", migration.version(), migration.name());
    concurrently(database, limits, note, &label, &index, run).await
}

/// Builds an index of public.user_sessions by `run`, which gives back whether it was this process that did it.
///
/// # Errors
/// The server's, with what to do.
pub(super) async fn concurrently(
    database: &Database,
    limits: LockLimits,
    note: Note<'_>,
    label: &str,
    index: &str,
    run: impl AsyncFn() -> Result<bool, Refusal>,
) -> Result<bool, Failure> {
    let waiting = Waiting::new(database, note, label, "build");
    let attempt = async |_| {
        let state = look(database, index).await?;
        if state.builder.is_none() && state.exists && !state.valid {
            waiting.tell(&state);
            drop_invalid(database, index, limits).await?;
            return Err(Refusal::Contended);
        }
        // Recorded by another process, which may have been told to leave it out.
        let built = waiting.run(&state, run()).await??;
        if !built || look(database, index).await?.valid {
            return Ok(built);
        }
        Err(Failure::new(format!("{label}: index {index} did not come about"))
            .hint("another relation in schema public may have its name: rename that, then run sessctl migrate again")
            .into())
    };
    // The pauses never end: another process's build takes as long as it takes.
    retry(POLL, Refusal::is_contended, attempt)
        .await
        .map_err(|refusal| refusal.or(|| Failure::new(format!("{label}: index {index} is not built"))))
}

/// Drops an index concurrently, if it is there.
///
/// # Errors
/// The server's, with what to do.
pub(super) async fn drop(applying: Applying<'_>, index: &str) -> Result<(), Failure> {
    let Applying { database, note, .. } = applying;
    let label = format!("index {index}");
    let waiting = Waiting::new(database, note, &label, "drop");
    let sql = drop_statement(index);
    let attempt = async |_| {
        let state = look(database, index).await?;
        if !state.exists {
            return Ok(());
        }
        let dropped = waiting
            .run(&state, database.run_within(STATEMENT_TIMEOUT, &sql))
            .await?;
        match dropped {
            Err(error) if !error.code().is_some_and(|code| RACES.contains(code)) => Err(database
                .explain(error, &format!("can't drop index {index}"))
                .await
                .into()),
            _ => Err(Refusal::Contended),
        }
    };
    retry(POLL, Refusal::is_contended, attempt)
        .await
        .map_err(|refusal| refusal.or(|| Failure::new(format!("index {index} is not dropped"))))
}

/// What tells of the transactions that a statement waits for, each once.
struct Waiting<'a> {
    database: &'a Database,
    note: Note<'a>,
    label: &'a str,
    /// The build or the drop.
    work: &'static str,
    told: Cell<bool>,
}

impl<'a> Waiting<'a> {
    fn new(database: &'a Database, note: Note<'a>, label: &'a str, work: &'static str) -> Self {
        Self {
            database,
            note,
            label,
            work,
            told: Cell::new(false),
        }
    }

    fn tell(&self, state: &State) {
        if let Some(oldest) = &state.oldest
            && !self.told.replace(true)
        {
            (self.note)(&format!(
                "{}: the {} waits for older transactions; the oldest is process {} ({}, for {} s)",
                self.label,
                self.work,
                oldest.pid,
                oldest.state.as_deref().unwrap_or("unknown"),
                oldest.seconds
            ));
        }
    }

    /// The result of a statement, once no build is running on the table.
    async fn run<T>(&self, state: &State, statement: impl Future<Output = T>) -> Result<T, Refusal> {
        if !(self.work == "build" && state.valid) {
            self.tell(state);
        }
        if let Some(pid) = state.builder {
            if !self.told.replace(true) {
                (self.note)(&format!(
                    "{}: process {pid} builds an index of the table, waiting for it",
                    self.label
                ));
            }
            return Err(Refusal::Contended);
        }
        tokio::select! {
            done = statement => Ok(done),
            never = self.watch(state.oldest.as_ref().map(|oldest| oldest.pid)) => match never {},
        }
    }

    /// Says whom the statement waits for, once it does so for a while. It looks over a connection of its own; where there is none to
    /// be had, it says nothing.
    async fn watch(&self, mut told: Option<i32>) -> Infallible {
        tokio::time::sleep(WATCH_PAUSE).await;
        if let Ok(second) = self.database.connect_again().await {
            while let Ok(waits) = second.json::<Option<Oldest>>(include_str!("index_wait.sql"), &[]).await {
                if let Some(Oldest { pid, seconds, state }) = waits
                    && told != Some(pid)
                {
                    let state = state.as_deref().unwrap_or("unknown");
                    (self.note)(&format!(
                        "{}: the {} waits for process {pid} ({state}, for {seconds} s)",
                        self.label, self.work
                    ));
                    told = Some(pid);
                }
                tokio::time::sleep(WATCH_PAUSE).await;
            }
        }
        pending().await
    }
}

/// Two processes met: one of them is the victim of the deadlock, finds the other's index or the other's history row.
pub(super) const RACES: [SqlState; 4] = [
    SqlState::T_R_DEADLOCK_DETECTED,
    SqlState::DUPLICATE_TABLE,
    SqlState::UNIQUE_VIOLATION,
    SqlState::UNDEFINED_OBJECT,
];

pub(super) fn is_race(error: &refinery::Error) -> bool {
    RACES.iter().any(|code| error::has_code(error, code))
}

async fn look(database: &Database, index: &str) -> Result<State, Failure> {
    let what = format!("can't look at index {index}");
    database.ask(STATE_SQL, &[(&index, Type::TEXT)], &what).await
}

/// Drops the index, if it is still invalid and nobody's build once this process has the lock.
async fn drop_invalid(database: &Database, index: &str, limits: LockLimits) -> Result<(), Failure> {
    let attempt = async |number| {
        lock(database, limits).await?;
        let state = database.json_within(STATE_SQL, &[(&index, Type::TEXT)]).await;
        let state: State = state.map_err(|error| error.explain(&format!("can't look at index {index}")))?;
        let sql = if state.exists && !state.valid && state.builder.is_none() {
            format!("drop index public.{index}; commit")
        } else {
            "rollback".into()
        };
        let Err(error) = database.run(&sql).await else {
            return Ok(());
        };
        let _ = database.run("rollback").await;
        if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) && number < LOCK_ATTEMPTS {
            return Err(Refusal::Contended);
        }
        let what = format!("can't drop the invalid index {index}");
        Err(database.explain(error, &what).await.into())
    };
    retry(lock_pauses(), Refusal::is_contended, attempt)
        .await
        .map_err(|refusal| refusal.or(|| Failure::new(format!("can't drop the invalid index {index}"))))
}

/// The statement that drops an index concurrently.
pub(super) fn drop_statement(index: &str) -> String {
    format!("drop index concurrently if exists public.{index}")
}

/// The statement of a migration that builds an index.
pub(super) fn statement(migration: &Migration) -> String {
    let lines = migration.sql().unwrap_or_default().lines();
    let lines: Vec<&str> = lines.filter(|line| !line.starts_with("--")).collect();
    lines.join("\n").trim_end().trim_end_matches(';').to_owned()
}

/// The name in `create index concurrently if not exists NAME on …`.
pub(super) fn index_name(migration: &Migration) -> Result<String, Failure> {
    let sql = migration.sql().unwrap_or_default();
    let name = sql
        .split("create index concurrently if not exists ")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next());
    name.map(ToOwned::to_owned)
        .ok_or_else(|| Failure::new(format!("migration {migration} builds no index")))
}
