//! How `sessctl status` shows the migrations and the jobs.

use std::io;

use serde_json::json;

use super::{State, Status};
use crate::maintenance::{JobState, RunState};
use crate::output::{Page, Report, Rows, Style, Text, count};
use crate::schema::{ADOPT, UNRECORDED};

fn words(state: State) -> (&'static str, Style) {
    match state {
        State::Applied => ("applied", Style::Good),
        State::Pending => ("pending", Style::Warning),
        State::Changed => ("changed since it was applied", Style::Bad),
        State::Unknown => ("applied by a newer sessctl", Style::Bad),
    }
}

/// How many a run did.
fn sessions(run: &RunState) -> String {
    let rows = count(run.rows);
    match run.settled {
        0 => rows,
        settled => format!("{rows}, {} settled", count(settled)),
    }
}

/// The cells of a job's row.
fn job_cells(out: &Page<'_>, job: &JobState) -> Vec<Text> {
    let started = |run: &RunState| Text::from(run.started_at.format("%F %T").to_string());
    let by = |run: &RunState| Text::from(format!("{} ({})", run.source, run.role));
    let mut cells = vec![Text::from(job.job.as_str())];
    match &job.last_run {
        Some(run) => {
            let style = match run.outcome.as_str() {
                "done" => Style::Good,
                "failed" | "lost" => Style::Bad,
                _ => Style::Warning,
            };
            cells.extend([
                started(run),
                by(run),
                out.paint(style, &run.outcome),
                sessions(run).into(),
            ]);
        }
        None => cells.extend(["never", "", "", ""].map(Text::from)),
    }
    match &job.last_success {
        Some(run) => cells.extend([started(run), by(run), sessions(run).into()]),
        None => cells.push("never".into()),
    }
    cells
}

impl Report for Status {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        if self.unrecorded {
            return out.line(format!("{UNRECORDED}: {ADOPT}"));
        }
        let rows = self.migrations.iter().map(|line| {
            let (word, style) = words(line.state);
            let when = line.applied_on.as_deref().unwrap_or_default();
            vec![
                format!("V{}", line.version).into(),
                line.name.as_str().into(),
                out.paint(style, word),
                when.split('.').next().unwrap_or_default().into(),
            ]
        });
        out.grid(&["version", "name", "state", "applied on (UTC)"], rows.collect())?;
        let pending = self
            .migrations
            .iter()
            .filter(|line| line.state == State::Pending)
            .count();
        let line = match (self.newer, pending) {
            (true, _) => "a newer sessctl has been here: install it".into(),
            (false, 0) => format!("the schema is at version {}", self.version),
            (false, n) => format!(
                "the schema is at version {}, {n} pending: run sessctl migrate",
                self.version
            ),
        };
        out.line(line)?;
        match &self.jobs {
            Some(jobs) => {
                out.line("")?;
                let rows = jobs.iter().map(|job| job_cells(out, job)).collect();
                let last = ["job", "last run (UTC)", "by", "outcome", "sessions"];
                out.grid(&[&last[..], &["last success (UTC)", "by", "sessions"]].concat(), rows)?;
                match jobs.iter().any(|job| job.archive_required) {
                    true => out.line("cleanup requires an archive"),
                    false => Ok(()),
                }
            }
            None if self.version > 0 => out.line("the record of runs can't be read by this role"),
            None => Ok(()),
        }
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
