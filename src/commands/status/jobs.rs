//! How `sessctl status` shows the jobs.

use std::io;

use chrono::{DateTime, Utc};

use super::Status;
use crate::maintenance::{JOBS, JobSpec, JobState, RunState};
use crate::output::{Page, Style, Text, count};

fn time(time: DateTime<Utc>) -> String {
    time.format("%F %T").to_string()
}

/// How many a run did.
fn sessions(run: &RunState) -> String {
    let rows = count(run.rows);
    match run.settled {
        0 => rows,
        settled => format!("{rows}, {} settled", count(settled)),
    }
}

impl Status {
    /// A row for each job, and why a run failed.
    pub(super) fn jobs(&self, out: &mut Page<'_>) -> io::Result<()> {
        let header = [
            "job",
            "due now",
            "last run (UTC)",
            "by",
            "outcome",
            "sessions",
            "last success (UTC)",
            "next run (UTC)",
        ];
        out.grid(&header, JOBS.iter().map(|job| self.job_cells(out, job)).collect())?;
        if self.jobs.is_none() {
            return out.line("the record of runs can't be read by this role");
        }
        for state in self.jobs.iter().flatten() {
            if let Some(run) = state.last_run.as_ref().filter(|run| run.outcome == "failed")
                && let Some(message) = &run.message
            {
                out.line(out.paint(Style::Bad, &format!("{} failed: {message}", state.job)))?;
            }
        }
        match self.jobs.iter().flatten().any(|job| job.archive_required) {
            true => out.line("cleanup requires an archive"),
            false => Ok(()),
        }
    }

    fn job_cells(&self, out: &Page<'_>, job: &JobSpec) -> Vec<Text> {
        let due = self.due.iter().flatten().find(|due| due.job == job.name);
        let due = due.and_then(|due| {
            let about = if due.estimate { "~" } else { "" };
            Some(format!("{about}{}", count(due.sessions?)))
        });
        let due = due.unwrap_or_else(|| "-".into());
        let mut cells: Vec<Text> = vec![job.name.into(), due.into()];
        let state = self.jobs.iter().flatten().find(|state| state.job == job.name);
        match state {
            Some(JobState {
                last_run: Some(run), ..
            }) => {
                let style = match run.outcome.as_str() {
                    "done" => Style::Good,
                    "failed" | "lost" => Style::Bad,
                    _ => Style::Warning,
                };
                cells.extend([
                    time(run.started_at).into(),
                    format!("{} ({})", run.source, run.role).into(),
                    out.paint(style, &run.outcome),
                    sessions(run).into(),
                ]);
            }
            Some(_) => cells.extend(["never", "", "", ""].map(Text::from)),
            None => cells.extend(["-", "", "", ""].map(Text::from)),
        }
        let success = |state: &JobState| match &state.last_success {
            Some(run) => time(run.started_at),
            None => "never".into(),
        };
        cells.push(state.map_or_else(|| "-".into(), success).into());
        cells.push(self.next_run(out, job));
        cells
    }

    fn next_run(&self, out: &Page<'_>, job: &JobSpec) -> Text {
        let Some(schedules) = &self.schedules else {
            return "unknown".into();
        };
        let of_job: Vec<_> = schedules.iter().filter(|scheduled| scheduled.job == job.name).collect();
        match of_job.iter().filter_map(|scheduled| scheduled.next_run_at).min() {
            Some(next) => time(next).into(),
            None if of_job.is_empty() => "not scheduled here".into(),
            None if of_job.iter().any(|scheduled| scheduled.active) => out.paint(Style::Bad, "never"),
            None => out.paint(Style::Warning, "switched off"),
        }
    }
}
