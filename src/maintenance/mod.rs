//! Maintenance: a run of a job, in batches that are transactions of their own, with its record in the database.
//!
//! A run is one round trip where nothing is due. Otherwise each batch is one: its beginning, the batch with its count in the
//! run's record, and the commit go in one message. What a run has done is what its record says, whatever happens to the
//! connection.

mod archived;
mod archiving;
mod cron;
mod division;
mod ending;
mod failures;
mod fault;
mod halt;
mod jobs;
mod lag;
mod net;
mod other;
mod outcome;
mod phase;
mod reading;
mod record;
mod recovery;
mod removal;
mod run;
mod scan;
mod size;
mod start;
mod strategy;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

pub(crate) use cron::{CronArguments, HISTORY as CRON_HISTORY, names as cron_jobs};
pub use failures::Failures;
pub(crate) use halt::TIME_GRACE;
pub(crate) use jobs::{
    CRON_WITHOUT_ARCHIVE, JobState, RunOf, RunState, has_cron_without_archive, has_record, jobs, last_runs,
};
pub(crate) use net::narrower;
pub use other::OtherRun;
pub use outcome::Outcome;
pub(crate) use removal::Removed;
pub use removal::{Address, Kept, Removal};
pub use run::run;

use crate::archive::Command;
use crate::database::Value;

/// What is known of a job before it runs. The names are those of the database: see `sessctl.job`.
#[derive(Debug)]
pub struct JobSpec {
    /// The command's name, and the job's in the record.
    pub name: &'static str,
    /// The name of its pg_cron job.
    pub cron_job: &'static str,
    /// When pg_cron runs it by default.
    pub cron_schedule: &'static str,
    /// What is done to a session, in the past tense; the key of the count in JSON.
    pub done: &'static str,
    /// The same after "would".
    pub would: &'static str,
    /// Which sessions: the words before the cutoff in a sentence.
    pub which: &'static str,
    /// The threshold's bounds, in minutes or days. The functions of the database refuse others too.
    pub range: RangeInclusive<i64>,
    /// The default threshold, in minutes or days.
    pub threshold: i32,
    /// The default maximum of rows per transaction.
    pub batch_size: i32,
    /// Maximum rows of the first batch, which knows nothing yet of how long they take.
    first_batch: i32,
    /// The procedure that is a whole run, as pg_cron calls it.
    procedure: &'static str,
    /// What its second argument is called, and what versions scheduled that had no procedure. Absent where a [`Removal`] follows the
    /// threshold.
    earlier: Option<Earlier>,
    sql: Statements,
}

#[derive(Debug)]
struct Earlier {
    /// The procedure's option.
    cron_option: &'static str,
    /// The function that does the same in one transaction.
    function: &'static str,
    /// The original script's function, which does the same.
    public_function: &'static str,
    /// Maximum rows in the commands that earlier versions scheduled.
    cron_limit: i32,
}

#[derive(Debug)]
struct Statements {
    start: &'static str,
    count: &'static str,
    /// Whether a run must be confirmed, and what it would do to the table, where it may have to be.
    narrower: Option<(&'static str, &'static str)>,
    /// What a run that did much leaves tidy, so that the next one finds out quickly that nothing is due.
    walk: Option<&'static str>,
    work: Phase,
}

/// The statements of a scan in batches.
#[derive(Debug)]
struct Phase {
    /// Absent where batches are not taken from a list.
    candidates: Option<&'static str>,
    step: &'static str,
    /// Lists a slice that must be divided. Absent where batches are taken from a list.
    slice: Option<&'static str>,
    /// What a trigger may prevent.
    change: &'static str,
    leftovers: &'static str,
}

/// What comes before the work of every job: ended sessions with an implausible ended_at get a plausible one.
static SETTLE: Phase = Phase {
    candidates: Some(include_str!("settle/candidates.sql")),
    step: include_str!("settle/step.sql"),
    slice: None,
    change: "update",
    leftovers: include_str!("settle/leftovers.sql"),
};

/// Ends sessions without a sign of life.
pub static END_INACTIVE: JobSpec = JobSpec {
    name: "end-inactive",
    cron_job: "sessctl-end-inactive",
    cron_schedule: "*/5 * * * *",
    done: "ended",
    would: "would end",
    which: "last seen before",
    range: 1..=5_256_000,
    threshold: 60,
    batch_size: 5_000,
    first_batch: 1_000,
    procedure: "sessctl.run_end_inactive",
    earlier: Some(Earlier {
        cron_option: "include_idle",
        function: "sessctl.end_inactive",
        public_function: "public.end_inactive_sessions",
        cron_limit: 50_000,
    }),
    sql: Statements {
        start: include_str!("end_inactive/start.sql"),
        count: include_str!("end_inactive/count.sql"),
        narrower: None,
        walk: None,
        work: Phase {
            candidates: Some(include_str!("end_inactive/candidates.sql")),
            step: include_str!("end_inactive/step.sql"),
            slice: None,
            change: "update",
            leftovers: include_str!("end_inactive/leftovers.sql"),
        },
    },
};

/// Deletes sessions past retention.
pub static CLEANUP: JobSpec = JobSpec {
    name: "cleanup",
    cron_job: "sessctl-cleanup",
    cron_schedule: "17 * * * *",
    done: "deleted",
    would: "would delete",
    which: "that ended before",
    range: 1..=36_500,
    threshold: 90,
    batch_size: 25_000,
    first_batch: 2_000,
    procedure: "sessctl.run_cleanup",
    earlier: Some(Earlier {
        cron_option: "keep_referenced",
        function: "sessctl.cleanup",
        public_function: "public.cleanup_old_sessions",
        cron_limit: 500_000,
    }),
    sql: Statements {
        start: include_str!("cleanup/start.sql"),
        count: include_str!("cleanup/count.sql"),
        narrower: Some((include_str!("cleanup/narrower.sql"), "delete")),
        walk: Some(include_str!("cleanup/walk.sql")),
        work: Phase {
            candidates: None,
            step: include_str!("cleanup/step.sql"),
            slice: Some(include_str!("cleanup/slice.sql")),
            change: "deletion",
            leftovers: include_str!("cleanup/leftovers.sql"),
        },
    },
};

/// Removes the address, the user agent and the location from sessions that ended long ago.
pub static ANONYMIZE: JobSpec = JobSpec {
    name: "anonymize",
    cron_job: "sessctl-anonymize",
    cron_schedule: "47 * * * *",
    done: "anonymized",
    would: "would anonymize",
    which: "that ended before",
    range: 1..=36_500,
    threshold: 30,
    batch_size: 5_000,
    first_batch: 1_000,
    procedure: "sessctl.run_anonymize",
    earlier: None,
    sql: Statements {
        start: include_str!("anonymize/start.sql"),
        count: include_str!("anonymize/count.sql"),
        narrower: Some((include_str!("anonymize/narrower.sql"), "anonymize")),
        walk: None,
        work: Phase {
            candidates: None,
            step: include_str!("anonymize/step.sql"),
            slice: Some(include_str!("anonymize/slice.sql")),
            change: "update",
            leftovers: include_str!("anonymize/leftovers.sql"),
        },
    },
};

/// All jobs.
pub static JOBS: [&JobSpec; 3] = [&END_INACTIVE, &CLEANUP, &ANONYMIZE];

/// What a run is asked to do.
#[derive(Debug)]
pub struct Work {
    /// The job.
    pub job: &'static JobSpec,
    /// Minutes or days.
    pub threshold: i32,
    /// Maximum rows per transaction.
    pub batch_size: i32,
    /// Of a sweep: end idle sessions too.
    pub include_idle: bool,
    /// Of a sweep: ended sessions ended when they were last seen, instead of now.
    pub at_last_seen: bool,
    /// Of a cleanup: sessions that a foreign key keeps are no failure.
    pub keep_referenced: bool,
    /// Where a cleanup archives what it deletes.
    pub(crate) archive: Option<ArchiveWork>,
    /// From now on the database requires no archive.
    pub(crate) no_archive_required: bool,
    /// Of anonymize: what it removes.
    pub removal: Removal,
}

/// How a cleanup archives what it deletes.
#[derive(Clone, Debug)]
pub(crate) struct ArchiveWork {
    /// The folder.
    pub(crate) dir: PathBuf,
    /// What stores each part elsewhere before its sessions are deleted.
    pub(crate) command: Option<Command>,
    /// Leave ip_address, user_agent and location_info out.
    pub(crate) without_addresses: bool,
}

impl Work {
    /// What a job does by default.
    pub fn of(job: &'static JobSpec) -> Self {
        Self {
            job,
            threshold: job.threshold,
            batch_size: job.batch_size,
            include_idle: false,
            at_last_seen: false,
            keep_referenced: false,
            archive: None,
            no_archive_required: false,
            removal: Removal::default(),
        }
    }

    /// The named parameters of all statements of the job.
    fn parameters(&self) -> [(&'static str, Value<'static>); 7] {
        [
            ("archives", Value::Bool(self.archive.is_some())),
            ("threshold", Value::Int(self.threshold.into())),
            ("include_idle", Value::Bool(self.include_idle)),
            ("at_last_seen", Value::Bool(self.at_last_seen)),
            ("list_size", Value::Int(LIST_SIZE)),
            ("ip", Value::Text(self.removal.ip())),
            ("keep", Value::Text(self.removal.keep())),
        ]
    }
}

/// How many candidates are listed at once: each list costs a scan of the active sessions, and is held in memory.
const LIST_SIZE: i64 = 50_000;

/// How a run goes about it.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Count what would be done, and change nothing.
    pub dry_run: bool,
    /// Pause between two batches.
    pub pause: Duration,
    /// Begin no batch after it, and cut off one that is running four seconds later.
    pub deadline: Option<Instant>,
    /// How often in a row a transient error is tried again.
    pub max_retries: u32,
    /// Wait while a replica is further behind.
    pub max_lag: Option<Duration>,
}

/// What a run tells while it runs.
#[derive(Debug)]
pub enum Event<'a> {
    /// So many sessions are done.
    Progress(u64),
    /// Something that a person may want to know.
    Note(&'a str),
    /// A line that the command of an archive wrote.
    Command(&'a str),
}
