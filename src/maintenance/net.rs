//! A net under the one thing that can't be undone: a cleanup with a mistyped --days.

use serde::Deserialize;

use super::CLEANUP;
use super::run::Run;
use crate::database::{Database, QueryError, Value, bind};
use crate::failure::Failure;

/// A cleanup that takes far more than the one before.
#[derive(Deserialize)]
struct Narrower {
    last_days: i32,
}

/// What must be confirmed before a cleanup that keeps so many days deletes anything. `cutoff`: of a run; absent: the one that a run would
/// have now.
///
/// # Errors
/// The server's or the connection's.
pub(crate) async fn narrower(
    database: &Database,
    days: i32,
    cutoff: Option<&str>,
) -> Result<Option<String>, QueryError> {
    let values = [
        ("job", Value::Text(CLEANUP.name)),
        ("threshold", Value::Int(days.into())),
        ("cutoff", cutoff.into()),
    ];
    let narrower: Option<Narrower> = database
        .transact("", &bind(include_str!("cleanup/narrower.sql"), &values))
        .await?;
    Ok(narrower.map(|last| {
        format!(
            "this would delete over half of the table: sessions that ended over {days} days ago, where the last run kept {} days",
            last.last_days
        )
    }))
}

impl Run<'_> {
    /// What must be confirmed before this run deletes anything.
    pub(super) async fn question(&mut self, cutoff: &str) -> Result<Option<String>, Failure> {
        if self.work.job.name != CLEANUP.name {
            return Ok(None);
        }
        match narrower(&self.database, self.work.threshold, Some(cutoff)).await {
            Ok(question) => Ok(question),
            Err(error) => Err(self.database.explain(error, &self.failed()).await),
        }
    }
}
