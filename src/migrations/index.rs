//! A migration that builds one index, concurrently and so outside any transaction.
//!
//! No lock of ours can span such a build, so the catalog says how things stand: an index that is valid is done, one that
//! somebody builds is waited for, and one that a dead build left invalid is dropped and built anew.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use refinery::Migration;
use serde::Deserialize;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

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
    let Applying {
        database, limits, note, ..
    } = applying;
    let index = index_name(migration)?;
    let label = format!("V{} {}", migration.version(), migration.name());
    let run = async || match applying.step(migration).await {
        Ok(applied) => Ok(applied),
        Err(error) if RACES.iter().any(|code| error::has_code(&error, code)) => Err(Refusal::Contended),
        Err(error) => Err(error::explain(database, migration, &error).await.into()),
    };
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
    let mut told = false;
    let attempt = async |_| {
        let state = look(database, index).await?;
        if !state.valid
            && let Some(oldest) = &state.oldest
            && !told
        {
            note(&format!(
                "{label}: the build waits for older transactions; the oldest is process {} ({}, for {} s)",
                oldest.pid,
                oldest.state.as_deref().unwrap_or("unknown"),
                oldest.seconds
            ));
            told = true;
        }
        if let Some(pid) = state.builder {
            if !told {
                note(&format!(
                    "{label}: process {pid} builds an index of the table, waiting for it"
                ));
                told = true;
            }
            return Err(Refusal::Contended);
        }
        if state.exists && !state.valid {
            drop_invalid(database, index, limits).await?;
            return Err(Refusal::Contended);
        }
        let built = tokio::select! {
            built = run() => built,
            never = watch(database, label, state.oldest.map(|oldest| oldest.pid), note) => match never {},
        }?;
        if look(database, index).await?.valid {
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

/// Says whom the build waits for, once it does so for a while. It looks over a connection of its own; where there is none to
/// be had, it says nothing.
async fn watch(database: &Database, label: &str, mut told: Option<i32>, note: Note<'_>) -> Infallible {
    tokio::time::sleep(WATCH_PAUSE).await;
    if let Ok(second) = database.connect_again().await {
        while let Ok(waits) = second.json::<Option<Oldest>>(include_str!("index_wait.sql"), &[]).await {
            if let Some(Oldest { pid, seconds, state }) = waits
                && told != Some(pid)
            {
                let state = state.as_deref().unwrap_or("unknown");
                note(&format!(
                    "{label}: the build waits for process {pid} ({state}, for {seconds} s)"
                ));
                told = Some(pid);
            }
            tokio::time::sleep(WATCH_PAUSE).await;
        }
    }
    pending().await
}

/// Two builds met: one of them is the victim of the deadlock, finds the other's index or the other's history row.
pub(super) const RACES: [SqlState; 4] = [
    SqlState::T_R_DEADLOCK_DETECTED,
    SqlState::DUPLICATE_TABLE,
    SqlState::UNIQUE_VIOLATION,
    SqlState::UNDEFINED_OBJECT,
];

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

/// The name in `create index concurrently if not exists NAME on …`.
fn index_name(migration: &Migration) -> Result<String, Failure> {
    let sql = migration.sql().unwrap_or_default();
    let name = sql
        .split("create index concurrently if not exists ")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next());
    name.map(ToOwned::to_owned)
        .ok_or_else(|| Failure::new(format!("migration {migration} builds no index")))
}
