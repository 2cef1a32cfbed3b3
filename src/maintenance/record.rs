//! The run's record in the database, as its client knows it.

use serde::Deserialize;
use uuid::Uuid;

use super::JobSpec;
use super::strategy::Step;
use crate::database::{Value, bind};

/// Who started the runs of this program.
const SOURCE: &str = "cli";

/// One run: its identity, and what the server last said it has done.
#[derive(Debug)]
pub(super) struct RunRecord {
    id: String,
    job: &'static JobSpec,
    /// Raised after each fault: a batch of an older generation rolls back.
    generation: i64,
    pub(super) rows: u64,
    pub(super) settled: u64,
    pub(super) batches: u64,
}

/// What the server says of a record.
#[derive(Debug, Deserialize)]
pub(super) struct Stored {
    #[serde(default)]
    generation: Option<i64>,
    rows_done: u64,
    rows_settled: u64,
    batches: u64,
}

impl RunRecord {
    pub(super) fn new(job: &'static JobSpec) -> Self {
        Self {
            id: Uuid::new_v4().to_string(),
            job,
            generation: 0,
            rows: 0,
            settled: 0,
            batches: 0,
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The named parameters that say which run this is.
    pub(super) fn identity(&self) -> [(&'static str, Value<'_>); 4] {
        [
            ("run", Value::Text(&self.id)),
            ("job", Value::Text(self.job.name)),
            ("source", Value::Text(SOURCE)),
            ("generation", Value::Int(self.generation)),
        ]
    }

    /// From now on what was sent before counts as lost: see sessctl.lock_job.
    pub(super) fn raise_generation(&mut self) {
        self.generation += 1;
    }

    /// How many sessions the run has changed.
    pub(super) fn changed(&self) -> u64 {
        self.rows + self.settled
    }

    /// Takes the run's totals from a batch.
    pub(super) fn add(&mut self, step: &Step) {
        self.rows = step.rows_done.unwrap_or(self.rows);
        self.settled = step.rows_settled.unwrap_or(self.settled);
        self.batches = step.batches.unwrap_or(self.batches);
    }

    /// Takes what the server has stored.
    pub(super) fn take(&mut self, stored: &Stored) {
        self.generation = stored.generation.unwrap_or(self.generation);
        self.rows = stored.rows_done;
        self.settled = stored.rows_settled;
        self.batches = stored.batches;
    }

    pub(super) fn fence_sql(&self, cutoff: &str) -> String {
        let cutoff = [("cutoff", Value::Text(cutoff))];
        bind(
            include_str!("record/fence.sql"),
            &[&self.identity()[..], &cutoff].concat(),
        )
    }

    pub(super) fn finish_sql(&self, outcome: &str, left: Option<u64>, failed: u64, message: Option<&str>) -> String {
        let left = left.and_then(|left| i64::try_from(left).ok());
        let failed = i64::try_from(failed).unwrap_or(i64::MAX);
        let values = [
            ("outcome", Value::Text(outcome)),
            ("left", left.map_or(Value::Null, Value::Int)),
            ("failed", Value::Int(failed)),
            ("message", message.into()),
        ];
        bind(
            include_str!("record/finish.sql"),
            &[&self.identity()[..], &values].concat(),
        )
    }
}
