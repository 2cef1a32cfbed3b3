//! A net under the one thing that can't be undone: a cleanup with a mistyped --days.

use serde::Deserialize;

use super::run::Run;
use crate::database::Value;
use crate::failure::Failure;

/// A cleanup that takes far more than the one before.
#[derive(Deserialize)]
struct Narrower {
    last_days: i32,
}

impl Run<'_> {
    /// What must be confirmed before this run deletes anything.
    pub(super) async fn question(&mut self, cutoff: &str) -> Result<Option<String>, Failure> {
        let Some(sql) = self.work.job.sql.narrower else {
            return Ok(None);
        };
        let sql = self.bind(sql, &[("cutoff", Value::Text(cutoff))]);
        let narrower: Result<Option<Narrower>, _> = self.database.transact("", &sql).await;
        let narrower = match narrower {
            Ok(narrower) => narrower,
            Err(error) => return Err(self.database.explain(error, &self.failed()).await),
        };
        Ok(narrower.map(|last| {
            format!(
                "this would delete over half of the table: sessions that ended over {} days ago, where the last run kept {} days",
                self.work.threshold, last.last_days
            )
        }))
    }
}
