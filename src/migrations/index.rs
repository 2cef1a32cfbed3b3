//! A migration that builds one index, concurrently and so outside any transaction.
//!
//! No lock of ours can span such a build, so the catalog says how things stand: an index that is valid is done, one that
//! somebody builds is waited for, and one that a dead build left invalid is dropped and built anew.

use refinery::Migration;
use serde::Deserialize;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::{POLL, Patience, error, lock, step};
use crate::database::Database;
use crate::failure::Failure;
use crate::output::Terminal;

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
pub async fn build(
    database: &Database,
    migration: &Migration,
    patience: Patience,
    terminal: &Terminal,
) -> Result<bool, Failure> {
    let index = index_name(migration)?;
    let label = format!("V{} {}", migration.version(), migration.name());
    let mut told = false;
    loop {
        let state = look(database, &index).await?;
        if !state.valid
            && let Some(oldest) = &state.oldest
            && !told
        {
            terminal.note(&format!(
                "{label}: the build waits for older transactions; the oldest is process {} ({}, for {} s)",
                oldest.pid,
                oldest.state.as_deref().unwrap_or("unknown"),
                oldest.seconds
            ));
            told = true;
        }
        if let Some(pid) = state.builder {
            if !told {
                terminal.note(&format!(
                    "{label}: process {pid} builds an index of the table, waiting for it"
                ));
                told = true;
            }
            tokio::time::sleep(POLL).await;
            continue;
        }
        if state.exists && !state.valid {
            drop_invalid(database, &index, patience).await?;
            continue;
        }
        match step(database, migration).await {
            Ok(_) if !look(database, &index).await?.valid => {
                return Err(Failure::new(format!("{label}: index {index} did not come about"))
                    .remedy("another relation in schema public may have its name: rename that, then run sessctl migrate again"));
            }
            Ok(applied) => return Ok(applied),
            Err(error) if is_race(&error) => tokio::time::sleep(POLL).await,
            Err(error) => return Err(error::explain(database, migration, &error).await),
        }
    }
}

/// Two builds met: one of them is the victim of the deadlock, finds the other's index or the other's history row.
fn is_race(error: &refinery::Error) -> bool {
    [
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::DUPLICATE_TABLE,
        SqlState::UNIQUE_VIOLATION,
        SqlState::UNDEFINED_OBJECT,
    ]
    .iter()
    .any(|code| error::has_code(error, code))
}

async fn look(database: &Database, index: &str) -> Result<State, Failure> {
    let what = format!("can't look at index {index}");
    database.ask(STATE_SQL, &[(&index, Type::TEXT)], &what).await
}

/// Drops the index, if it is still invalid and nobody's build once this process has the lock.
async fn drop_invalid(database: &Database, index: &str, patience: Patience) -> Result<(), Failure> {
    lock(database, patience).await?;
    let state = database.json_within(STATE_SQL, &[(&index, Type::TEXT)]).await;
    let state: State = state.map_err(|error| error.explain(&format!("can't look at index {index}")))?;
    let sql = if state.exists && !state.valid && state.builder.is_none() {
        format!("drop index public.{index}; commit")
    } else {
        "rollback".into()
    };
    if let Err(error) = database.run(&sql).await {
        let _ = database.run("rollback").await;
        return Err(database
            .explain(error.into(), &format!("can't drop the invalid index {index}"))
            .await);
    }
    Ok(())
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
