//! The run that keeps this one out. One that does so repeatedly, or for long, is reported even with --quiet, so that cron mails it.

use std::time::Duration;

use humantime::format_duration;
use serde::Deserialize;

use super::JobSpec;
use super::run::Run;
use crate::output::count;

/// What is known of the run that keeps this one out.
#[derive(Debug, Default, Deserialize)]
pub struct OtherRun {
    source: Option<String>,
    role: Option<String>,
    rows: u64,
    /// Seconds since it started.
    running_for: Option<u64>,
    /// The server process that holds the job's lock.
    process: Option<i32>,
    /// Seconds since the transaction of that process began.
    in_transaction_for: Option<u64>,
    /// It has kept another run out before this one.
    is_repeated: bool,
    /// It runs for so long that the work may never be done.
    is_stuck: bool,
}

impl OtherRun {
    /// Whether it runs for so long that the work may never be done.
    pub(crate) fn is_stuck(&self) -> bool {
        self.is_stuck
    }

    /// Whether it has kept another run out before.
    pub(crate) fn is_repeated(&self) -> bool {
        self.is_repeated
    }

    fn seconds(&self) -> u64 {
        self.running_for.max(self.in_transaction_for).unwrap_or_default()
    }

    /// What it is, in a sentence.
    pub(crate) fn sentence(&self, job: &JobSpec) -> String {
        let mut text = format!("another run of {}", job.name);
        if let (Some(source), Some(role)) = (&self.source, &self.role) {
            text = format!("{text}, started by {source} as {role},");
        }
        text = format!(
            "{text} has been running for {}",
            format_duration(Duration::from_secs(self.seconds()))
        );
        if self.rows > 0 {
            text = format!("{text} ({} {} so far)", count(self.rows), job.done);
        }
        format!("{text}; this one leaves the work to it")
    }

    /// What to do about one that is stuck.
    pub(crate) fn hint(&self) -> String {
        match self.process {
            Some(pid) => format!(
                "its server process is {pid}: see what it does with select * from pg_stat_activity where pid = {pid}; \
                 select pg_terminate_backend({pid}) ends it, and what it has committed stays"
            ),
            None => "schedule it less often, or let each run end in time with --max-runtime".into(),
        }
    }
}

impl Run<'_> {
    /// The run that keeps this one out, as far as the server says.
    pub(super) async fn other_run(&self) -> OtherRun {
        let sql = self.bind(include_str!("record/other.sql"), &[]);
        self.database.transact("", &sql).await.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maintenance::CLEANUP;

    #[test]
    fn a_run_without_a_record_is_as_old_as_the_transaction_that_holds_the_lock() {
        let other = OtherRun {
            process: Some(42),
            in_transaction_for: Some(901),
            ..OtherRun::default()
        };
        assert_eq!(
            other.sentence(&CLEANUP),
            "another run of cleanup has been running for 15m 1s; this one leaves the work to it"
        );
        assert!(other.hint().contains("select pg_terminate_backend(42)"));
    }
}
