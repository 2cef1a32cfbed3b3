//! How a run begins: the cutoff by the server's clock, and what is due.

use serde::Deserialize;

use super::fault::Fault;
use super::run::{BACKOFF, Run};
use super::strategy::Candidates;
use crate::database::QueryError;
use crate::failure::Failure;
use crate::retry::retry;

/// A commit that does not wait for the disk. The last one of a run does, and flushes all before it.
const UNFLUSHED: &str = "set local synchronous_commit = off";

#[derive(Deserialize)]
pub(super) struct Start {
    pub(super) cutoff: String,
    pub(super) due: bool,
    /// Nothing is due here, and another run is running.
    pub(super) skipped: bool,
    pub(super) candidates: Option<Candidates>,
    /// The last run's minutes or days, where they matter.
    pub(super) last_threshold: Option<i32>,
    /// The sessions to settle first.
    pub(super) unsettled: Candidates,
}

#[derive(Deserialize)]
pub(super) struct Count {
    pub(super) cutoff: String,
    pub(super) rows: u64,
    pub(super) settled: u64,
    /// Sessions to do and to settle, each once.
    pub(super) left: u64,
}

impl Run<'_> {
    /// The cutoff, and whether anything is due. A lost connection is replaced.
    pub(super) async fn start(&mut self) -> Result<Start, Failure> {
        let what = format!("{} failed", self.work.job.name);
        let pauses = BACKOFF.take(self.options.max_retries as usize);
        let mut is_lost = false;
        retry(pauses, Failure::is_transient, async |_| {
            if is_lost {
                self.database = self.database.connect_again().await?;
                is_lost = false;
            }
            let sql = self.bind(self.work.job.sql.start, &[]);
            match self.database.transact(UNFLUSHED, &sql).await {
                Ok(start) => Ok(start),
                Err(error) => {
                    let fault = error.fault();
                    is_lost = fault == Fault::Lost;
                    if is_lost {
                        // What was sent may still run, and hold what the next attempt needs.
                        self.record.raise_generation();
                    }
                    let failure = self.database.explain(error, &what).await;
                    Err(if fault.is_transient() {
                        failure.transient()
                    } else {
                        failure
                    })
                }
            }
        })
        .await
    }

    pub(super) async fn count(&self, cutoff: Option<&str>) -> Result<Count, QueryError> {
        let sql = self.bind(self.work.job.sql.count, &[("cutoff", cutoff.into())]);
        self.database.transact("", &sql).await
    }
}
