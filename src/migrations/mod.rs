//! The embedded migrations, and refinery's runner over our own connection.
//!
//! refinery reads the history, compares checksums, and runs a migration with its history row. What it lacks is here:
//! a lock that holds behind a transaction pooler, time limits on locks, concurrent index builds, and errors that tell.

mod error;
mod index;

use std::time::{Duration, Instant};

use anyhow::Result;
use refinery::{AsyncMigrate, Migration, Runner, Target};
use refinery_core::traits::r#async::{AsyncQuery, AsyncTransaction};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::SqlState;

use crate::database::{Database, QueryError};
use crate::failure::Failure;
use crate::output::Terminal;

#[allow(missing_docs, clippy::unwrap_used)]
mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Where refinery keeps its history.
const HISTORY_TABLE: &str = "sessctl.schema_history";

/// The first line of a migration that runs outside a transaction; it builds one index.
const NO_TRANSACTION: &str = "-- sessctl: no-transaction";

/// How often a migration that could not get its locks in time is tried, and the pause after the first try.
const LOCK_ATTEMPTS: u32 = 8;
const LOCK_PAUSE: Duration = Duration::from_millis(500);

/// The pause between two looks at whether the other process has done its part.
const POLL: Duration = Duration::from_millis(100);

/// How long a statement of a migration may take: builds of indexes take hours. A server that is gone is noticed by the
/// keepalives within a minute.
const STATEMENT_TIMEOUT: Duration = Duration::from_hours(24);

const HISTORY_SQL: &str = include_str!("history.sql");

/// The migrations of this binary, oldest first.
pub fn all() -> Vec<Migration> {
    let mut migrations = embedded::migrations::runner().get_migrations().clone();
    migrations.sort();
    migrations
}

/// A row of the history.
#[derive(Clone, Debug, Deserialize)]
pub struct Applied {
    /// The migration's version.
    pub version: i32,
    /// Its name, as in its file's name.
    #[serde(deserialize_with = "or_empty")]
    pub name: String,
    /// When it was applied, RFC 3339.
    #[serde(deserialize_with = "or_empty")]
    pub applied_on: String,
    /// The checksum of its name, version and text.
    #[serde(deserialize_with = "or_empty")]
    pub checksum: String,
}

/// refinery's table lets each of its texts be null.
fn or_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Applied {
    /// Whether this is the row that `migration` leaves.
    pub fn matches(&self, migration: &Migration) -> bool {
        self.version == migration.version()
            && self.name == migration.name()
            && self.checksum == migration.checksum().to_string()
    }
}

/// The server's version and the migrations that a database has.
#[derive(Clone, Debug, Deserialize)]
pub struct History {
    /// As in server_version_num.
    pub server_version: i32,
    history: Option<Vec<Applied>>,
}

impl History {
    /// Reads it, in one round trip; a database without a history is no error.
    ///
    /// # Errors
    /// The server's.
    pub async fn read(database: &Database) -> Result<Self, Failure> {
        let answer = database.json(HISTORY_SQL, &[]).await;
        match answer {
            Ok(history) => Ok(history),
            Err(error) => Err(database
                .explain_history(error, "can't read the migrations' history")
                .await),
        }
    }

    /// The migrations applied, oldest first.
    pub fn applied(&self) -> &[Applied] {
        self.history.as_deref().unwrap_or_default()
    }

    /// The newest version applied, 0 where none was.
    pub fn version(&self) -> i32 {
        self.applied().last().map_or(0, |applied| applied.version)
    }

    /// The migrations still to apply, oldest first.
    ///
    /// # Errors
    /// A database that a newer sessctl has migrated, or a migration that is not what was applied under its version.
    pub fn pending(&self) -> Result<Vec<Migration>, Failure> {
        let ours = all();
        for applied in self.applied() {
            match ours.iter().find(|m| m.version() == applied.version) {
                None => {
                    return Err(Failure::new(format!(
                        "the database is ahead of this sessctl: it has migration V{} {}, and {} knows up to V{}",
                        applied.version,
                        applied.name,
                        env!("CARGO_PKG_VERSION"),
                        ours.last().map_or(0, Migration::version),
                    ))
                    .hint("install the newer sessctl that migrated it"));
                }
                Some(migration) if !applied.matches(migration) => {
                    return Err(Failure::new(format!(
                        "migration V{} is not the one that was applied on {}: {} with checksum {} then, {} with {} now",
                        applied.version,
                        applied.applied_on,
                        applied.name,
                        applied.checksum,
                        migration.name(),
                        migration.checksum(),
                    ))
                    .hint(
                        "use the release of sessctl that applied it; if its row in sessctl.schema_history was edited, \
                         put it back",
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(ours
            .into_iter()
            .filter(|m| self.applied().iter().all(|a| a.version != m.version()))
            .collect())
    }
}

/// How migrations wait.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long a statement may wait for a lock on a table.
    pub lock_timeout: Duration,
    /// How long to wait for another migrate.
    pub lock_wait: Duration,
}

/// Applies one migration. False: another process was faster.
///
/// # Errors
/// The server's, with file, line and column; the database is then as the migration before left it.
pub async fn apply(
    database: &Database,
    migration: &Migration,
    patience: Patience,
    terminal: &Terminal,
) -> Result<bool, Failure> {
    let sql = migration.sql().unwrap_or_default();
    if sql.starts_with(NO_TRANSACTION) {
        return index::build(database, migration, patience, terminal).await;
    }
    let mut attempt = 1;
    loop {
        lock(database, patience).await?;
        let error = match step(database, migration).await {
            Ok(applied) => {
                let done = database.run("commit").await;
                done.map_err(|error| error.explain("can't commit the migration"))?;
                return Ok(applied);
            }
            Err(error) => error,
        };
        // The transaction is over either way; a lost connection says so with the next statement.
        let _ = database.run("rollback").await;
        let is_contended = [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED]
            .iter()
            .any(|code| error::has_code(&error, code));
        if !is_contended || attempt == LOCK_ATTEMPTS {
            return Err(error::explain(database, migration, &error).await);
        }
        terminal.note(&format!(
            "V{} {}: a table is in use, trying again ({attempt} of {LOCK_ATTEMPTS})",
            migration.version(),
            migration.name()
        ));
        tokio::time::sleep(LOCK_PAUSE * attempt).await;
        attempt += 1;
    }
}

/// Begins the transaction in which this process alone migrates. It polls: a waiting statement would hold a snapshot, and
/// a concurrent index build elsewhere waits for those.
async fn lock(database: &Database, patience: Patience) -> Result<(), Failure> {
    let opening = format!("set local lock_timeout = {}", patience.lock_timeout.as_millis());
    let deadline = Instant::now() + patience.lock_wait;
    loop {
        let locked: bool = database
            .json_after(&opening, include_str!("lock.sql"), &[])
            .await
            .map_err(|error| error.explain("can't lock the migrations"))?;
        if locked {
            return Ok(());
        }
        let ended = database.run("rollback").await;
        ended.map_err(|error| error.explain("can't lock the migrations"))?;
        if Instant::now() >= deadline {
            return Err(Failure::new(format!(
                "another migrate has been at work for {} s",
                patience.lock_wait.as_secs()
            ))
            .hint("wait for it, or give this one more time with --lock-wait"));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Hands one migration to refinery, which reads the history again before it does anything.
async fn step(database: &Database, migration: &Migration) -> Result<bool, refinery::Error> {
    let mut runner = Runner::new(&all()).set_target(Target::Version(migration.version()));
    runner.set_migration_table_name(HISTORY_TABLE);
    let report = runner.run_async(&mut Connection { database }).await?;
    Ok(!report.applied_migrations().is_empty())
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
        include_str!("history_table.sql").into()
    }
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
