//! Which migrations a database has, and which it lacks.

use refinery::Migration;
use serde::Deserialize;

use crate::database::Database;
use crate::failure::Failure;

const HISTORY_SQL: &str = include_str!("history.sql");

/// A row of the history.
#[derive(Clone, Debug, Deserialize)]
pub struct Applied {
    /// The migration's version.
    pub version: i32,
    /// Its name, as in its file's name.
    #[serde(default, deserialize_with = "or_empty")]
    pub name: String,
    /// When it was applied, RFC 3339.
    #[serde(default, deserialize_with = "or_empty")]
    pub applied_on: String,
    /// The checksum of its name, version and text.
    #[serde(default, deserialize_with = "or_empty")]
    pub checksum: String,
}

/// refinery's table lets each of its texts be null, and somebody may have dropped a column.
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

    /// Whether the migration that makes the table is applied.
    pub(super) fn has_first(&self) -> bool {
        self.applied().iter().any(|applied| applied.version == 1)
    }

    /// Which of `ours`, which are all migrations, are still to apply, oldest first.
    ///
    /// # Errors
    /// A database that a newer sessctl has migrated, or a migration that is not what was applied under its version.
    pub fn pending(&self, ours: &[Migration]) -> Result<Vec<Migration>, Failure> {
        self.refuse_newer(ours)?;
        for applied in self.applied() {
            if let Some(migration) = ours.iter().find(|m| m.version() == applied.version)
                && !applied.matches(migration)
            {
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
                    "use the release of sessctl that applied it; if its row in sessctl.schema_history was edited, run \
                     sessctl migrate --repair",
                ));
            }
        }
        let is_pending = |m: &&Migration| self.applied().iter().all(|a| a.version != m.version());
        Ok(ours.iter().filter(is_pending).cloned().collect())
    }
    /// Refuses a database that a newer sessctl has migrated.
    fn refuse_newer(&self, ours: &[Migration]) -> Result<(), Failure> {
        let is_unknown = |applied: &&Applied| ours.iter().all(|m| m.version() != applied.version);
        let Some(applied) = self.applied().iter().find(is_unknown) else {
            return Ok(());
        };
        Err(Failure::new(format!(
            "the database is ahead of this sessctl: it has migration V{} {}, and {} knows up to V{}",
            applied.version,
            applied.name,
            env!("CARGO_PKG_VERSION"),
            ours.last().map_or(0, Migration::version),
        ))
        .hint("install the newer sessctl that migrated it"))
    }

    /// Which of `ours` up to version `last` the rows lack, or have with another name or checksum, oldest first.
    ///
    /// # Errors
    /// A database that a newer sessctl has migrated.
    pub(super) fn damaged(&self, ours: &[Migration], last: i32) -> Result<Vec<Migration>, Failure> {
        self.refuse_newer(ours)?;
        let is_damaged =
            |m: &&Migration| m.version() <= last && !self.applied().iter().any(|applied| applied.matches(m));
        Ok(ours.iter().filter(is_damaged).cloned().collect())
    }

    /// Whether the newest of `ours` are still to apply.
    pub(super) fn is_behind(&self, ours: &[Migration]) -> bool {
        ours.last().is_some_and(|newest| newest.version() > self.version())
    }
}
