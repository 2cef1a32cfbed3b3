//! A net under what can't be undone: a cleanup or an anonymize with a mistyped --days.

use serde::Deserialize;

use super::Work;
use super::run::Run;
use crate::database::{Database, QueryError, Value, bind};
use crate::failure::Failure;

/// A run that takes far more than the one before.
#[derive(Deserialize)]
struct Narrower {
    last_days: i32,
}

/// What must be confirmed before this work is done. `cutoff`: of a run; absent: the one that a run would have now.
///
/// # Errors
/// The server's or the connection's.
pub(crate) async fn narrower(
    database: &Database,
    work: &Work,
    cutoff: Option<&str>,
) -> Result<Option<String>, QueryError> {
    let Some((sql, verb)) = work.job.sql.narrower else {
        return Ok(None);
    };
    let values = [("job", Value::Text(work.job.name)), ("cutoff", cutoff.into())];
    let values = [&values[..], &work.parameters()].concat();
    let narrower: Option<Narrower> = database.transact("", &bind(sql, &values)).await?;
    Ok(narrower.map(|last| {
        format!(
            "this would {verb} over half of the table: sessions that ended over {} days ago, where the last run kept {} days",
            work.threshold, last.last_days
        )
    }))
}

impl Run<'_> {
    /// What must be confirmed before this run changes anything.
    pub(super) async fn question(&mut self, cutoff: &str) -> Result<Option<String>, Failure> {
        match narrower(&self.database, self.work, Some(cutoff)).await {
            Ok(question) => Ok(question),
            Err(error) => Err(self.database.explain(error, &self.failed()).await),
        }
    }
}
