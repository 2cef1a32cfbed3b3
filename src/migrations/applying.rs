//! Applies one migration: under the lock of all migrations, within limits on locks, again where a table is in use.

use std::time::Duration;

use refinery::Migration;
use tokio_postgres::error::SqlState;

use super::{LOCK_ATTEMPTS, LOCK_PAUSES, LockLimits, NO_TRANSACTION, Note, POLL, after, error, index, runner};
use crate::database::Database;
use crate::failure::Failure;
use crate::retry::retry;

/// What each migration of a plan is applied with.
#[derive(Clone, Copy)]
pub(super) struct Applying<'a> {
    pub(super) database: &'a Database,
    /// All migrations: refinery compares the history with them.
    pub(super) ours: &'a [Migration],
    pub(super) limits: LockLimits,
    pub(super) note: Note<'a>,
    /// Statements that tell a migration what the team declares.
    pub(super) settings: &'a str,
}

impl Applying<'_> {
    /// Applies one migration. False: another process was faster. A failure has file, line and column, and leaves the
    /// database as the migration before did.
    pub(super) async fn apply(self, migration: &Migration) -> Result<bool, Failure> {
        let sql = migration.sql().unwrap_or_default();
        if sql.starts_with(NO_TRANSACTION) {
            return index::build(self, migration).await;
        }
        let attempt = async |number| {
            lock(self.database, self.limits).await?;
            let roles = after::maintenance_roles(self.database).await;
            let roles =
                roles.map_err(|error| error.explain("can't read the rights of the roles that run maintenance"))?;
            let told = self.database.run(self.settings).await;
            told.map_err(|error| error.explain("can't begin the migration"))?;
            let error = match self.step(migration).await {
                Ok(applied) => {
                    let renewed = after::renew_rights(self.database, &roles).await;
                    renewed
                        .map_err(|error| error.explain("can't renew the rights of the roles that run maintenance"))?;
                    let done = self.database.run("commit").await;
                    done.map_err(|error| error.explain("can't commit the migration"))?;
                    return Ok(applied);
                }
                Err(error) => error,
            };
            // The transaction is over either way; a lost connection says so with the next statement.
            let _ = self.database.run("rollback").await;
            let is_contended = [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED]
                .iter()
                .any(|code| error::has_code(&error, code));
            if !is_contended || number == LOCK_ATTEMPTS {
                return Err(error::explain(self.database, migration, &error).await.into());
            }
            (self.note)(&format!(
                "V{} {}: a table is in use, trying again ({number} of {LOCK_ATTEMPTS})",
                migration.version(),
                migration.name()
            ));
            Err(Refusal::Contended)
        };
        retry(lock_pauses(), Refusal::is_contended, attempt)
            .await
            .map_err(|refusal| refusal.or(|| Failure::new("a table was in use for too long")))
    }

    /// Hands one migration to refinery, which reads the history again before it does anything.
    pub(super) async fn step(self, migration: &Migration) -> Result<bool, refinery::Error> {
        runner::step(self.database, self.ours, migration).await
    }
}

/// The pauses between [`LOCK_ATTEMPTS`] attempts.
pub(super) fn lock_pauses() -> impl Iterator<Item = Duration> {
    LOCK_PAUSES.take(LOCK_ATTEMPTS as usize - 1)
}

/// Why an attempt did not succeed.
pub(super) enum Refusal {
    /// Something of another process is in the way: a later attempt may succeed.
    Contended,
    Final(Failure),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Final(failure)
    }
}

impl Refusal {
    pub(super) fn is_contended(&self) -> bool {
        matches!(self, Self::Contended)
    }

    /// The failure, or another one where the last attempt was contended.
    pub(super) fn or(self, contended: impl FnOnce() -> Failure) -> Failure {
        match self {
            Self::Final(failure) => failure,
            Self::Contended => contended(),
        }
    }
}

/// Begins the transaction in which this process alone migrates. It polls: a waiting statement would hold a snapshot, and
/// a concurrent index build elsewhere waits for those.
pub(super) async fn lock(database: &Database, limits: LockLimits) -> Result<(), Failure> {
    let opening = format!("set local lock_timeout = {}", limits.lock_timeout.as_millis());
    let attempt = async |_| {
        let locked: bool = database
            .json_after(&opening, include_str!("lock.sql"), &[])
            .await
            .map_err(|error| error.explain("can't lock the migrations"))?;
        if locked {
            return Ok(());
        }
        let ended = database.run("rollback").await;
        ended.map_err(|error| error.explain("can't lock the migrations"))?;
        Err(Refusal::Contended)
    };
    retry(POLL.within(limits.lock_wait), Refusal::is_contended, attempt)
        .await
        .map_err(|refusal| {
            refusal.or(|| {
                Failure::new(format!(
                    "another migrate has been at work for {} s",
                    limits.lock_wait.as_secs()
                ))
                .hint("wait for it, or give this one more time with --lock-wait")
            })
        })
}
