//! The words for an error that asks the server for more: the session that holds a lock, where the table is.

use serde::Deserialize;
use tokio_postgres::error::SqlState;

use super::hint::is_undefined;
use super::{Database, QueryError, holder, missing_table_hint};
use crate::failure::Failure;

impl Database {
    /// [`QueryError::explain`], and where a lock was in the way, the session that holds it; where the table is missing, where it is. Ends
    /// the transaction that failed.
    pub async fn explain(&self, error: QueryError, what: &str) -> Failure {
        let is_held = error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE);
        let is_undefined = error.code().is_some_and(is_undefined);
        let failure = error.explain(what);
        if !is_held && !is_undefined {
            return failure;
        }
        let _ = self.run("rollback").await;
        let hint = if is_held {
            self.who_holds().await
        } else {
            self.missing_table().await
        };
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// Refuses a database that has a history of migrations and no table. No transaction may be open.
    ///
    /// # Errors
    /// The table is missing.
    pub(crate) async fn require_sessions(&self) -> Result<(), Failure> {
        match self.missing_table().await {
            Some(hint) => Err(Failure::new("public.user_sessions is missing").hint(hint)),
            None => Ok(()),
        }
    }

    /// What to do where the table is missing and migrate would not make it. No transaction may be open.
    async fn missing_table(&self) -> Option<String> {
        let Missing {
            exists,
            elsewhere,
            has_history,
        } = self.json(include_str!("missing.sql"), &[]).await.ok()?;
        (!exists).then(|| missing_table_hint(&elsewhere, has_history)).flatten()
    }

    /// [`Self::explain`] for what reads the history, which needs two rights of its own.
    pub async fn explain_history(&self, error: QueryError, what: &str) -> Failure {
        let is_denied = error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE);
        let failure = self.explain(error, what).await;
        if is_denied {
            failure.hint("this needs: grant usage on schema sessctl to …; grant select on sessctl.schema_history to …")
        } else {
            failure
        }
    }

    /// The session that holds a lock on the table, and what to do about it. No transaction may be open.
    pub async fn who_holds(&self) -> Option<String> {
        let holder: Option<holder::Holder> = self.json(include_str!("holder.sql"), &[]).await.ok()?;
        holder.map(|holder| holder.hint())
    }
}

/// What is there where the table may not be.
#[derive(Deserialize)]
struct Missing {
    exists: bool,
    elsewhere: Vec<String>,
    has_history: bool,
}
