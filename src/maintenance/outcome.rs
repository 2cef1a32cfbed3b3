//! What a run did.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

use super::{Failures, JobSpec, OtherRun};
use crate::failure::exit;
use crate::output::count;

/// What a run did. Its serialized form is the JSON contract, with the count under the job's own key.
#[derive(Serialize)]
pub struct Outcome {
    #[serde(skip)]
    pub(super) job: &'static JobSpec,
    #[serde(flatten, serialize_with = "under_own_key")]
    pub(super) rows: (&'static str, u64),
    /// Ended sessions whose implausible ended_at was replaced before.
    pub(super) settled: u64,
    pub(super) batches: u64,
    #[serde(serialize_with = "micros")]
    pub(super) cutoff: String,
    pub(super) dry_run: bool,
    #[serde(rename = "elapsed_ms", serialize_with = "millis")]
    pub(super) elapsed: Duration,
    pub(super) skipped: bool,
    /// The run that kept this one out, although there is work to do.
    #[serde(skip)]
    pub(super) other: Option<OtherRun>,
    pub(super) interrupted: bool,
    #[serde(skip)]
    pub(super) out_of_time: bool,
    pub(super) left: Option<u64>,
    /// Sessions that could not be done.
    pub(super) failed: u64,
    #[serde(skip)]
    pub(super) failures: Failures,
    /// What a cleanup archived, or would.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) archive: Option<Written>,
}

/// What stands in the parts that a run wrote. Of a dry run files and bytes are estimates.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Written {
    pub(super) files: u64,
    pub(super) sessions: u64,
    pub(super) bytes: u64,
}

impl Written {
    /// A part more.
    pub(super) fn add(&mut self, sessions: u64, bytes: u64) {
        self.files += 1;
        self.sessions += sessions;
        self.bytes += bytes;
    }

    fn sentence(self, is_estimate: bool) -> String {
        let files = if self.files == 1 { "file" } else { "files" };
        #[allow(clippy::cast_precision_loss)]
        let megabytes = self.bytes as f64 / 1e6;
        match is_estimate {
            true => format!(
                "would write about {} {files} of {megabytes:.1} MB together",
                count(self.files)
            ),
            false => format!(
                "archived {} in {} {files}, {megabytes:.1} MB",
                count(self.sessions),
                count(self.files)
            ),
        }
    }
}

fn under_own_key<S: Serializer>((key, rows): &(&'static str, u64), serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map([(key, rows)])
}

fn micros<S: Serializer>(cutoff: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&utc(cutoff, SecondsFormat::Micros))
}

fn millis<S: Serializer>(elapsed: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

fn utc(time: &str, form: SecondsFormat) -> String {
    DateTime::parse_from_rfc3339(time).map_or_else(
        |_| time.to_owned(),
        |time| time.with_timezone(&Utc).to_rfc3339_opts(form, true),
    )
}

impl Outcome {
    /// Whether the work is done.
    pub(crate) fn is_complete(&self) -> bool {
        !(self.skipped || self.interrupted || self.out_of_time) && self.failed == 0
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        if self.interrupted {
            exit::INTERRUPTED
        } else if self.failed > 0 || self.other.as_ref().is_some_and(OtherRun::is_stuck) {
            exit::FAILED
        } else {
            exit::DONE
        }
    }

    /// The sessions that could not be done, and why.
    pub(crate) fn failures(&self) -> &Failures {
        &self.failures
    }

    /// The run that kept this one out, although there is work to do.
    pub(crate) fn other(&self) -> Option<&OtherRun> {
        self.other.as_ref()
    }

    /// The job.
    pub(crate) fn job(&self) -> &'static JobSpec {
        self.job
    }

    /// What the run did, in a sentence.
    pub(crate) fn sentence(&self) -> String {
        let verb = if self.dry_run { self.job.would } else { self.job.done };
        let rows = self.rows.1;
        let mut text = format!(
            "{verb} {} {} {} {} ({}{:.1} s)",
            count(rows),
            if rows == 1 { "session" } else { "sessions" },
            self.job.which,
            utc(&self.cutoff, SecondsFormat::Secs),
            match (self.dry_run, self.batches) {
                (true, _) => "dry run, ".into(),
                (false, 1) => "1 batch, ".into(),
                (false, n) => format!("{} batches, ", count(n)),
            },
            self.elapsed.as_secs_f64(),
        );
        if self.skipped && self.batches == 0 {
            return "another run is running, nothing done here".into();
        }
        if self.skipped {
            text = format!("{text}; another run is running, and took over");
        }
        if self.settled > 0 {
            let verb = if self.dry_run { "would settle" } else { "settled" };
            let sessions = if self.settled == 1 { "session" } else { "sessions" };
            text = format!(
                "{text}; {verb} {} ended {sessions} with an implausible ended_at",
                count(self.settled)
            );
        }
        if let Some(archive) = self.archive {
            text = format!("{text}; {}", archive.sentence(self.dry_run));
        }
        if self.failed > 0 {
            text = format!("{text}; {} could not be {}", count(self.failed), self.job.done);
        }
        if let (false, Some(left)) = (self.out_of_time, self.left) {
            text = format!("{text}; {} left, whose rows are locked", count(left));
        }
        if self.interrupted {
            text = format!("interrupted: {text}; what is done stays");
        }
        if self.out_of_time {
            let left = self
                .left
                .map_or("more may be".into(), |left| format!("about {}", count(left)));
            text = format!("{text}; out of time, {left} left");
        }
        text
    }
}
