//! The answers of the queries.

use serde::Deserialize;

/// A row of sessctl.job. Times are seconds since 1970.
#[derive(Deserialize)]
pub(super) struct Job {
    pub(super) job: String,
    pub(super) threshold: Option<i32>,
    pub(super) last_success: Option<f64>,
    pub(super) last_failure: Option<f64>,
    pub(super) runs: u64,
    pub(super) failed_runs: u64,
    pub(super) done: u64,
    pub(super) failed: u64,
}

#[derive(Deserialize)]
pub(super) struct Sessions {
    pub(super) filtered: bool,
    /// For how many seconds the active session that was last seen first has been due.
    pub(super) overdue: Option<u64>,
    pub(super) platforms: Vec<Platform>,
}

#[derive(Deserialize)]
pub(super) struct Platform {
    /// Absent for all platforms after the first hundred.
    pub(super) platform: Option<String>,
    pub(super) active: u64,
    pub(super) idle: u64,
    pub(super) due: u64,
}

#[derive(Deserialize)]
pub(super) struct Table {
    pub(super) live: u64,
    pub(super) dead: u64,
}
