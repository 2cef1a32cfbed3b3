//! What a migration takes along: the rights of the roles that run maintenance, and sessctl's own pg_cron jobs.

use serde::Deserialize;
use tokio_postgres::types::Type;

use super::{Applying, lock};
use crate::database::{Database, QueryError};
use crate::failure::Failure;
use crate::maintenance::{CRON_HISTORY, JOBS, cron_jobs};

/// The roles that run maintenance, by oid, in the transaction that is open. A migration that drops a function drops the
/// rights on it, so they are read before it.
pub(super) async fn maintenance_roles(database: &Database) -> Result<Vec<u32>, QueryError> {
    database.json_within(include_str!("maintenance_roles.sql"), &[]).await
}

/// Grants these roles again what maintenance needs, in the migration's transaction. Between two migrations an object may be
/// missing: the later one creates it, and renews the rights again.
pub(super) async fn renew_rights(database: &Database, roles: &[u32]) -> Result<(), QueryError> {
    if roles.is_empty() {
        return Ok(());
    }
    let grant = |role: &u32| format!("perform sessctl.grant_maintenance({role}::oid::regrole); ");
    let grants: String = roles.iter().map(grant).collect();
    database
        .run(&format!(
            "do $$ begin {grants}exception when undefined_function or undefined_table then null; end $$"
        ))
        .await
}

#[derive(Deserialize)]
struct CronJob {
    id: i64,
    name: String,
    command: String,
}

/// Gives sessctl's pg_cron jobs the commands of this version, with their minutes, days and options. Schedules stay, and whether a job
/// is active. A job whose command no version of sessctl scheduled is left as it is.
pub(super) async fn update_cron_jobs(applying: Applying<'_>) -> Result<(), Failure> {
    let Applying {
        database, limits, note, ..
    } = applying;
    let failed = "the migrations are applied, but sessctl's pg_cron jobs can't be updated";
    let explain = |error: QueryError| error.explain(failed).hint("run sessctl schedule install");
    let usable: bool = database
        .json(include_str!("cron_usable.sql"), &[])
        .await
        .map_err(explain)?;
    if !usable {
        return Ok(());
    }
    lock(database, limits).await?;
    let updated = async {
        let names = cron_jobs();
        let parameters = [(&names as _, Type::TEXT_ARRAY)];
        let jobs: Vec<CronJob> = database.json_within(include_str!("cron_jobs.sql"), &parameters).await?;
        let mut notes = Vec::new();
        for CronJob { id, name, command } in &jobs {
            let current = match JOBS.iter().find(|spec| spec.cron_job == name) {
                Some(spec) => spec.cron_arguments(command).map(|known| spec.cron_command(known)),
                None => (command == CRON_HISTORY.2).then(|| command.clone()),
            };
            let Some(current) = current else {
                notes.push(format!(
                    "pg_cron job {name} has a command of its own and keeps it: {command}"
                ));
                continue;
            };
            if current != *command {
                let parameters = [(id as _, Type::INT8), (&current as _, Type::TEXT)];
                let sql = "select to_json(true)::text from (select cron.alter_job($1, command => $2)) as altered";
                database.json_within::<bool>(sql, &parameters).await?;
                notes.push(format!("updated pg_cron job {name}: {current}"));
            }
        }
        database.run("commit").await?;
        Ok(notes)
    };
    match updated.await {
        Ok(notes) => notes.iter().for_each(|text| note(text)),
        Err(error) => {
            let _ = database.run("rollback").await;
            return Err(explain(error));
        }
    }
    Ok(())
}
