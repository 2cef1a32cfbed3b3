//! refinery's runner over our own connection: no statement of its own begins or ends a transaction.

use std::time::Duration;

use refinery::{AsyncMigrate, Migration, Report, Runner, Target};
use refinery_core::traits::r#async::{AsyncQuery, AsyncTransaction};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_postgres::SimpleQueryMessage;

use crate::database::{Database, QueryError};

/// Where refinery keeps its history.
const HISTORY_TABLE: &str = "sessctl.schema_history";

/// How long a statement of a migration may take: builds of indexes take hours. A server that is gone is noticed by the
/// keepalives within a minute.
pub(super) const STATEMENT_TIMEOUT: Duration = Duration::from_hours(24);

/// Hands one of `ours`, which are all migrations, to refinery. It reads the history again before it does anything.
pub(super) async fn step(
    database: &Database,
    ours: &[Migration],
    migration: &Migration,
) -> Result<bool, refinery::Error> {
    let report = run(database, ours, Target::Version(migration.version())).await?;
    Ok(!report.applied_migrations().is_empty())
}

/// Has refinery record one of `ours` without running it, in the transaction that is open. False: it was recorded before.
pub(super) async fn record(
    database: &Database,
    ours: &[Migration],
    migration: &Migration,
) -> Result<bool, refinery::Error> {
    let mut connection = Connection { database };
    let applied = connection.get_applied_migrations(HISTORY_TABLE).await?;
    if applied.iter().any(|applied| applied.version() == migration.version()) {
        return Ok(false);
    }
    run(database, ours, Target::FakeVersion(migration.version())).await?;
    Ok(true)
}

async fn run(database: &Database, ours: &[Migration], target: Target) -> Result<Report, refinery::Error> {
    let mut runner = Runner::new(ours).set_target(target);
    runner.set_migration_table_name(HISTORY_TABLE);
    runner.run_async(&mut Connection { database }).await
}

/// What refinery runs on: our connection, no statement of its own begun or ended.
struct Connection<'a> {
    database: &'a Database,
}

impl AsyncTransaction for Connection<'_> {
    type Error = QueryError;

    async fn execute<'a, T: Iterator<Item = &'a str> + Send + 'a>(
        &'a mut self,
        queries: T,
    ) -> Result<usize, Self::Error> {
        let mut count = 0;
        for query in queries {
            self.database.run_within(STATEMENT_TIMEOUT, query).await?;
            count += 1;
        }
        Ok(count)
    }
}

impl AsyncQuery<Vec<Migration>> for Connection<'_> {
    async fn query<'a>(&'a mut self, query: &'a str) -> Result<Vec<Migration>, Self::Error> {
        let rows = self.database.rows(query).await?;
        Ok(rows.iter().filter_map(read_row).collect())
    }
}

impl AsyncMigrate for Connection<'_> {
    fn assert_migrations_table_query(_: &str) -> String {
        history_table()
    }
}

/// What makes refinery's table where it is missing, in a schema that the API can't see.
pub(crate) fn history_table() -> String {
    let table = include_str!("../schema/objects/tables/sessctl.schema_history.sql");
    format!("create schema if not exists sessctl;\n{table}")
}

/// A row of refinery's own query. One that refinery did not write has no place in its history, and is passed over here;
/// [`History::pending`] has seen it.
fn read_row(message: &SimpleQueryMessage) -> Option<Migration> {
    let SimpleQueryMessage::Row(row) = message else {
        return None;
    };
    Some(Migration::applied(
        row.get(0)?.parse().ok()?,
        row.get(1)?.to_owned(),
        OffsetDateTime::parse(row.get(2)?, &Rfc3339).ok()?,
        row.get(3)?.parse().ok()?,
    ))
}
