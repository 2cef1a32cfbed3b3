//! How `sessctl status` shows the migrations, the jobs and the sizes.

use std::io;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{State, Status};
use crate::maintenance::{JOBS, JobSpec, JobState, RunState};
use crate::output::{Page, Report, Rows, Style, Text, count, size};
use crate::schema::{ADOPT, UNRECORDED};

fn words(state: State) -> (&'static str, Style) {
    match state {
        State::Applied => ("applied", Style::Good),
        State::Pending => ("pending", Style::Warning),
        State::Changed => ("changed since it was applied", Style::Bad),
        State::Unknown => ("applied by a newer sessctl", Style::Bad),
    }
}

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
    /// The migrations: those that are not applied, or all.
    fn migrations(&self, out: &mut Page<'_>) -> io::Result<()> {
        let listed = |state| self.lists_all || state != State::Applied;
        let rows = self.migrations.iter().filter(|line| listed(line.state)).map(|line| {
            let (word, style) = words(line.state);
            let when = line.applied_on.as_deref().unwrap_or_default();
            vec![
                format!("V{}", line.version).into(),
                line.name.as_str().into(),
                out.paint(style, word),
                when.split('.').next().unwrap_or_default().into(),
            ]
        });
        let rows: Vec<Vec<Text>> = rows.collect();
        match rows.is_empty() {
            true => Ok(()),
            false => out.grid(&["version", "name", "state", "applied on (UTC)"], rows),
        }
    }

    fn version_line(&self) -> String {
        let of = |state| self.migrations.iter().filter(|line| line.state == state).count();
        let at = format!("the schema is at version {}", self.version);
        match (of(State::Pending), of(State::Changed)) {
            _ if self.newer => "a newer sessctl has been here: install it".into(),
            (0, 0) => format!("{at}, up to date"),
            (0, 1) => format!("{at}, and a migration changed after it was applied: run sessctl verify"),
            (0, changed) => {
                format!("{at}, and {changed} migrations changed after they were applied: run sessctl verify")
            }
            (pending, _) => format!("{at}, {pending} pending: run sessctl migrate"),
        }
    }

    fn jobs(&self, out: &mut Page<'_>) -> io::Result<()> {
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

    fn sizes(&self, out: &mut Page<'_>) -> io::Result<()> {
        let Some(sizes) = &self.sizes else {
            return Ok(());
        };
        let mut rows: Vec<Vec<Text>> = vec![vec!["public.user_sessions".into(), size(sizes.table_bytes).into()]];
        let indexes = sizes.indexes.iter();
        rows.extend(indexes.map(|index| vec![index.name.as_str().into(), size(index.bytes).into()]));
        rows.push(
            ["total", &size(sizes.total())]
                .map(|cell| out.paint(Style::Bold, cell))
                .into(),
        );
        out.line("")?;
        out.grid(&["table and indexes", "size"], rows)
    }
}

impl Report for Status {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        if self.unrecorded {
            return out.line(format!("{UNRECORDED}: {ADOPT}"));
        }
        self.migrations(out)?;
        out.line(self.version_line())?;
        if self.version > 0 {
            out.line("")?;
            self.jobs(out)?;
        }
        self.sizes(out)
    }

    fn csv(&self) -> Option<Rows> {
        let rows = self.migrations.iter().map(|line| {
            vec![
                line.version.to_string(),
                line.name.clone(),
                json!(line.state).as_str().unwrap_or_default().into(),
                line.applied_on.clone().unwrap_or_default(),
            ]
        });
        Some((vec!["version", "name", "state", "applied_on"], rows.collect()))
    }
}
