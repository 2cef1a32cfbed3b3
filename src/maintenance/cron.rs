//! The pg_cron jobs: the command of each, which `schedule install` schedules and `migrate` brings up to date.

use super::{JOBS, JobSpec};

/// The names of the pg_cron jobs.
pub(crate) fn names() -> Vec<&'static str> {
    JOBS.iter().map(|job| job.cron_job).collect()
}

impl JobSpec {
    /// What pg_cron runs for this job. One row comes back for each session, so that pg_cron's log has their number. A run is
    /// one transaction under the server's statement_timeout (two minutes on the platform), so its rows are limited; a
    /// backlog takes several runs.
    pub(crate) fn cron_command(&self, threshold: i32) -> String {
        let Self {
            function, cron_limit, ..
        } = self;
        format!("select from generate_series(1, {function}({threshold}, {cron_limit}))")
    }
}
